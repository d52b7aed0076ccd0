"""Report of the commands that delete files (`clean` and `gc`), and the workspaces of a project."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted
from kart_runtime.history.tables import size_text as size_text  # noqa: PLC0414 - a part of this module
from kart_runtime.project import Session
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.parameters import declaration


def workspaces(session: Session) -> list[str]:
    """Return every workspace that a task of the active project writes to; that of the configuration without tasks."""
    tasks = session.tasks.values() or [TaskOnKart]
    directories = (declaration(task).defaults().values.get("workspace_directory") for task in tasks)
    return list(dict.fromkeys(directory for directory in directories if isinstance(directory, str)))


def size_lines(groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each group of files (name to file to bytes): name, number of files, and size."""
    rows = [
        (name, counted(len(sizes), "file"), size_text(sum(sizes.values()))) for name, sizes in groups.items() if sizes
    ]
    return columns(rows) if rows else []


def dry_run_summary(sizes: Collection[int]) -> str:
    """Return the last line of a dry run, from the bytes of each file."""
    return f"Dry run: would delete {counted(len(sizes), 'file')} ({size_text(sum(sizes))}). Pass --yes to delete them."


def report_deletion(deleted: Collection[int], failed: Mapping[str, str]) -> ExitCode:
    """Print the number of deleted files (given by their bytes) and the reason of each failure, by url."""
    for url, reason in failed.items():
        print(f"error: {url}: {reason}", file=sys.stderr)
    if failed:
        print(f"Deleted {len(deleted)} of {counted(len(deleted) + len(failed), 'file')}.")
        return ExitCode.FAILED
    print(f"Deleted {counted(len(deleted), 'file')} ({size_text(sum(deleted))}).")
    return ExitCode.OK
