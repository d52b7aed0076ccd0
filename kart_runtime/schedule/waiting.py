"""Tasks that other processes run: for whom a build waits, and when it says so."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import luigi

from kart_runtime.errors import LockTimeout
from kart_runtime.schedule.events import TaskLocked

_FIRST, _SECOND, _GROWTH, _LONGEST = 1.0, 10.0, 3.0, 600.0
"""Seconds until a build first says that it waits, from then to the second time, the growth and the longest interval."""

_HOLDER = re.compile(r"host (?P<host>.*), process (?P<process>\d+), since (?P<since>\S+)")


class Wait:
    """The wait of a task for its lock."""

    __slots__ = ("began", "error", "task")

    def __init__(self, task: luigi.Task, error: LockTimeout) -> None:
        self.task, self.error = task, error
        self.began = time.monotonic()

    def event(self) -> TaskLocked:
        """Return what listeners are told."""
        waited = time.monotonic() - self.began
        match = _HOLDER.fullmatch(self.error.holder)
        if match is None:
            return TaskLocked(self.task, holder=self.error.holder.partition(",")[0], seconds=waited)
        holder = f"process {match['process']} on {match['host']}"
        return TaskLocked(self.task, holder=holder, seconds=max(_seconds_since(match["since"]), waited))


class Waits:
    """What a build says about all the tasks that wait: the first word after a second, then in growing intervals."""

    def __init__(self) -> None:
        self._said, self._next, self._interval = 0, 0.0, _SECOND

    def event(self, waits: Sequence[Wait]) -> TaskLocked | None:
        """Return what is to be said now, about the task that waits longest; None if it is not time."""
        if not waits:
            return None
        first = min(waits, key=lambda wait: wait.began)
        now = time.monotonic()
        if now < max(self._next, first.began + _FIRST):
            return None
        self._next = now + self._interval
        self._interval = min(self._interval * _GROWTH, _LONGEST)
        self._said += 1
        return replace(first.event(), number=self._said, others=len(waits) - 1)

    def end(self) -> None:
        """Begin anew: no task waits any more."""
        self._said, self._next, self._interval = 0, 0.0, _SECOND


def _seconds_since(text: str) -> float:
    try:
        return time.time() - datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
