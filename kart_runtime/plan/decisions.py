"""Plan: the dependency graph, and a run-or-skip decision for each task.

The scheduler makes one before anything runs, and one for tasks that a `run()` yields; the commands ``plan`` and
``tree`` show it. Planning changes nothing. Decisions go from downstream to upstream, because a dependency that only
complete tasks have is not needed and not checked. Tasks have indexes, so that an edge costs one look-up of a task.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, cast

import luigi

from kart_runtime.errors import KartError, OutputClash, PlanError
from kart_runtime.plan.graph import Graph, build_graph
from kart_runtime.storage.stores.listings import cached_listings
from kart_runtime.storage.target import path_of
from kart_runtime.task.base import TaskOnKart, is_complete
from kart_runtime.task.nested import flatten
from kart_runtime.task.parameters import using_overrides
from kart_runtime.task.state import own_overrides


class Action(enum.StrEnum):
    """What happens to a task."""

    RUN = "run"
    SKIP = "skip"
    MISSING = "missing"
    """An external input that does not exist: the tasks that require it cannot run."""


class Reason(enum.Enum):
    """Reason of a decision; the value is the text that users read."""

    OUTPUT_MISSING = "its output does not exist"
    RERUN = "rerun is set"
    INCOMPLETE = "complete() returned False"
    EXTERNAL_MISSING = "external input not found"
    COMPLETE = "its output exists"
    NOT_NEEDED = "not needed by any task to run"


class Decision(NamedTuple):
    """What happens to a task, and why.

    Attributes
    ----------
    action, reason
        Action and reason.
    detail
        For example the missing output.
    """

    action: Action
    reason: Reason
    detail: str = ""

    @property
    def text(self) -> str:
        """Return the reason and its detail as text."""
        return f"{self.reason._value_}: {self.detail}" if self.detail else self.reason._value_


@dataclass(frozen=True)
class Plan:
    """The graph below some roots, and what happens to each task in it.

    Attributes
    ----------
    roots
        The requested tasks.
    graph
        All tasks, upstream before downstream, with their dependencies.
    decisions
        What happens to each task, in the order of `graph.tasks`.
    writers
        URL of an output to the tasks that will write it: one, or several of which one requires another.
    outputs
        What `output()` returned, by index, for the tasks that run.
    """

    roots: tuple[luigi.Task, ...]
    graph: Graph
    decisions: Sequence[Decision]
    writers: Mapping[str, list[luigi.Task]] = field(default_factory=dict)
    outputs: Mapping[int, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> Sequence[luigi.Task]:
        """Return all tasks, upstream before downstream."""
        return self.graph.tasks

    @cached_property
    def requires(self) -> Mapping[luigi.Task, tuple[luigi.Task, ...]]:
        """Return the tasks that each task requires."""
        return self.graph.by_task()

    @cached_property
    def decision_by_task(self) -> Mapping[luigi.Task, Decision]:
        """Return what happens to each task."""
        return dict(zip(self.graph.tasks, self.decisions, strict=True))

    def with_action(self, action: Action) -> list[luigi.Task]:
        """Return the tasks to which something happens, upstream before downstream."""
        return [task for task, decision in zip(self.tasks, self.decisions, strict=True) if decision.action is action]


def make_plan(roots: Sequence[luigi.Task], *, check_all: bool = False) -> Plan:
    """Build the graph below some tasks and decide about each of them.

    Parameters
    ----------
    roots
        The requested tasks.
    check_all
        Check completeness of all tasks, also of those that nothing requires to run.

    Raises
    ------
    PlanError
        The graph has a cycle, a requirement is not a task, or a `complete()` raises.
    OutputClash
        Two different tasks would write one file.
    """
    graph = build_graph(roots)
    decider = _Decider(graph)
    with cached_listings():
        decisions = decider.decide(roots, check_all)
    return Plan(tuple(dict.fromkeys(roots)), graph, decisions, decider.writers, decider.outputs)


_COMPLETE = Decision(Action.SKIP, Reason.COMPLETE)
_NOT_NEEDED = Decision(Action.SKIP, Reason.NOT_NEEDED)
_RERUN = Decision(Action.RUN, Reason.RERUN)


class _Decider:
    """Decides about the tasks of one graph, and collects who would write what."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.writers: dict[str, list[luigi.Task]] = {}
        self.outputs: dict[int, Any] = {}

    def decide(self, roots: Iterable[luigi.Task], check_all: bool) -> list[Decision]:
        tasks, upstream = self._graph.tasks, self._graph.upstream
        decisions = [_NOT_NEEDED] * len(tasks)
        needed = bytearray(len(tasks))
        for root in roots:
            needed[self._graph.index_of[root]] = True
        for index in range(len(tasks) - 1, -1, -1):
            task = tasks[index]
            if needed[index]:
                decision, output = _decision(task)
                decisions[index] = decision
                if decision.action is Action.RUN:
                    for dependency in upstream[index]:
                        needed[dependency] = True
                    self.outputs[index] = output
                    self._note_writers(task, output)
            elif check_all:
                decision, _ = _decision(task)
                skipped = decision.action is Action.SKIP
                decisions[index] = decision if skipped else Decision(Action.SKIP, Reason.NOT_NEEDED, decision.text)
        return decisions

    def _note_writers(self, task: luigi.Task, output: Any) -> None:
        for target in flatten(output):
            url = path_of(target)
            others = self.writers.get(url)
            if others is None:
                self.writers[url] = [task]
                continue
            check_output_clash(url, task, others, self._graph)
            others.append(task)


def check_output_clash(url: str, task: luigi.Task, others: Sequence[luigi.Task], graph: Graph) -> None:
    """Raise `OutputClash` if a task would write what others write, unless it passes on what it requires."""
    if any(_requires(graph, task, other) or _requires(graph, other, task) for other in others):
        return
    raise OutputClash(url, [str(others[0]), str(task)])


def _requires(graph: Graph, task: luigi.Task, other: luigi.Task) -> bool:
    index, other_index = graph.index_of.get(task), graph.index_of.get(other)
    return index is not None and other_index is not None and other_index in graph.upstream[index]


def _decision(task: luigi.Task) -> tuple[Decision, Any]:
    """Return what happens to a task, and its output if that was asked for."""
    overrides = own_overrides(task)
    if overrides is None:
        return _decide(task)
    with using_overrides(overrides):
        return _decide(task)


def _decide(task: luigi.Task) -> tuple[Decision, Any]:
    try:
        if isinstance(task, TaskOnKart) and task.rerun:
            return _RERUN, task.output()
        by_outputs = _is_judged_by_outputs(task)
        if not by_outputs and is_complete(task):
            return _COMPLETE, None
        output = task.output()
        outputs = flatten(output)
        missing = next((path_of(target) for target in outputs if not target.exists()), "")
    except KartError:
        raise
    except Exception as error:
        raise PlanError(f"{task}: its completeness check raised {type(error).__name__}: {error}") from error
    if by_outputs and outputs and not missing:
        return _COMPLETE, output
    if task.run is None or task.run == NotImplemented or isinstance(task, luigi.ExternalTask):
        return Decision(Action.MISSING, Reason.EXTERNAL_MISSING, missing), output
    return Decision(Action.RUN, Reason.OUTPUT_MISSING if missing else Reason.INCOMPLETE, missing), output


def _is_judged_by_outputs(task: luigi.Task) -> bool:
    # Then the outputs are asked here, once, and the first that is missing is the reason.
    if type(task).complete is not TaskOnKart.complete:
        return False
    kart = cast("TaskOnKart[object]", task)
    return not (kart.strict_check or kart.modification_time_check)
