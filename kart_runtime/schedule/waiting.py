"""Tasks that wait for the lock that another process holds, or for the end of a pause."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import luigi

from kart_runtime.errors import LockTimeout
from kart_runtime.schedule.events import TaskLocked
from kart_runtime.schedule.ready_queue import Node
from kart_runtime.task.naming import display_name

_FIRST, _SECOND, _GROWTH, _LONGEST = 1.0, 10.0, 3.0, 600.0
"""Seconds until a build first says that it waits, from then to the second time, the growth and the longest interval."""

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries at locked tasks, growing from the first to the last."""

_HOLDER = re.compile(r"host (?P<host>.*), process (?P<process>\d+), since (?P<since>[^\s;]+)(; it (?P<note>.*))?")


class LockedTasks:
    """The tasks of a build that other processes run: when they are tried again, and what is said meanwhile.

    What is said is about all of them: the first word after a second, then in growing intervals.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        """Seconds that a task may wait."""
        self._waits: dict[Node, _Wait] = {}
        self._nodes: list[Node] = []
        """Those of the waiting tasks that are not tried at this moment."""
        self.pause = _FIRST_PAUSE
        """Seconds until they are tried again."""
        self._waited = 0.0
        """Seconds in which only locked tasks could have started: other work is no waiting."""
        self._tried = 0.0
        self._said, self._next, self._interval = 0, 0.0, _SECOND

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def add(self, node: Node, error: LockTimeout) -> TaskLocked | None:
        """Let a task wait that is locked; return what is said of it the first time. Raise `LockTimeout` in the end."""
        wait, event = self._waits.get(node), None
        if wait is None:
            wait = self._waits[node] = _Wait(node.task, error, self._waited)
            event = wait.event()
        wait.error = error
        waited = self._waited - wait.since
        if waited >= self._limit:
            del self._waits[node]
            raise LockTimeout(display_name(node.task), waited, error.holder)
        self._nodes.append(node)
        return event

    def remove(self, node: Node) -> None:
        """End the wait of a task that is not locked any more."""
        if self._waits.pop(node, None) is not None:
            self.pause = _FIRST_PAUSE
            if not self._nodes:
                self._said, self._next, self._interval = 0, 0.0, _SECOND

    def take(self, seconds: float) -> list[Node]:
        """Return all tasks that are to be tried again, after some seconds without anything else to do."""
        self._waited += seconds
        self._tried = time.monotonic()
        self.pause = min(self.pause * 1.5, _LAST_PAUSE)
        nodes, self._nodes = self._nodes, []
        return nodes

    @property
    def are_late(self) -> bool:
        """Whether they were tried too long ago, since others come and go."""
        return bool(self._nodes) and time.monotonic() - self._tried > _LAST_PAUSE

    @property
    def wait_for_suspended(self) -> bool:
        """Whether the holder of a lock has suspended its task, so that it may wait for this build."""
        return any(self._waits[node].error.is_suspended for node in self._nodes)

    def event(self) -> TaskLocked | None:
        """Return what is to be said now, about the task that waits longest; None if it is not time."""
        if not self._nodes:
            return None
        first = min((self._waits[node] for node in self._nodes), key=lambda wait: wait.began)
        now = time.monotonic()
        if now < max(self._next, first.began + _FIRST):
            return None
        self._next = now + self._interval
        self._interval = min(self._interval * _GROWTH, _LONGEST)
        self._said += 1
        return replace(first.event(), number=self._said, others=len(self._nodes) - 1)


class _Wait:
    """The wait of a task for its lock; `since` is when it began on the clock of `LockedTasks`."""

    __slots__ = ("began", "error", "since", "task")

    def __init__(self, task: luigi.Task, error: LockTimeout, since: float) -> None:
        self.task, self.error, self.since = task, error, since
        self.began = time.monotonic()

    def event(self) -> TaskLocked:
        """Return what listeners are told."""
        waited = time.monotonic() - self.began
        match = _HOLDER.fullmatch(self.error.holder)
        if match is None:
            return TaskLocked(self.task, holder=self.error.holder.partition(",")[0], seconds=waited)
        holder = f"process {match['process']} on {match['host']}"
        seconds = max(_seconds_since(match["since"]), waited)
        return TaskLocked(self.task, holder=holder, seconds=seconds, note=match["note"] or "")


class PausedTasks:
    """The tasks of a build that are tried again after a pause."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Node]] = []
        self._added = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, node: Node, seconds: float) -> None:
        """Let a task pause."""
        self._added += 1
        heapq.heappush(self._heap, (time.monotonic() + seconds, self._added, node))

    @property
    def seconds_left(self) -> float:
        """Seconds until the first pause is over."""
        return self._heap[0][0] - time.monotonic()

    def take(self) -> Iterator[Node]:
        """Yield the tasks whose pause is over."""
        while self._heap and self._heap[0][0] <= time.monotonic():
            yield heapq.heappop(self._heap)[-1]


def _seconds_since(text: str) -> float:
    try:
        return time.time() - datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
