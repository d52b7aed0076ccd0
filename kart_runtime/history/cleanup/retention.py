"""Rules that decide which runs are retained, and whether it is known what a retained run uses."""

from __future__ import annotations

from dataclasses import dataclass

from kart_runtime.history.cleanup.files import WorkspaceFiles
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.runs import Run, RunFiles, started_at

DAY = 86_400.0
"""Seconds for which a run may be active, and a file may belong to a run that has not recorded it yet."""


@dataclass(frozen=True)
class RetentionPolicy:
    """Rules that decide which runs `kart gc` retains. Runs that may still be active are always retained.

    Parameters
    ----------
    runs
        Number of most recent runs to retain, whatever their age.
    days
        Retain runs that started within this many days.
    """

    runs: int = 1
    days: float = 30.0

    def retains(self, run: RunFiles, position: int, now: float) -> bool:
        """Return whether a run is retained; `position` counts the later runs, `now` is in seconds since the epoch."""
        started = started_at(run.id)
        # A file without a time in its name cannot be told from a run's.
        return (
            position < self.runs
            or started is None
            or started > now - self.days * DAY
            or _may_be_active(run, started, now)
        )


def check_readable(files: WorkspaceFiles, run: Run) -> None:
    """Raise `UnsafeWorkspace` when a run's file could not be read."""
    if run.unread:
        raise UnsafeWorkspace(
            files.workspace,
            f"cannot tell which tasks run {run.id} uses: {run.unread.rstrip('.')}. Make its file readable, or delete "
            "it if nothing of the run is needed.",
        )


def check_references(files: WorkspaceFiles, run: Run, now: float) -> None:
    """Raise `UnsafeWorkspace` when it is not known which tasks a retained run uses."""
    check_readable(files, run)
    if run.started is None:  # what it names stays, but nobody can say what it should name
        return
    if run.cut:
        raise UnsafeWorkspace(
            files.workspace,
            f"cannot tell which tasks run {run.id} uses: {run.cut}. Delete {files.url(run.files[0].key)} if nothing of "
            "the run is needed.",
        )
    if not run.has_references and _may_be_active(RunFiles(run.id, run.files), run.started, now):
        raise UnsafeWorkspace(
            files.workspace,
            f"run {run.id} may still be active and has not recorded its tasks. Retry when it has finished, or in 24 "
            "hours if it was killed.",
        )


def _may_be_active(run: RunFiles, started: float, now: float) -> bool:
    return max(*(stat.modified for stat in run.files), started) > now - DAY
