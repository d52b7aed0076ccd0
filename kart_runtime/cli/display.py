"""What does a run look like while it runs? Lines, or a moving bar where somebody watches; the build only sends events.

Called by ``run``. A display must never disturb the build: when nobody reads any more, it falls silent.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from kart_runtime.cli.messages import user_traceback
from kart_runtime.cli.task_names import TaskLabels
from kart_runtime.execution.attempt import AttemptState, Outcome
from kart_runtime.plan.decisions import Action
from kart_runtime.schedule.events import BuildFinished, Event, PlanMade, Summary, TaskFinished, TaskStarted
from kart_runtime.storage.target import path_of
from kart_runtime.task.nested import iter_flat

_MOST = 20
"""Tasks not started that are shown; the first few explain as much as a thousand."""


class Display:
    """Plain lines, one for each task that starts and one for each that ends.

    Parameters
    ----------
    source
        The folder of the project's code, where tracebacks begin.
    quiet
        Only the last line, and what failed.
    """

    def __init__(self, source: Path, *, quiet: bool = False) -> None:
        self._source, self._quiet = source, quiet
        self._labels = TaskLabels(())
        self._total = 0
        self._planned = False
        self._places: dict[object, int] = {}
        self._silent = False
        self._summary: Summary | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen as it is."""

    def show(self, event: Event) -> None:
        """Take an event of the build."""
        if isinstance(event, PlanMade):
            self._planned = True
            self._labels = TaskLabels(event.plan.tasks)
            self._total = len(event.plan.with_action(Action.RUN))
        elif isinstance(event, TaskStarted):
            self._places[event.task] = len(self._places) + 1
            self._started(self._name(event.task))
        elif isinstance(event, TaskFinished):
            self._finished(self._name(event.task), event.outcome)
        elif isinstance(event, BuildFinished):
            self._summary = event.summary
            if not event.summary.interrupted:
                self._line(event.summary.text())

    @property
    def has_plan(self) -> bool:
        """Whether tasks may have run."""
        return self._planned

    def failed(self) -> None:
        """Show each cause with the project's own part of its traceback, and what it has kept from running."""
        summary = self._summary
        if summary is None:
            return
        for task, error in summary.failed.items():
            self._error(f"\n{self._labels(task)} failed:\n{user_traceback(error, self._source).rstrip()}")
        for task in summary.missing:
            places = ", ".join(path_of(target) for target in iter_flat(task.output()))
            self._error(f"\n{self._labels(task)} comes from outside and does not exist: {places}")
        for place, (task, cause) in enumerate(summary.not_started.items()):
            if place == _MOST:
                self._error(f"... and {len(summary.not_started) - _MOST} more were not started")
                break
            self._error(f"{self._labels(task)} was not started, because {self._labels(cause)} did not finish")

    def broken(self, error: Exception) -> None:
        """Show an error that ended the run although no attempt had failed."""
        self._error(f"\nThe run was broken off:\n{user_traceback(error, self._source).rstrip()}")

    def interrupted(self) -> None:
        """Show how far the build came."""
        text = self._summary.text() if self._summary is not None else "Interrupted: nothing had run"
        self._error(f"{text}\nWhat has finished is kept; run again to go on.")

    def _name(self, task: Any) -> str:
        place = self._places.get(task, 0)
        return f"[{place}/{max(self._total, place)}] {self._labels(task)}"

    def _started(self, name: str) -> None:
        if not self._quiet:
            self._line(f"{name} ...")

    def _finished(self, name: str, outcome: Outcome) -> None:
        if not self._quiet or outcome.state is AttemptState.FAILED:
            self._line(f"{name} {ending(outcome)}")

    def _line(self, text: str) -> None:
        self._write(text, sys.stdout)

    def _error(self, text: str) -> None:
        self._write(text, sys.stderr)

    def _write(self, text: str, stream: Any) -> None:
        if not self._silent:
            try:
                print(text, file=stream, flush=True)
            except BrokenPipeError:
                self._silent = True
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class LiveDisplay(Display):
    """A bar with what runs now; the lines of ended tasks scroll above it. Needs rich."""

    def __init__(self, source: Path, *, quiet: bool = False) -> None:
        super().__init__(source, quiet=quiet)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            transient=True,
        )
        self._bar = self._progress.add_task("planning", total=None)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _started(self, name: str) -> None:
        self._progress.update(self._bar, description=name.partition(" ")[2], total=max(self._total, len(self._places)))

    def _finished(self, name: str, outcome: Outcome) -> None:
        super()._finished(name, outcome)
        self._progress.advance(self._bar)

    def _line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def ending(outcome: Outcome) -> str:
    """Return how an attempt ended, in a few words."""
    seconds = f"{outcome.seconds:.1f} s"
    if outcome.state is AttemptState.FAILED:
        reason = str(outcome.error).partition("\n")[0]
        return f"FAILED ({seconds}): {type(outcome.error).__name__}: {reason}"
    if outcome.state is AttemptState.COMPLETE:
        return "was completed by another process"
    return f"done ({seconds})"


def make_display(source: Path, *, quiet: bool = False) -> Display:
    """Return the display that fits where the output goes.

    Parameters
    ----------
    source
        The folder of the project's code.
    quiet
        Only the last line, and what failed.
    """
    watched = sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"
    if watched and not quiet and importlib.util.find_spec("rich") is not None:
        return LiveDisplay(source)
    return Display(source, quiet=quiet)
