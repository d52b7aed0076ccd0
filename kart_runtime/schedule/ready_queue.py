"""What does the loop know of each task? A node, which has a state.

- ``IDLE``: nothing needs it, as far as is known,
- ``WAITING``: it will run. `waits` counts what it requires that has not finished; at nought it is among the ready ones,
  then it is in flight, and it may be suspended, when its `run()` has yielded tasks, or locked, when it gave way to
  another process,
- ``ENDED``, ``FAILED``, ``MISSING``, ``BLOCKED`` (by one that failed or is missing): nothing happens to it any more.

Called by `schedule` only.
"""

from __future__ import annotations

import enum
import heapq

import luigi

from kart_runtime.execution.attempt import Attempt
from kart_runtime.plan.decisions import Decision
from kart_runtime.schedule.resources import Limits, Needs
from kart_runtime.task.identity import kept_with


class Is(enum.Enum):
    """The state of a task, as the module's docstring says."""

    IDLE = enum.auto()
    WAITING = enum.auto()
    ENDED = enum.auto()
    FAILED = enum.auto()
    MISSING = enum.auto()
    BLOCKED = enum.auto()


class Node:
    """A task in the loop.

    Attributes
    ----------
    task, kept
        The task, and what the engine keeps with it.
    state, waits
        As the module's docstring says.
    dependents
        What waits for it.
    length
        The longest way before it.
    needs
        The resources that it needs.
    decision
        Why it runs.
    attempt
        The attempt that is in flight, suspended or locked.
    failures
        How often it has failed.
    locked_since
        When it first gave way to another process, in the seconds that the loop has waited for such tasks.
    """

    __slots__ = (
        "attempt",
        "decision",
        "dependents",
        "failures",
        "kept",
        "length",
        "locked_since",
        "needs",
        "state",
        "task",
        "waits",
    )

    def __init__(self, task: luigi.Task) -> None:
        self.task = task
        self.kept = kept_with(task)
        self.state = Is.IDLE
        self.waits = 0
        self.dependents: list[Node] = []
        self.length = 0.0
        self.needs: Needs = ()
        self.decision: Decision | None = None
        self.attempt: Attempt | None = None
        self.failures = 0
        self.locked_since: float | None = None


class Ready:
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
        heapq.heappush(heap, (-node.task.priority, -node.length, self._added, node))

    def next(self) -> Node | None:
        """Return the first task that everything it needs is free for, and let go of it; None when there is none."""
        found: list[tuple[float, float, int, Node]] | None = None
        for needs, heap in self._heaps.items():
            if heap and (found is None or heap[0] < found[0]) and self._limits.fits(needs):
                found = heap
        return heapq.heappop(found)[-1] if found else None

    def __bool__(self) -> bool:
        return any(self._heaps.values())


def circle_through(node: Node) -> list[Node]:
    """Return the tasks of a circle through one, each waiting for the next; empty when there is none.

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
    circle = [node]
    while waits_for[circle[-1]] is not node:
        circle.append(waits_for[circle[-1]])
    return circle
