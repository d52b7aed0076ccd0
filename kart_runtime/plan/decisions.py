"""Plan: the dependency graph, and a run-or-skip decision for each task.

The scheduler makes one before anything runs, and one for tasks that a `run()` yields; the commands ``plan`` and
``tree`` show it. Planning changes nothing. Decisions go from downstream to upstream, because a dependency that only
complete tasks have is not needed and not checked. Tasks have indexes, so that an edge costs one look-up of a task.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

import luigi

from kart_runtime.errors import KartError, OutputClash, PlanError, described
from kart_runtime.history.html_tables import html_table
from kart_runtime.plan.changes import Change, Changes, Difference
from kart_runtime.plan.graph import Graph, build_graph
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.storage.confinement import check_inside
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import VARIABLE, keyring
from kart_runtime.storage.stores.listings import cached_listings
from kart_runtime.storage.target import Target, path_of
from kart_runtime.task.base import TaskOnKart, is_complete
from kart_runtime.task.nested import flatten
from kart_runtime.task.origin import other_writer
from kart_runtime.task.parameters import using_overrides
from kart_runtime.task.state import identity_of, own_overrides


class Action(enum.StrEnum):
    """What happens to a task."""

    RUN = "run"
    MAYBE = "maybe"
    """It runs if the tasks upstream of it that run give another result than before."""
    SKIP = "skip"
    MISSING = "missing"
    """An external input that does not exist: the tasks that require it cannot run."""


class Reason(enum.Enum):
    """Reason of a decision; the value is the text that users read."""

    OUTPUT_MISSING = "its output does not exist"
    RERUN = "rerun is set"
    INCOMPLETE = "complete() returned False"
    CODE_CHANGED = "its code changed"
    INPUT_CHANGED = "its input changed"
    OUTPUT_CHANGED = "its output changed"
    INTERRUPTED = "an earlier run of it was interrupted"
    OUTPUT_DAMAGED = "its output was damaged on the disk"
    OTHER_WRITER = "its output was written by another task"
    NOT_SIGNED = "its output is not signed"
    UPSTREAM_RUNS = "runs if the results upstream change"
    EXTERNAL_MISSING = "external input not found"
    COMPLETE = "its output exists"
    DELETED = "its output was deleted and is not needed"
    NOT_NEEDED = "not needed by any task to run"


class Decision(NamedTuple):
    """What happens to a task, and why.

    Attributes
    ----------
    action, reason
        Action and reason.
    detail
        For example the missing output.
    cause
        What `causes` has found out about it from earlier runs; "" if it was not asked, or knows no more.
    """

    action: Action
    reason: Reason
    detail: str = ""
    cause: str = ""

    @property
    def text(self) -> str:
        """Return the cause, or the reason and its detail, as text."""
        if self.cause:
            return self.cause
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
    changes
        Comparison of the tasks with the records of their outputs.
    warnings
        Complete tasks that stay as they are although something has changed since they ran, and the reason.
    found
        Outputs on disks because of which tasks are complete.
    """

    roots: tuple[luigi.Task, ...]
    graph: Graph
    decisions: Sequence[Decision]
    writers: Mapping[str, list[luigi.Task]] = field(default_factory=dict)
    outputs: Mapping[int, Any] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    warnings: Sequence[tuple[luigi.Task, Decision]] = ()
    found: list[Target] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Plan of {self._counted()}>"

    def _repr_html_(self) -> str:
        order = [Action.MISSING, Action.RUN, Action.MAYBE, Action.SKIP]
        rows = sorted(zip(self.tasks, self.decisions, strict=True), key=lambda row: order.index(row[1].action))
        texts = ((self.labels(task), decision.action.value, decision.text) for task, decision in rows)
        return html_table(("task", "action", "reason"), texts, title=f"Plan of {self._counted()}")

    def _counted(self) -> str:
        counts = Counter(decision.action.value for decision in self.decisions)
        tasks = f"{len(self.tasks):,} task{'' if len(self.tasks) == 1 else 's'}"
        return f"{tasks}: {', '.join(f'{number:,} {action}' for action, number in counts.items())}"

    @property
    def tasks(self) -> Sequence[luigi.Task]:
        """Return all tasks, upstream before downstream."""
        return self.graph.tasks

    @cached_property
    def requires(self) -> Mapping[luigi.Task, tuple[luigi.Task, ...]]:
        """Return the tasks that each task requires."""
        return self.graph.by_task()

    @cached_property
    def labels(self) -> TaskLabels:
        """Return the names of the tasks for people, which tell tasks of one class apart by what differs."""
        return TaskLabels(self.tasks)

    @cached_property
    def decision_by_task(self) -> Mapping[luigi.Task, Decision]:
        """Return what happens to each task."""
        return dict(zip(self.graph.tasks, self.decisions, strict=True))

    def with_action(self, action: Action) -> list[luigi.Task]:
        """Return the tasks to which something happens, upstream before downstream."""
        return [task for task, decision in zip(self.tasks, self.decisions, strict=True) if decision.action is action]

    @cached_property
    def to_run(self) -> list[luigi.Task]:
        """Return the tasks that run, or may have to, upstream before downstream."""
        return [task for task, decision in zip(self.tasks, self.decisions, strict=True) if decision.action in RUNNING]

    def has_lost_outputs(self) -> bool:
        """Return whether outputs were deleted since they were found, so that the plan has to be made again."""
        has_lost = not all(target.exists() for target in self.found)
        self.found.clear()  # nobody asks twice
        return has_lost

    def warning_lines(self) -> Iterator[str]:
        """Yield a line for each change because of which outputs may be out of date, with the tasks that it concerns."""
        tasks: dict[tuple[str, Decision], list[luigi.Task]] = defaultdict(list)
        for task, decision in self.warnings:
            tasks[type(task).__name__, decision].append(task)
        for (name, decision), group in tasks.items():
            label = self.labels(group[0]) if len(group) == 1 else f"{len(group)} tasks of {name}"
            yield f"{label}: {decision.text}. {_CONSEQUENCES[decision.reason]}"


def make_plan(
    roots: Sequence[luigi.Task],
    *,
    check_all: bool = False,
    changes: Changes | None = None,
    rerun: Collection[luigi.Task] = (),
) -> Plan:
    """Build the graph below some tasks and decide about each of them.

    Parameters
    ----------
    roots
        The requested tasks.
    check_all
        Check completeness of all tasks, also of those that nothing requires to run.
    changes
        Comparison of the tasks with the records of their outputs; says what a change leads to.
    rerun
        Tasks to run again, whether or not they are complete.

    Raises
    ------
    PlanError
        The graph has a cycle, a requirement is not a task, or a `complete()` raises.
    OutputClash
        Two different tasks would write one file.
    """
    graph = build_graph(roots)
    decider = _Decider(graph, changes or Changes(), rerun)
    with cached_listings():
        decisions = decider.decide(roots, check_all)
    return Plan(
        tuple(dict.fromkeys(roots)),
        graph,
        decisions,
        decider.writers,
        decider.outputs,
        decider.changes,
        decider.warnings,
        decider.found(),
    )


_COMPLETE = Decision(Action.SKIP, Reason.COMPLETE)
_ALL_COMPLETE = Decision(Action.SKIP, Reason.COMPLETE, cause="all that it requires is complete")
_INCOMPLETE_WRAPPER = Decision(Action.RUN, Reason.INCOMPLETE, cause="not all that it requires is complete")
_NOT_NEEDED = Decision(Action.SKIP, Reason.NOT_NEEDED)
_RERUN = Decision(Action.RUN, Reason.RERUN)
_MAYBE = Decision(Action.MAYBE, Reason.UPSTREAM_RUNS)

_CONSEQUENCES = {
    Reason.CODE_CHANGED: "The stored output is used as it is.",
    Reason.INPUT_CHANGED: "The stored output is used as it is.",
    Reason.OUTPUT_CHANGED: "Loading it fails: accept it by `kart accept`, or delete it to compute it again.",
}
"""What follows if a change is no reason to run."""

RUNNING = frozenset({Action.RUN, Action.MAYBE})
"""Actions of tasks that run, or may have to."""

REPLACING = frozenset(
    {
        Reason.RERUN,
        Reason.CODE_CHANGED,
        Reason.INPUT_CHANGED,
        Reason.OUTPUT_CHANGED,
        Reason.INTERRUPTED,
        Reason.OUTPUT_DAMAGED,
        Reason.OTHER_WRITER,
        Reason.NOT_SIGNED,
    }
)
"""Reasons to run although all outputs may exist: each must be dumped again."""

REASONS: Mapping[Difference, Reason] = {
    Difference.CODE: Reason.CODE_CHANGED,
    Difference.INPUT: Reason.INPUT_CHANGED,
    Difference.OUTPUT: Reason.OUTPUT_CHANGED,
    Difference.INTERRUPTED: Reason.INTERRUPTED,
    Difference.DAMAGED: Reason.OUTPUT_DAMAGED,
}
"""Kind of a change to the reason that it gives."""


class _Decider:
    """Decides about the tasks of one graph, and collects who would write what."""

    def __init__(self, graph: Graph, changes: Changes, rerun: Collection[luigi.Task]) -> None:
        self._graph = graph
        self._rerun = rerun
        self.changes = changes
        self.writers: dict[str, list[luigi.Task]] = {}
        self.outputs: dict[int, Any] = {}
        self.warnings: list[tuple[luigi.Task, Decision]] = []
        self._decided: dict[int, tuple[Decision, Any]] = {}
        self._downstream: dict[int, dict[str, None]] = {}
        """Index to the names of the classes that require the task; made when it is first asked for."""

    def decide(self, roots: Iterable[luigi.Task], check_all: bool) -> list[Decision]:
        forced = self._forced()
        needed = bytearray(len(self._graph.tasks))
        for root in roots:
            needed[self._graph.index_of[root]] = True
        decisions = self._from_downstream(needed, forced)
        while self.changes.reruns and self._add_maybe(decisions, forced):
            decisions = self._from_downstream(needed, forced)
        for index in range(len(decisions) - 1, -1, -1):
            decision = decisions[index]
            if decision.action in RUNNING:
                self._note_writers(self._graph.tasks[index], self._output(index))
            elif decision is _NOT_NEEDED:
                decisions[index] = self._not_needed(index, check_all)
        return decisions

    def found(self) -> list[Target]:
        """Return the outputs on disks of the complete tasks."""
        outputs = [
            output for decision, output in self._decided.values() if decision is _COMPLETE and output is not None
        ]
        return [target for output in outputs for target in flatten(output) if getattr(target, "is_on_disk", False)]

    def _forced(self) -> dict[int, Decision]:
        """Return the tasks that run, whether or not another one needs them, because of a change or by request."""
        forced: dict[int, Decision] = {}
        changes, rerun, upstream = self.changes, self._rerun, self._graph.upstream
        for index, task in enumerate(self._graph.tasks):
            if rerun and task in rerun:
                forced[index] = _RERUN
                continue
            change = changes.of(task)
            if change is not None:
                # What runs again upstream may give the content again that the task has loaded.
                may_come_back = change.kind is Difference.INPUT and any(map(forced.__contains__, upstream[index]))
                if may_come_back and changes.reruns:
                    forced[index] = _MAYBE
                else:
                    self._add_change(index, task, change, forced)
            elif is_configured_to_rerun(task):
                forced[index] = _RERUN
        return forced

    def _add_change(self, index: int, task: luigi.Task, change: Change, forced: dict[int, Decision]) -> None:
        reruns = self.changes.recomputes if change.kind is Difference.OUTPUT else self.changes.reruns
        reruns = reruns or change.kind in {Difference.INTERRUPTED, Difference.DAMAGED}
        decision = Decision(Action.RUN if reruns else Action.SKIP, REASONS[change.kind], change.detail)
        if reruns:
            forced[index] = decision
        else:
            self.warnings.append((task, decision))

    def _from_downstream(self, needed: bytearray, forced: Mapping[int, Decision]) -> list[Decision]:
        """Return the decisions, made from downstream to upstream: what a task that runs requires is needed."""
        upstream = self._graph.upstream
        decisions = [_NOT_NEEDED] * len(needed)
        for index in range(len(needed) - 1, -1, -1):
            decision = forced.get(index)
            if decision is None:
                if not needed[index]:
                    continue
                decision, _ = self._decided.get(index) or self._decide(index)
            decisions[index] = decision
            if decision.action in RUNNING:
                for dependency in upstream[index]:
                    needed[dependency] = True
        return decisions

    def _add_maybe(self, decisions: Sequence[Decision], forced: dict[int, Decision]) -> bool:
        """Add the tasks that run if tasks upstream give another result; return whether there are any."""
        running = bytearray(decision.action in RUNNING for decision in decisions)
        before = len(forced)
        for index, task in enumerate(self._graph.tasks):
            if running[index] or not any(running[dependency] for dependency in self._graph.upstream[index]):
                continue
            record = self.changes.record(task)
            if record is not None and record.inputs is not None:
                forced[index] = _MAYBE
                running[index] = True
        return len(forced) > before

    def _decide(self, index: int) -> tuple[Decision, Any]:
        decided = self._decided[index] = _decision(self._graph.tasks[index], self.changes)
        return decided

    def _output(self, index: int) -> Any:
        """Return what `output()` of a task that runs returns."""
        output = (
            self._decided[index][1] if index in self._decided else _under_overrides(_output, self._graph.tasks[index])
        )
        self.outputs[index] = output
        return output

    def _not_needed(self, index: int, check_all: bool) -> Decision:
        task = self._graph.tasks[index]
        if not check_all:
            return _NOT_NEEDED
        decision, _ = self._decided.get(index) or self._decide(index)
        if decision.action is Action.SKIP:
            return decision
        if decision.reason is Reason.OUTPUT_MISSING and self.changes.record(task) is not None:
            return Decision(Action.SKIP, Reason.DELETED, self._users(index))
        return Decision(Action.SKIP, Reason.NOT_NEEDED, decision.text)

    def _users(self, index: int) -> str:
        """Return the tasks that use the result of a task, as text."""
        if not self._downstream:
            for user, upstream in zip(self._graph.tasks, self._graph.upstream, strict=True):
                for dependency in upstream:
                    self._downstream.setdefault(dependency, {})[type(user).__name__] = None
        users = list(self._downstream.get(index, ()))
        return f"its result is used by {', '.join(users[:3])}{' and others' if len(users) > 3 else ''}"

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


def is_configured_to_rerun(task: luigi.Task) -> bool:
    """Return whether the configuration, and not the code, says that a task runs again."""
    identity = identity_of(task)
    if identity is None or not getattr(task, "rerun", False):
        return False
    overrides = identity.overrides.by_class
    return bool(overrides) and any("rerun" in overrides.get(cls, ()) for cls in type(task).__mro__)


def is_external(task: luigi.Task) -> bool:
    """Return whether a task has no `run()`: its output comes from elsewhere."""
    return task.run is None or task.run == NotImplemented or isinstance(task, luigi.ExternalTask)


def _decision(task: luigi.Task, changes: Changes) -> tuple[Decision, Any]:
    """Return what happens to a task that is needed, and its output if that was asked for."""
    return _under_overrides(lambda task: _decide(task, changes), task)


R = TypeVar("R")


def _under_overrides(function: Callable[[luigi.Task], R], task: luigi.Task) -> R:
    overrides = own_overrides(task)
    if overrides is None:
        return function(task)
    with using_overrides(overrides):
        return function(task)


def _output(task: luigi.Task) -> Any:
    try:
        return task.output()
    except KartError:
        raise
    except Exception as error:
        raise PlanError(f"{task}: its output() raised {type(error).__name__}: {error}") from error


def _decide(task: luigi.Task, changes: Changes) -> tuple[Decision, Any]:
    try:
        if isinstance(task, TaskOnKart) and task.rerun:
            return _RERUN, task.output()
        by_outputs = _is_judged_by_outputs(task)
        if not by_outputs and is_complete(task):
            return (_ALL_COMPLETE if isinstance(task, luigi.WrapperTask) else _COMPLETE), None
        output = task.output()
        outputs = flatten(output)
        _check_inside(task, outputs, changes)
        pending = changes.pending(task)
        missing = next((path_of(target) for target in outputs if not target.exists() or path_of(target) in pending), "")
    except (KartError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also what is no Exception, such as the panics of polars
        raise PlanError(f"{task}: its completeness check raised {described(error)}") from error
    other = ""
    if by_outputs and outputs and not missing:
        other = _other_writer(task, outputs, changes)
        if not other:
            return _unsigned(task, outputs, changes) or _COMPLETE, output
    if is_external(task):
        return (_COMPLETE if other else Decision(Action.MISSING, Reason.EXTERNAL_MISSING, missing)), output
    if other:
        return Decision(Action.RUN, Reason.OTHER_WRITER, other), output
    if isinstance(task, luigi.WrapperTask) and not missing:
        return _INCOMPLETE_WRAPPER, output
    return Decision(Action.RUN, Reason.OUTPUT_MISSING if missing else Reason.INCOMPLETE, missing), output


def _check_inside(task: luigi.Task, outputs: Sequence[Any], changes: Changes) -> None:
    """Raise `OutsideWorkspace` if an output of a task leads out of its workspace."""
    for target in outputs if not is_external(task) else ():
        if isinstance(target, Target) and target.owner is task:
            check_inside(target.url, task, allowed=changes.allows_outside)


def _unsigned(task: luigi.Task, outputs: Sequence[Any], changes: Changes) -> Decision | None:
    """Return that a task runs because an output is not signed; raise `SignatureError` if it must not."""
    if keyring() is None:
        return None
    url = next((path_of(each) for each in outputs if getattr(each, "is_unsigned", bool)()), "")
    if not url:
        return None
    if changes.recomputes and not is_external(task):
        return Decision(Action.RUN, Reason.NOT_SIGNED, url)
    raise SignatureError(url, f"it is not signed, and {VARIABLE} is set. Others may not be either", producer=task)


def _other_writer(task: luigi.Task, outputs: Sequence[Any], changes: Changes) -> str:
    if "_kart" not in task.__dict__:
        return ""
    records = changes.records(cast("TaskOnKart[object]", task).workspace_directory)
    return other_writer(task, map(path_of, outputs), records)


def _is_judged_by_outputs(task: luigi.Task) -> bool:
    # Then the outputs are asked here, once, and the first that is missing is the reason.
    if type(task).complete is not TaskOnKart.complete:
        return False
    kart = cast("TaskOnKart[object]", task)
    return not (kart.strict_check or kart.modification_time_check)
