"""Progress of a running task: how far it is, and what it is doing, for whoever watches the run.

A report is cheap and may be left out: of many, about four a second are sent. Where nobody watches, none is made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from kart_runtime.storage.staging import active_run, this_process
from kart_runtime.task.state import TaskRun

T = TypeVar("T")

Report = Callable[[float | None, str], None]
"""Receiver of the part that is done, from 0 to 1 if it is known, and of a text."""

_A_SECOND = 4.0
"""Reports of a task to send each second, and how many may go ahead of that."""

_LONGEST = 200
"""Characters of a text."""

remote_report: ContextVar[Report | None] = ContextVar("remote_report", default=None)
"""Receiver of the reports of the call that a worker runs here."""


class _Loop:
    """A loop over `progress`, and how far it is."""

    __slots__ = ("count", "text", "total")

    def __init__(self, total: float | None, text: str) -> None:
        self.count, self.total, self.text = 0, total, text


class Progress:
    """State of one run's reports: the loops, outermost first, what the task itself has said, and what may be sent."""

    __slots__ = ("_done", "_report", "_text", "_tokens", "_when", "loops")

    def __init__(self, report: Report) -> None:
        self._report = report
        self.loops: list[_Loop] = []
        self._done: float | None = None
        self._text = ""
        self._tokens, self._when = _A_SECOND, time.monotonic()

    def say(self, done: float | None = None, text: str | None = None) -> None:
        """Report what the task says itself; what is None stays as it was."""
        self._done = self._done if done is None else done
        self._text = self._text if text is None else text
        self.send(matters=True)

    def send(self, *, matters: bool = False) -> None:
        """Send a report, unless there were too many; one that `matters` goes ahead of later ones."""
        now = time.monotonic()
        tokens = min(self._tokens + (now - self._when) * _A_SECOND, _A_SECOND)
        self._tokens, self._when = tokens, now
        if tokens < (1.0 - _A_SECOND if matters else 1.0):
            return
        self._tokens -= 1.0
        try:
            self._report(*self._now())
        except Exception:  # noqa: BLE001 - whoever watches is no reason to fail
            return

    def _now(self) -> tuple[float | None, str]:
        done, part, texts = 0.0, 1.0, []
        is_known = False
        for loop in self.loops[:]:
            texts.append(loop.text or ("" if loop.total else f"{loop.count:,}"))
            if loop.total and part:
                is_known = is_known or loop is self.loops[0]
                done += part * min(loop.count / loop.total, 1.0)
                part = part / loop.total if loop.count < loop.total else 0.0
            else:
                part = 0.0
        text = " ".join(filter(None, (self._text, *texts)))
        return (done if is_known else self._done), text[:_LONGEST]


def progress_of(task: Any) -> Progress | None:
    """Return the state of a task's reports; None if it does not run here, or nobody watches."""
    run: TaskRun | None = task.__dict__.get("_kart_run")
    return None if run is None else _progress(run)


def _progress(run: Any) -> Progress | None:
    if run.report is None or run.process is not this_process():  # a child process that run() has forked
        return None
    if run.progress is None:
        run.progress = Progress(run.report)
    found: Progress = run.progress
    return found


def iterate(task: Any, iterable: Iterable[T], total: float | None, text: str) -> Iterable[T]:
    """Return an iterable of the same items that reports how many have been taken; the iterable itself if none does."""
    progress = progress_of(task)
    return iterable if progress is None else _reported(progress, iterable, _total(iterable, total), str(text))


def _total(iterable: Any, total: float | None) -> float | None:
    try:
        total = len(iterable) if total is None else float(total)
    except Exception:  # noqa: BLE001 - it has no length, whatever its __len__ raises
        return None
    return total if total > 0 and math.isfinite(total) else None


def _reported(progress: Progress, iterable: Iterable[T], total: float | None, text: str) -> Iterator[T]:
    loop = _Loop(total, text)
    progress.loops.append(loop)
    try:
        progress.send()
        for item in iterable:
            yield item
            loop.count += 1
            progress.send()
        progress.send(matters=len(progress.loops) == 1)
    finally:
        if loop in progress.loops:
            progress.loops.remove(loop)


def report_percentage(percentage: float) -> None:
    """Report a percentage of the task whose `run()` runs here; luigi's `set_progress_percentage`."""
    say_percentage(_active(), percentage)


def report_status(message: object) -> None:
    """Report a text about the task whose `run()` runs here; luigi's `set_status_message`."""
    say_status(_active(), message)


def _active() -> Progress | None:
    run = active_run.get()
    return None if run is None else _progress(run)


def say_percentage(progress: Progress | None, percentage: Any) -> None:
    """Report a percentage, if somebody watches and it is a number."""
    if progress is not None:
        try:
            part = float(percentage) / 100
        except (TypeError, ValueError):
            return
        if math.isfinite(part):
            progress.say(done=min(max(part, 0.0), 1.0))


def say_status(progress: Progress | None, message: object) -> None:
    """Report a text, if somebody watches."""
    if progress is not None:
        progress.say(text="" if message is None else str(message)[:_LONGEST])
