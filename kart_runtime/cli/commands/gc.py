"""``kart gc``: delete what earlier runs have stored and no kept run refers to."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

from kart_runtime.cli.arguments import add_values, open_session
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.errors import ConfigError
from kart_runtime.history.cleanup.garbage import Garbage, find_garbage, remove
from kart_runtime.history.cleanup.retention import RetentionPolicy
from kart_runtime.storage.stores import UnfinishedUpload

NAME = "gc"
HELP = "delete outputs that no run of late refers to"
DESCRIPTION = (
    "Delete the outputs and log files of earlier runs that no kept run refers to, the files of these runs, and what\n"
    "killed processes have left behind. A run is kept when it is one of the last --keep-runs, when it began within\n"
    "--keep-days, and when it may still be running. Without --yes it only says what it would delete."
)
EXAMPLES = """\
examples:
  kart gc                               say what would be deleted
  kart gc --yes                         delete what no run of the last 30 days refers to
  kart gc --keep-days 7 --keep-runs 20  keep the last 20 runs, and all of a week
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    keep = RetentionPolicy()
    add_values(parser)
    parser.add_argument(
        "--keep-runs", type=_runs, default=keep.runs, metavar="N", help="keep the last N runs, however old (default 1)"
    )
    parser.add_argument(
        "--keep-days", type=_days, default=keep.days, metavar="D", help="keep the runs of the last D days (default 30)"
    )
    parser.add_argument("--yes", action="store_true", help="delete, instead of saying what would be deleted")


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, and how much it is."""
    session, names = open_session(arguments)
    if names:
        message = f"gc is about all tasks and takes no names, got {' '.join(names)}"
        raise ConfigError(message, expected="nothing, or KEY=VALUE; clean TASK deletes the outputs of one task")
    with session:
        keep = RetentionPolicy(arguments.keep_runs, arguments.keep_days)
        found = find_garbage(workspaces(session), session.project.root, keep)
    groups = _groups(found)
    for warning in (warning for one in found for warning in one.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    for line in size_lines(groups):
        print(line)
    print(f"{sum(one.retained_runs for one in found)} of {sum(one.all_runs for one in found)} runs are kept.")
    return _remove(found) if arguments.yes else _tell(found)


def _groups(found: Sequence[Garbage]) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for one in found:
        for task, sizes in one.by_task.items():
            groups[task] |= sizes
    for one in found:
        groups["(files of runs)"] |= one.runs
        groups["(left behind)"] |= one.temporary
    return groups


def _tell(found: Sequence[Garbage]) -> ExitCode:
    uploads = len(frozenset[UnfinishedUpload]().union(*(one.uploads for one in found)))
    sizes = [size for one in found for size in one.sizes().values()]
    if uploads:
        print(f"Would throw away {_uploads(uploads)}.")
    if sizes:
        print(dry_run_summary(sizes))
    else:
        print("Nothing was thrown away. Add --yes to do it." if uploads else "Nothing to delete.")
    return ExitCode.OK


def _uploads(number: int) -> str:
    return "1 unfinished upload" if number == 1 else f"{number} unfinished uploads"


def _remove(found: Sequence[Garbage]) -> ExitCode:
    removed = remove(found)
    for warning in removed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if removed.uploads:
        print(f"Threw away {_uploads(removed.uploads)}.")
    if not removed.deleted and not removed.failed:
        if not removed.uploads:
            print("Nothing to delete.")
        return ExitCode.OK
    return report_deletion(removed.deleted.values(), removed.failed)


def _runs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of runs; expected 1 or more")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of days")
    return days
