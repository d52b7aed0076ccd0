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
import time
from typing import Any

import luigi

from kart_runtime.execution.attempt import Attempt
from kart_runtime.execution.executors.base import CallLimits
from kart_runtime.plan.decisions import Decision
from kart_runtime.schedule.resources import Limits, Needs


class NodeState(enum.Enum):
    """State of a task; see the module's docstring."""

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
    errors
        Errors of the failed attempts, after which the task is tried again.
    call_limits, gpus
        Limits of the attempt in flight, and the GPUs that it was given.
    ready_at
        When nothing was left to wait for but a worker, in seconds since the epoch; 0 until then.
    """

    __slots__ = (
        "attempt",
        "call_limits",
        "decision",
        "dependents",
        "errors",
        "gpus",
        "n_pending",
        "needs",
        "output",
        "path_length",
        "ready_at",
        "state",
        "task",
    )

    def __init__(self, task: luigi.Task) -> None:
        self.task = task
        self.state = NodeState.IDLE
        self.n_pending = 0
        self.ready_at = 0.0
        self.dependents: list[Node] = []
        self.path_length = 0.0
        self.needs: Needs = ()
        self.decision: Decision | None = None
        self.output: Any = None
        self.attempt: Attempt | None = None
        self.errors: list[BaseException] = []
        self.call_limits: CallLimits | None = None
        self.gpus: tuple[str, ...] = ()


class ReadyQueue:
    """Tasks that may start: highest `priority` first, then longest critical path, then first come.

    There is a heap for each set of resources that tasks need, so that tasks that wait for a resource are skipped
    together.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heaps: dict[Needs, list[tuple[float, float, int, Node]]] = {(): []}
        self._added = 0

    def add(self, node: Node) -> None:
        """Add a task without unfinished dependencies."""
        self._added += 1
        node.ready_at = node.ready_at or time.time()
        heap = self._heaps.get(node.needs)
        if heap is None:
            heap = self._heaps[node.needs] = []
        heapq.heappush(heap, (-node.task.priority, -node.path_length, self._added, node))

    def next(self) -> Node | None:
        """Remove and return the first task whose resources are free, or None."""
        best: list[tuple[float, float, int, Node]] | None = None
        for needs, heap in self._heaps.items():
            if heap and (best is None or heap[0] < best[0]) and self._limits.fits(needs):
                best = heap
        return heapq.heappop(best)[-1] if best else None

    def __bool__(self) -> bool:
        return any(self._heaps.values())


def find_cycle(node: Node) -> list[Node]:
    """Return the nodes of a cycle through a node, each waiting for the next; empty if there is none."""
    waits_for: dict[Node, Node] = {}
    following = [node]
    while following:
        current = following.pop()
        for dependent in current.dependents:
            if dependent not in waits_for:
                waits_for[dependent] = current
                following.append(dependent)
    if node not in waits_for:
        return []
    cycle = [node]
    while waits_for[cycle[-1]] is not node:
        cycle.append(waits_for[cycle[-1]])
    return cycle
