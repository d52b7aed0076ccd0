"""``kart migrate``: a project that imports gokart imports kart instead."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.migrate import CannotMigrate, Change, Problem, diff, scan, write

NAME = "migrate"
HELP = "change imports of gokart to kart"
DESCRIPTION = (
    "Show what would change in a project that imports gokart, as a diff: its imports, and the names of gokart's\n"
    "modules in calls such as patch() and import_module(). Works in any folder. Without --write nothing is changed."
)
EXAMPLES = """\
examples:
  kart migrate .                           show what would change
  kart migrate . --write                   change it
  kart migrate conf/param.ini --config     show a luigi configuration as YAML
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", nargs="+", metavar="PATH", help="a file or a folder")
    parser.add_argument("--write", action="store_true", help="change the files, instead of showing what would change")
    parser.add_argument(
        "--config", action="store_true", help="also make NAME.yaml of each luigi configuration NAME.ini or NAME.cfg"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print the diff or the changed files, what stays, and the counts."""
    found = scan(arguments.words, config=arguments.config)
    unwritten: list[Problem] = []
    if arguments.write:
        unwritten = _write(found.changes)
    else:
        for change in found.changes:
            print(*diff(change), sep="\n")
    for problem in (*found.problems, *unwritten):
        print(f"error: {problem}", file=sys.stderr)
    for hint in found.hints:
        print(f"also change: {hint}")
    failed = {problem.path for problem in unwritten}
    done = [change for change in found.changes if change.path not in failed]
    print(_summary(done, arguments.write) if done or not (failed or found.problems) else "Nothing was changed.")
    if unwritten:
        return ExitCode.FAILED
    return ExitCode.PROBLEMS if found.problems else ExitCode.OK


def _write(changes: Sequence[Change]) -> list[Problem]:
    """Write each change, and return those that could not be written."""
    unwritten = []
    for change in changes:
        try:
            write(change)
        except CannotMigrate as error:
            unwritten.append(Problem(change.path, str(error)))
        except OSError as error:
            unwritten.append(Problem(change.path, f"was not written: {error.strerror or error}"))
        else:
            print(f"{'wrote' if change.before is None else 'changed'} {change.path}")
    return unwritten


def _summary(changes: Sequence[Change], written: bool) -> str:
    if not changes:
        return "Nothing to change."
    files = _counted(len(changes), "file")
    imports = _counted(sum(change.imports for change in changes), "import")
    strings = _counted(sum(change.strings for change in changes), "string")
    if written:
        return f"Changed {files}: {imports}, {strings}."
    return f"Would change {files}: {imports}, {strings}; nothing was changed. Add --write to do it."


def _counted(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
