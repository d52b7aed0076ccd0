"""Command `kart gc`: delete what earlier runs have stored and no retained run uses."""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from kart_runtime.cli.arguments import open_session
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.errors import ConfigError
from kart_runtime.history.cleanup.garbage import Garbage, find_garbage, remove
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.history.cleanup.scratch import abandoned_scratch, delete_abandoned
from kart_runtime.storage.stores import UnfinishedUpload


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, with its size."""
    session, names = open_session(arguments)
    if names:
        message = f"gc covers all tasks and takes no names, got {' '.join(names)}"
        raise ConfigError(message, expected="KEY=VALUE or nothing; `kart clean TASK` deletes the outputs of one task")
    with session:
        keep = RetentionPolicy(arguments.keep_runs, arguments.keep_days)
        garbage = find_garbage(workspaces(session), session.project.root, keep)
        before = time.time() - max(arguments.keep_days, 1.0) * DAY
        scratch = abandoned_scratch(workspaces(session), session.project.root, before)
    groups = _groups(garbage)
    groups["(scratch folders)"] = {str(path): size for sizes in scratch.values() for path, size in sizes.items()}
    for warning in (warning for part in garbage for warning in part.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    for line in size_lines(groups):
        print(line)
    print(f"Retaining {sum(part.retained_runs for part in garbage)} of {sum(part.all_runs for part in garbage)} runs.")
    return _remove(garbage, scratch) if arguments.yes else _tell(garbage, list(groups["(scratch folders)"].values()))


def _groups(garbage: Sequence[Garbage]) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for part in garbage:
        for task, sizes in part.by_task.items():
            groups[task] |= sizes
    for part in garbage:
        groups["(files of runs)"] |= part.runs
        groups["(left behind)"] |= part.temporary
    return groups


def _tell(garbage: Sequence[Garbage], scratch: list[int]) -> ExitCode:
    uploads = len(frozenset[UnfinishedUpload]().union(*(part.uploads for part in garbage)))
    sizes = [size for part in garbage for size in part.sizes().values()] + scratch
    if uploads:
        print(f"Would abort {counted(uploads, 'incomplete upload')}.")
    if sizes:
        print(dry_run_summary(sizes))
    else:
        print("Dry run: nothing was aborted. Pass --yes to abort them." if uploads else "Nothing to delete.")
    return ExitCode.OK


def _remove(garbage: Sequence[Garbage], scratch: dict[str, dict[Path, int]]) -> ExitCode:
    removed = remove(garbage)
    delete_abandoned(scratch, removed)
    for warning in removed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if removed.uploads:
        print(f"Aborted {counted(removed.uploads, 'incomplete upload')}.")
    if not removed.deleted and not removed.failed:
        if not removed.uploads:
            print("Nothing to delete.")
        return ExitCode.OK
    return report_deletion(removed.deleted.values(), removed.failed)
