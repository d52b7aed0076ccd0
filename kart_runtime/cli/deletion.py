"""What do the commands share that remove files? The workspaces of a project, and how files and their sizes are shown.

Called by ``clean`` and ``gc``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.table import columns
from kart_runtime.project import Session
from kart_runtime.task.parameters import declaration


def workspaces(session: Session) -> list[str]:
    """Return every workspace that a task of the project writes to.

    Parameters
    ----------
    session
        The project, activated.
    """
    found: dict[str, None] = {}
    for task in session.tasks.values():
        workspace = declaration(task).defaults().values.get("workspace_directory")
        if isinstance(workspace, str):
            found[workspace] = None
    return list(found)


def size_lines(groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each group of files: its name, how many there are, and how large they are.

    Parameters
    ----------
    groups
        Name to file to bytes; a group without files is left out.
    """
    rows = [(name, _counted(len(sizes)), size_text(sum(sizes.values()))) for name, sizes in groups.items() if sizes]
    return columns(rows) if rows else []


def dry_run_summary(sizes: Collection[int]) -> str:
    """Return what is said instead of deleting files.

    Parameters
    ----------
    sizes
        The bytes of each.
    """
    return f"Would delete {_counted(len(sizes))}, {size_text(sum(sizes))}; nothing was deleted. Add --yes to do it."


def report_deletion(gone: Collection[int], kept: Mapping[str, str]) -> ExitCode:
    """Say what was deleted and what could not be, and return the exit code of that.

    Parameters
    ----------
    gone
        The bytes of each file that was deleted.
    kept
        The urls of those that are still there, and why.
    """
    for url, why in kept.items():
        print(f"error: {url}: {why}", file=sys.stderr)
    if kept:
        print(f"Deleted {_counted(len(gone))} of {len(gone) + len(kept)}.")
        return ExitCode.FAILED
    print(f"Deleted {_counted(len(gone))}, {size_text(sum(gone))}.")
    return ExitCode.OK


def _counted(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
