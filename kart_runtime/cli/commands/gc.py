"""Command `kart gc`: delete what earlier runs have stored and no retained run uses."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kart_runtime.cli.arguments import open_session
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, size_text, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted
from kart_runtime.errors import ConfigError
from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.garbage import Garbage, find_garbage, remove
from kart_runtime.history.cleanup.kept import REASONS, Kept, kept_files
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.history.cleanup.scratch import abandoned_scratch, delete_abandoned
from kart_runtime.storage.stores import UnfinishedUpload

Groups = Mapping[str, Mapping[str, int]]


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, with its size, and why the rest stays."""
    session, names = open_session(arguments)
    if names:
        message = f"gc covers all tasks and takes no names, got {' '.join(names)}"
        raise ConfigError(message, expected="KEY=VALUE or nothing; `kart clean TASK` deletes the outputs of one task")
    with session:
        keep = RetentionPolicy(arguments.keep_runs, arguments.keep_days)
        root = session.project.root
        ignore = arguments.ignore_missing_runs
        garbage = find_garbage(workspaces(session), root, keep, ignore_missing=ignore)
        before = min([part.now for part in garbage] or [time.time()]) - max(arguments.keep_days, 1.0) * DAY
        scratch = abandoned_scratch(workspaces(session), root, before)
    groups = _groups(garbage)
    groups["(scratch folders)"] = {str(path): size for sizes in scratch.values() for path, size in sizes.items()}
    for warning in (warning for part in garbage for warning in part.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    if arguments.json:
        return _print_json(garbage, groups, scratch, deletes=arguments.yes)
    for line in size_lines(groups):
        print(line)
    if not arguments.yes:
        _tell_kept(garbage)
    print(f"Retaining {sum(part.retained_runs for part in garbage)} of {sum(part.all_runs for part in garbage)} runs.")
    if arguments.yes:
        return _tell_result(_deleted(garbage, scratch))
    return _tell(garbage, list(groups["(scratch folders)"].values()))


def _groups(garbage: Sequence[Garbage]) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for part in garbage:
        for task, sizes in part.by_task.items():
            groups[task] |= sizes
    for part in garbage:
        groups["(files of runs)"] |= part.runs
        groups["(left behind)"] |= part.temporary
    return groups


def _tell_kept(garbage: Sequence[Garbage]) -> None:
    """Print what stays, and which runs are the reason."""
    runs = Counter(reason for part in garbage for reason in part.retained.values())
    rows = [("retained", counted(number, "run"), reason) for reason, number in sorted(runs.items())]
    kept = kept_files(garbage)
    rows += [
        ("kept", f"{counted(part.files, 'file')} ({size_text(part.bytes)})", REASONS[kind])
        for kind, part in kept.items()
    ]
    for line in columns(rows) if rows else ():
        print(line)


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


def _deleted(garbage: Sequence[Garbage], scratch: dict[str, dict[Path, int]]) -> RemovalResult:
    removed = remove(garbage)
    delete_abandoned(scratch, removed)
    return removed


def _tell_result(removed: RemovalResult) -> ExitCode:
    for warning in removed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if removed.uploads:
        print(f"Aborted {counted(removed.uploads, 'incomplete upload')}.")
    if not removed.deleted and not removed.failed:
        if not removed.uploads:
            print("Nothing to delete.")
        return ExitCode.OK
    return report_deletion(removed.deleted.values(), removed.failed)


def _print_json(
    garbage: Sequence[Garbage], groups: Groups, scratch: dict[str, dict[Path, int]], *, deletes: bool
) -> ExitCode:
    """Print what is or would be deleted, and what stays, as one JSON object."""
    kept: Mapping[str, Kept] = kept_files(garbage)
    found: dict[str, Any] = {
        "workspaces": [part.files.workspace for part in garbage],
        "delete": [
            {"group": name, "file": file, "bytes": size} for name in groups for file, size in groups[name].items()
        ],
        "uploads": sorted({upload.key for part in garbage for upload in part.uploads}),
        "kept": {kind: {"reason": REASONS[kind], **part._asdict()} for kind, part in kept.items()},
        "runs": {run: reason for part in garbage for run, reason in part.retained.items()},
        "missing_runs": {run: why for part in garbage for run, why in part.missing.items()},
        "deleted": None,
    }
    code = ExitCode.OK
    if deletes:
        removed = _deleted(garbage, scratch)
        found |= {"deleted": removed.deleted, "failed": removed.failed, "aborted_uploads": removed.uploads}
        code = ExitCode.FAILED if removed.failed else ExitCode.OK
    print(json.dumps(found, indent=2))
    return code
