"""State of each task in the scheduler, and the queue of those that may start.

- ``IDLE``: nothing needs it, as far as is known.
- ``WAITING``: it will run. `n_pending` counts its unfinished dependencies; at 0 it is ready, then in flight. It
  may be suspended, if its `run()` has yielded tasks, or locked, if another process runs it.
- ``DONE``, ``FAILED``, ``MISSING``, ``BLOCKED`` (by a failed or missing one): final.

Used by `scheduler` only.
"""

from __future__ import annotations

import enum
import heapq
from typing import Any

import luigi

from kart_runtime.execution.attempt import Attempt
from kart_runtime.plan.decisions import Decision
from kart_runtime.schedule.resources import Limits, Needs


class NodeState(enum.Enum):
    """The state of a task, as the module's docstring says."""

    IDLE = enum.auto()
    WAITING = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()
    MISSING = enum.auto()
    BLOCKED = enum.auto()


class Node:
    """A task in the scheduler.

    Attributes
    ----------
    task, state, n_pending
        See the module's docstring.
    dependents
        The nodes that wait for this one.
    path_length
        Length of the critical path that starts here, in seconds.
    needs
        The resources that it needs.
    decision, output
        Why it runs, and what `output()` returned to the plan.
    attempt
        The attempt that is in flight, suspended or locked.
    failures
        Number of failed attempts.
    locked_since
        When another process was first seen to run it, on the clock of waiting (`Scheduler._waited`).
    """

    __slots__ = (
        "attempt",
        "decision",
        "dependents",
        "failures",
        "locked_since",
        "n_pending",
        "needs",
        "output",
        "path_length",
        "state",
        "task",
    )

    def __init__(self, task: luigi.Task) -> None:
        self.task = task
        self.state = NodeState.IDLE
        self.n_pending = 0
        self.dependents: list[Node] = []
        self.path_length = 0.0
        self.needs: Needs = ()
        self.decision: Decision | None = None
        self.output: Any = None
        self.attempt: Attempt | None = None
        self.failures = 0
        self.locked_since: float | None = None


class ReadyQueue:
    """The tasks that may start, in order.

    The first is the one with the highest `priority`, then the one with the longest way before it, then the one that
    became ready first. There is a heap for each set of resources that tasks need, so that those that wait for a
    resource are not looked at one by one.

    Parameters
    ----------
    limits
        Says what is free.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heaps: dict[Needs, list[tuple[float, float, int, Node]]] = {(): []}
        self._added = 0

    def add(self, node: Node) -> None:
        """Take in a task that waits for nothing any more."""
        self._added += 1
        heap = self._heaps.get(node.needs)
        if heap is None:
            heap = self._heaps[node.needs] = []
        heapq.heappush(heap, (-node.task.priority, -node.path_length, self._added, node))

    def next(self) -> Node | None:
        """Return the first task that everything it needs is free for, and let go of it; None when there is none."""
        found: list[tuple[float, float, int, Node]] | None = None
        for needs, heap in self._heaps.items():
            if heap and (found is None or heap[0] < found[0]) and self._limits.fits(needs):
                found = heap
        return heapq.heappop(found)[-1] if found else None

    def __bool__(self) -> bool:
        return any(self._heaps.values())


def find_cycle(node: Node) -> list[Node]:
    """Return the tasks of a cycle through one, each waiting for the next; empty when there is none.

    Parameters
    ----------
    node
        A task that waits.
    """
    waits_for: dict[Node, Node] = {}
    following = [node]
    while following:
        one = following.pop()
        for dependent in one.dependents:
            if dependent not in waits_for:
                waits_for[dependent] = one
                following.append(dependent)
    if node not in waits_for:
        return []
    cycle = [node]
    while waits_for[cycle[-1]] is not node:
        cycle.append(waits_for[cycle[-1]])
    return cycle
