"""Progress of a run in plain lines, and its end. A display never disturbs the build."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO

import luigi

from kart_runtime.cli.messages import tries_report, user_traceback
from kart_runtime.cli.terminal import visible
from kart_runtime.errors import alike, described, described_tries, more_failed, not_run_text
from kart_runtime.errors.secrets import masked
from kart_runtime.execution.attempt import AttemptState
from kart_runtime.history.tables import printable
from kart_runtime.plan.causes import FIRST
from kart_runtime.plan.decisions import Decision, Plan, Reason
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.schedule.estimate import Estimating, numbers
from kart_runtime.schedule.events import (
    BuildFinished,
    BuildStopping,
    Event,
    PlanMade,
    Summary,
    TaskFinished,
    TaskLocked,
    TaskStarted,
    retry_text,
    stopping_text,
    waiting_text,
)
from kart_runtime.schedule.progress_counts import Counts
from kart_runtime.task.outside import missing_places
from kart_runtime.task.published import Published

_MOST_LISTED = 20
"""Lines for the tasks or classes of one kind; the first few explain as much as a thousand."""

_EXPLAINED = frozenset(
    {
        Reason.CODE_CHANGED,
        Reason.INPUT_CHANGED,
        Reason.OUTPUT_CHANGED,
        Reason.OTHER_WRITER,
        Reason.NOT_SIGNED,
        Reason.DELETED,
    }
)
"""Reasons that a run states: they are not what a reader expects."""

_MOST_TASKS = 200
"""Tasks up to which each has its lines; of more, the numbers are printed at intervals."""

_MOST_NAMED = 10
"""Tasks that one line names."""

_LONGEST = 300
"""Characters of an error in the line of its task; the whole of it follows at the end."""

_INTERVAL = 10.0
"""Seconds between two lines with the numbers."""


class Display:
    """Plain lines: one when a task starts, one when it ends, and the summary. If `quiet`, only failures and summary.

    Of more than 200 tasks, only failures have lines, unless it is `verbose`, and the numbers are printed every 10 s.
    Tracebacks start in the code below `source`. `workers` is the number of tasks that run at once, if it is known.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.source = Path()
        self.workers: int | None = None
        self._quiet, self._verbose = quiet, verbose
        self._labels = TaskLabels(())
        self._total = 0
        self._shows_tasks = not quiet
        self._counter: Counter | None = None
        self._numbers: dict[luigi.Task, int] = {}
        self._names: dict[luigi.Task, str] = {}
        self._lost: list[IO[str]] = []
        """Streams that can no longer be written to."""
        self._summary: Summary | None = None
        self.has_plan = False

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to print."""
        self.close()

    def close(self) -> None:
        """Stop to print by itself; what is over is printed when asked for."""
        if self._counter is not None:
            self._counter.stop()
            self._counter = None

    def say(self, text: str) -> None:
        """Show what goes on before anything runs; plain lines do not."""

    def show(self, event: Event) -> None:
        """Show an event of the build."""
        if self._counter is not None:
            self._counter.counts.count(event)
        if isinstance(event, TaskStarted | TaskFinished):
            self._numbers.setdefault(event.task, len(self._numbers) + 1)
        if isinstance(event, TaskStarted):
            self._started(event)
        elif isinstance(event, TaskFinished):
            self._finished(event)
        elif isinstance(event, TaskLocked):
            if event.number and not self._quiet:
                self._line(waiting_text(event, self._labels(event.task)))
        elif isinstance(event, PlanMade):
            self._plan_made(event)
        elif isinstance(event, BuildStopping):
            self._stopping(event)
        elif isinstance(event, BuildFinished):
            self._summary = event.summary

    def _plan_made(self, event: PlanMade) -> None:
        """Say what has changed; from here on, tasks may have run."""
        self.has_plan = True
        self._labels = event.plan.labels
        self._total = len(event.plan.to_run)
        self._planned(event.plan)
        self._shows_tasks = not self._quiet and (self._verbose or self._total <= _MOST_TASKS)
        if not self._quiet and not self._shows_tasks:
            self._counter = Counter(event, self.workers, self._line)

    def _stopping(self, event: BuildStopping) -> None:
        """Say what the run still waits for; on a terminal, what a person typed is on the line before."""
        if event.waiting:
            self._error(stopping_text(event, self._labels))

    def handles_sigterm(self) -> bool:
        """Return whether this display handles SIGTERM, to restore the terminal."""
        return False

    def abandon(self) -> None:
        """Restore the terminal when the process ends at once."""

    def _planned(self, plan: Plan) -> None:
        """Say what has changed since the tasks ran, and what was deleted and is not needed."""
        for line in plan.warning_lines():
            self._error(f"warning: {line}")
        if not self._quiet:
            for line in _explanations(plan):
                self._line(line)

    def finish(self, summary: Summary) -> None:
        """Print the summary, each failure with its traceback in the project's code, and the tasks that were not run."""
        for line in summary.published:
            self._line(line)
        self.close()
        self._line(summary.text())
        for first, same, other in alike(summary.failed):
            tries = summary.tries.get(first, (summary.failed[first],))
            self._error(f"\n{self._labels(first)} failed{tries_report(tries, self.source)}")
            if same:
                self._error(more_failed([self._labels(task) for task in same]))
            for task in other[:_MOST_LISTED]:
                text = described_tries(summary.failed[task]).partition("\n")[0]
                self._error(f"{self._labels(task)} failed in the same place: {text}")
            if len(other) > _MOST_LISTED:
                self._error(f"... and {len(other) - _MOST_LISTED} more failed in the same place")
        for task, error in summary.unpublished.items():
            self._error(f"\n{self._labels(task)} was not published; its output is stored. {error}")
        for task in summary.missing:
            why = task.missing() if isinstance(task, Published) else missing_places(task)
            self._error(f"\nexternal input not found: {self._labels(task)}: {why}")
        if summary.stopped and summary.failed:
            cause, shown = next(iter(summary.failed)), self._named(summary.stopped)
            number = len(summary.stopped)
            self._error(f"\n{number} not started after the failure of {self._labels(cause)} (fail_fast): {shown}")
        self._told_ended(summary)
        if summary.not_started:
            names = {self._labels(task): self._labels(cause) for task, cause in summary.not_started.items()}
            self._error(f"\n{not_run_text(names)}")

    def _told_ended(self, summary: Summary) -> None:
        """Name the tasks that ran when the run ended before them."""
        if summary.ended:
            self._error(f"ended while running: {self._named(summary.ended)}")

    def _named(self, tasks: Sequence[luigi.Task]) -> str:
        more = len(tasks) - _MOST_NAMED
        names = ", ".join(self._labels(task) for task in tasks[:_MOST_NAMED])
        return f"{names} and {more} more" if more > 0 else names

    def outputs(self, lines: Sequence[str]) -> None:
        """Print where the outputs are."""
        for line in lines:
            self._line(line)

    def broken(self, error: BaseException) -> None:
        """Print an error that ended the run although no task had failed."""
        if self._summary is not None:
            self._line(self._summary.text())
        self._error(f"\nThe run stopped with an unexpected error:\n{user_traceback(error, self.source).rstrip()}")

    def interrupted(self) -> None:
        """Print how far the build came before Ctrl-C."""
        text = self._summary.text() if self._summary is not None else "Interrupted: nothing had run"
        self._error(text)
        if self._summary is not None:
            self._told_ended(self._summary)
        self._error("Completed tasks are saved. Run the same command again to resume.")

    def _name(self, task: luigi.Task) -> str:
        name = self._names.get(task)
        if name is None:
            number = self._numbers.get(task, 0)
            name = self._names[task] = f"[{number}/{max(self._total, number)}] {self._labels(task)}"
        return name

    def _started(self, event: TaskStarted) -> None:
        if self._shows_tasks:
            number = f" (try {event.attempt} of {event.tries})" if event.attempt > 1 else ""
            limit = f" (at most {event.timeout:g} s)" if event.timeout is not None else ""
            self._line(f"{self._name(event.task)}{number}{limit} ...")

    def _finished(self, event: TaskFinished) -> None:
        if self._shows_tasks or event.outcome.state is AttemptState.FAILED:
            self._line(self._result(event))

    def _result(self, event: TaskFinished) -> str:
        task, outcome = event.task, event.outcome
        if event.is_retried:
            return f"{self._name(task)} {retry_text(event)}"
        if outcome.state is AttemptState.COMPLETE:
            return f"{self._name(task)} was completed by another process"
        if outcome.state is not AttemptState.FAILED:
            return f"{self._name(task)} done ({outcome.seconds:.1f} s)"
        reason = _cut(described_tries(outcome.error or RuntimeError("unknown")).partition("\n")[0])
        return f"{self._name(task)} FAILED ({outcome.seconds:.1f} s): {reason}"

    def _line(self, text: str) -> None:
        self._write(text, sys.stdout)

    def _error(self, text: str) -> None:
        self._write(text, sys.stderr)

    def _write(self, text: str, stream: IO[str]) -> None:
        if stream in self._lost:
            return
        try:
            stream.write(f"{visible(masked(text))}\n")
            stream.flush()
        except (OSError, ValueError) as error:  # nobody reads any more, the disk is full: the run goes on
            self._lost.append(stream)
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                self._error(f"Could not write to standard output: {described(error)}. The run goes on without it.")


def _cut(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return printable(text, 10 * len(text))  # no character has a longer escape


def _explanations(plan: Plan) -> Iterator[str]:
    """Yield a line for the tasks of each class that run because of a change, or are deleted and not needed."""
    groups: dict[tuple[str, str], int] = {}
    for task, decision in zip(plan.tasks, plan.decisions, strict=True):
        if decision.reason in _EXPLAINED or (decision.reason is Reason.OUTPUT_MISSING and _is_told(decision)):
            key = (type(task).__name__, decision.text)
            groups[key] = groups.get(key, 0) + 1
    for (name, text), number in islice(groups.items(), _MOST_LISTED):
        yield f"{name}{f' ({number} tasks)' if number > 1 else ''}: {text}"


def _is_told(decision: Decision) -> bool:
    return decision.cause not in ("", FIRST)


class Counter:
    """Thread that prints the numbers of a build at intervals."""

    def __init__(self, event: PlanMade, workers: int | None, line: Callable[[str], None]) -> None:
        self.counts = Counts()
        self.counts.count(event)
        self._estimate = Estimating(event.plan, workers)
        self._line = line
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._print, name="kart-display", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _print(self) -> None:
        while not self._stopped.wait(_INTERVAL):
            with suppress(Exception):  # the run goes on without it
                self._line(numbers(self.counts, self._estimate))
