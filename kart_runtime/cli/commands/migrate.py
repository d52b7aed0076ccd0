"""Command `kart migrate`: replace imports of gokart by imports of kart."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.migrate import CannotMigrate, Change, Problem, diff, scan, write


def execute(arguments: argparse.Namespace) -> int:
    """Print the diff or the changed files, what to change by hand, and the counts."""
    result = scan(arguments.words, config=arguments.config)
    unwritten: list[Problem] = []
    if arguments.write:
        unwritten = _write(result.changes)
    else:
        for change in result.changes:
            print(*diff(change), sep="\n")
    for problem in (*result.problems, *unwritten):
        print(f"error: {problem}", file=sys.stderr)
    for hint in result.hints:
        print(f"also change: {hint}")
    failed = {problem.path for problem in unwritten}
    done = [change for change in result.changes if change.path not in failed]
    print(_summary(done, arguments.write) if done or not (failed or result.problems) else "Nothing was changed.")
    if unwritten:
        return ExitCode.FAILED
    return ExitCode.PROBLEMS if result.problems else ExitCode.OK


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
    files = counted(len(changes), "file")
    imports = counted(sum(change.imports for change in changes), "import")
    strings = counted(sum(change.strings for change in changes), "string")
    if written:
        return f"Changed {files} ({imports}, {strings})."
    return f"Dry run: would change {files} ({imports}, {strings}). Pass --write to change them."
