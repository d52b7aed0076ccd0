"""Counts of a build as it goes on, for displays: what is done, runs, failed and is blocked, by class of tasks.

The build only counts, a few operations for each task. Whatever needs more (what a failure blocks, how long the rest
takes) is worked out when somebody looks, in the thread of the display.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import luigi

from kart_runtime.execution.attempt import AttemptState
from kart_runtime.plan.decisions import Action, Plan, Reason
from kart_runtime.schedule.critical_path import TaskClass
from kart_runtime.schedule.events import (
    Event,
    PlanMade,
    TaskFinished,
    TaskLocked,
    TaskProgress,
    TaskStarted,
    TaskUnchanged,
)


@dataclass(eq=False)
class ClassCount:
    """Counts of the tasks of one class; `seconds` is the sum of the durations of the `timed` tasks that ran."""

    name: str
    key: TaskClass
    total: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    blocked: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Return the number of tasks that are still to end."""
        return self.total - self.done - self.failed - self.blocked

    def mean(self) -> float | None:
        """Return the mean duration of those that ran; None before the first."""
        return self.seconds / self.timed if self.timed else None


@dataclass(eq=False)
class Running:
    """A task that runs, since when, what it has said about its progress, and the seconds that it may take."""

    task: luigi.Task
    since: float
    done: float | None = None
    text: str = ""
    limit: float | None = None


@dataclass(eq=False)
class Counts:
    """Counts of one build. `count` is called by the build; the rest by whoever shows them, in another thread.

    `news` is what a display prints: failures, retries and for whom the build waits, and if `keeps_results` the results
    of all tasks.
    """

    keeps_results: bool = False
    plan: Plan | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    complete: int = 0
    most_running: int = 0
    classes: dict[type, ClassCount] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    locked: dict[int, TaskLocked] = field(default_factory=dict)
    ended: dict[int, TaskFinished | None] = field(default_factory=dict)
    """Identity of the task objects that have ended to how; None: it stayed as it was."""
    news: deque[TaskFinished | TaskLocked] = field(default_factory=deque)
    began: float = field(default_factory=time.time)
    _known: set[int] = field(default_factory=set)
    _failures: deque[luigi.Task] = field(default_factory=deque)
    _blocked: set[int] = field(default_factory=set)
    _downstream: list[list[int]] | None = None

    def count(self, event: Event) -> None:
        """Count an event of the build."""
        if isinstance(event, TaskFinished):
            self._finished(event)
        elif isinstance(event, TaskStarted):
            self._started(event)
        elif isinstance(event, TaskProgress):
            running = self.running.get(id(event.task))
            if running is not None:
                running.done, running.text = event.done, event.text
        elif isinstance(event, TaskLocked):
            self._forget_running(event.task)
            self.locked[id(event.task)] = event
            if event.number:
                self.news.append(event)
        elif isinstance(event, TaskUnchanged):
            self._end(event.task, None)
        elif isinstance(event, PlanMade):
            self._planned(event.plan)

    def _planned(self, plan: Plan) -> None:
        self.plan = plan
        for task in plan.to_run:
            self._class_of(task).total += 1
        self.total = len(plan.to_run)
        self._known = set(map(id, plan.to_run))
        for task, decision in zip(plan.tasks, plan.decisions, strict=True):
            if decision.reason is Reason.COMPLETE:
                self.complete += 1
            elif decision.action is Action.MISSING:
                self._failures.append(task)

    def _class_of(self, task: luigi.Task) -> ClassCount:
        cls = type(task)
        found = self.classes.get(cls)
        if found is None:
            found = self.classes[cls] = ClassCount(cls.__name__, (cls.__module__, cls.__name__))
        return found

    def _started(self, event: TaskStarted) -> None:
        task = event.task
        number = id(task)
        self.locked.pop(number, None)
        count = self._class_of(task)
        if number not in self._known:  # run() of another one has yielded it
            self._known.add(number)
            self.total += 1
            count.total += 1
        if number not in self.running:
            count.running += 1
        self.running[number] = Running(task, event.at, limit=event.timeout)
        self.most_running = max(self.most_running, len(self.running))

    def _finished(self, event: TaskFinished) -> None:
        outcome = event.outcome
        if event.is_retried:
            self._forget_running(event.task)
            self.news.append(event)
            return
        count = self._end(event.task, event)
        if outcome.state is AttemptState.FAILED:
            count.failed += 1
            self.failed += 1
            count.done -= 1
            self.done -= 1
            self._failures.append(event.task)
            self.news.append(event)
            return
        if outcome.state is AttemptState.DONE:
            count.timed += 1
            count.seconds += outcome.seconds
        if self.keeps_results:
            self.news.append(event)

    def _end(self, task: luigi.Task, event: TaskFinished | None) -> ClassCount:
        count = self._class_of(task)
        number = id(task)
        if self.running.pop(number, None) is not None:
            count.running -= 1
        self.locked.pop(number, None)
        if number not in self._known:
            self._known.add(number)
            self.total += 1
            count.total += 1
        self.ended[number] = event
        count.done += 1
        self.done += 1
        return count

    def _forget_running(self, task: luigi.Task) -> None:
        if self.running.pop(id(task), None) is not None:
            self._class_of(task).running -= 1

    # -- for whoever shows them ------------------------------------------------------------------------------------

    def longest_running(self) -> list[Running]:
        """Return the tasks that run, those first that have begun first."""
        return sorted(self.running.copy().values(), key=lambda each: each.since)

    def blocked(self) -> int:
        """Return the number of tasks that do not run because of a failed or missing one."""
        plan = self.plan
        while plan is not None and self._failures:
            index = plan.graph.index_of.get(self._failures.popleft())
            if index is not None:
                self._block_below(plan, index)
        return len(self._blocked)

    def is_blocked(self, task: luigi.Task) -> bool:
        """Return whether a task does not run because of a failed or missing one."""
        return id(task) in self._blocked

    def _block_below(self, plan: Plan, index: int) -> None:
        if self._downstream is None:
            self._downstream = _downstream(plan)
        below = list(self._downstream[index])
        while below:
            index = below.pop()
            task = plan.tasks[index]
            if id(task) in self._known and id(task) not in self._blocked and id(task) not in self.ended:
                self._blocked.add(id(task))
                self._class_of(task).blocked += 1
                below += self._downstream[index]


def _downstream(plan: Plan) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in plan.tasks]
    for index, upstream in enumerate(plan.graph.upstream):
        for dependency in upstream:
            found[dependency].append(index)
    return found


def states(counts: Counts) -> list[str]:
    """Return how many tasks run, have failed and so on, in words, without those of which there is none."""
    numbers = (
        (len(counts.running), "running"),
        (counts.failed, "failed"),
        (counts.blocked(), "blocked"),
        (len(counts.locked), "run by another process"),
        (counts.complete, "complete"),
    )
    return [f"{number:,} {word}" for number, word in numbers if number]
