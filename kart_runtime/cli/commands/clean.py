"""Command `kart clean`: delete the files that the records of runs name, and nothing else."""

from __future__ import annotations

import argparse
from collections import defaultdict

import luigi

from kart_runtime.cli.arguments import open_session, resolve_names
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.recorded import recorded_files


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, with its size."""
    session, names = open_session(arguments)
    classes = {_identity(session.tasks[name]) for name in resolve_names(session, names)}
    with session:
        recorded = [recorded_files(workspace, session.project.root, classes) for workspace in workspaces(session)]
    by_task: dict[str, dict[str, int]] = defaultdict(dict)
    for workspace_files in recorded:
        for task, sizes in workspace_files.by_task.items():
            by_task[task] |= sizes
    sizes = {place: size for group in by_task.values() for place, size in group.items()}
    for line in size_lines(by_task):
        print(line)
    if not sizes:
        print("Nothing to delete.")
    elif not arguments.yes:
        print(dry_run_summary(sizes.values()))
    else:
        result = RemovalResult()
        for workspace_files in recorded:
            result.delete(workspace_files.files, workspace_files.sizes())
        return report_deletion(result.deleted.values(), result.failed)
    return ExitCode.OK


def _identity(task: type[luigi.Task]) -> tuple[str, str]:
    return task.__module__, task.__name__
