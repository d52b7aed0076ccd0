"""What has to be done? The graph below some roots, and a decision with its reason for each task.

Asked by `schedule` before anything runs, again for requirements that a running task yields, and by the command line's
``plan`` and ``tree``. A plan is a question: it changes nothing.

The graph is walked once without recursion. Then decisions are made downstream before upstream, because what only a
complete task requires is not needed and does not have to be looked for.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import luigi

from kart_runtime import identity
from kart_runtime.errors import CyclicTasks, KartError, OutputClash, PlanError
from kart_runtime.structures import flat
from kart_runtime.targets import path_of
from kart_runtime.task import TaskOnKart


class Action(enum.StrEnum):
    """What happens to a task."""

    RUN = "run"
    SKIP = "skip"
    MISSING = "missing"
    """It is not there, and nobody here can make it: what requires it cannot run."""


class Reason(enum.Enum):
    """Why; the value is the text that users read."""

    OUTPUT_MISSING = "its output does not exist"
    RERUN = "rerun is set"
    INCOMPLETE = "complete() says no"
    EXTERNAL_MISSING = "it comes from outside and does not exist"
    COMPLETE = "its output exists"
    NOT_NEEDED = "nothing that runs needs it"


@dataclass(frozen=True)
class Decision:
    """What happens to one task, and why.

    Attributes
    ----------
    action, reason
        See there.
    detail
        For example the output that is missing.
    """

    action: Action
    reason: Reason
    detail: str = ""

    @property
    def text(self) -> str:
        """Return the reason, with its detail, for people."""
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value


@dataclass(frozen=True)
class Plan:
    """The graph below some roots and what happens to each task in it.

    Attributes
    ----------
    roots
        The tasks that were asked for.
    tasks
        All tasks, upstream before downstream.
    requires
        Task to the tasks that it requires.
    decisions
        Task to what happens to it.
    writers
        Place of an output to the tasks that will write it: one, or several of which one requires another.
    """

    roots: tuple[luigi.Task, ...]
    tasks: tuple[luigi.Task, ...]
    requires: Mapping[luigi.Task, tuple[luigi.Task, ...]]
    decisions: Mapping[luigi.Task, Decision]
    writers: Mapping[str, list[luigi.Task]] = field(default_factory=dict)

    def with_action(self, action: Action) -> list[luigi.Task]:
        """Return the tasks to which something happens, upstream before downstream.

        Parameters
        ----------
        action
            What happens.
        """
        return [task for task in self.tasks if self.decisions[task].action is action]


def plan(roots: Sequence[luigi.Task], *, check_all: bool = False) -> Plan:
    """Walk the graph below some tasks and decide about each of them.

    Parameters
    ----------
    roots
        The tasks that are wanted.
    check_all
        Ask every task whether it is complete, also those that nothing needs.

    Raises
    ------
    PlanError
        When the graph cannot be walked: a circle, a requirement that is no task, a `complete()` that raises.
    OutputClash
        When two different tasks would write one file.
    """
    requires = walk(roots)
    deciding = _Deciding(requires)
    decisions = deciding.decide(roots, check_all)
    return Plan(tuple(dict.fromkeys(roots)), tuple(requires), requires, decisions, deciding.writers)


def walk(roots: Iterable[luigi.Task]) -> dict[luigi.Task, tuple[luigi.Task, ...]]:
    """Return each task below some roots with what it requires, upstream before downstream.

    Parameters
    ----------
    roots
        Where to begin.

    Raises
    ------
    CyclicTasks
        When tasks require one another in a circle.
    """
    found: dict[luigi.Task, tuple[luigi.Task, ...]] = {}
    for root in roots:
        if root in found:
            continue
        waiting = [(root, _upstream(root), 0)]
        on_path = {root: None}
        while waiting:
            task, upstream, place = waiting.pop()
            while place < len(upstream) and upstream[place] in found:
                place += 1
            if place == len(upstream):
                found[task] = upstream
                del on_path[task]
                continue
            following = upstream[place]
            if following in on_path:
                path = list(on_path)
                raise CyclicTasks([one.get_task_family() for one in path[path.index(following) :]])
            waiting.append((task, upstream, place + 1))
            waiting.append((following, _upstream(following), 0))
            on_path[following] = None
    return found


def _upstream(task: luigi.Task) -> tuple[luigi.Task, ...]:
    if type(task)._requires is not luigi.Task._requires:  # luigi lets template classes add requirements there
        return tuple(dict.fromkeys(cast("list[luigi.Task]", task.deps())))
    return tuple(dict.fromkeys(identity.dependencies(task)))


_COMPLETE = Decision(Action.SKIP, Reason.COMPLETE)
_NOT_NEEDED = Decision(Action.SKIP, Reason.NOT_NEEDED)
_RERUN = Decision(Action.RUN, Reason.RERUN)


class _Deciding:
    """Decides about the tasks of one graph, and sees who would write what."""

    def __init__(self, requires: dict[luigi.Task, tuple[luigi.Task, ...]]) -> None:
        self._requires = requires
        self.writers: dict[str, list[luigi.Task]] = {}

    def decide(self, roots: Iterable[luigi.Task], check_all: bool) -> dict[luigi.Task, Decision]:
        decisions: dict[luigi.Task, Decision] = {}
        needed = set(roots)
        for task in reversed(self._requires):
            if task in needed:
                decision, outputs = _decision(task)
                if decision.action is Action.RUN:
                    needed.update(self._requires[task])
                    self._note(task, outputs)
            elif check_all:
                found, _ = _decision(task)
                skipped = found.action is Action.SKIP
                decision = found if skipped else Decision(Action.SKIP, Reason.NOT_NEEDED, found.text)
            else:
                decision = _NOT_NEEDED
            decisions[task] = decision
        return decisions

    def _note(self, task: luigi.Task, outputs: list[Any]) -> None:
        for target in outputs:
            writers = self.writers.setdefault(path_of(target), [])
            if writers:
                check_writers(path_of(target), task, writers, self._requires)
            writers.append(task)


def check_writers(
    url: str,
    task: luigi.Task,
    others: Sequence[luigi.Task],
    requires: Mapping[luigi.Task, tuple[luigi.Task, ...]],
) -> None:
    """Raise `OutputClash` when a task would write what others write, unless it passes on what it requires.

    Parameters
    ----------
    url
        The file.
    task, others
        The task, and the others that write the file.
    requires
        Task to the tasks that it requires.
    """
    if any(other in requires.get(task, ()) or task in requires.get(other, ()) for other in others):
        return
    raise OutputClash(url, [str(others[0]), str(task)])


def _decision(task: luigi.Task) -> tuple[Decision, list[Any]]:
    """Return what happens to a task, and its outputs as far as they were asked for."""
    try:
        if isinstance(task, TaskOnKart) and task.rerun:
            return _RERUN, list(flat(task.output()))
        by_outputs = _is_judged_by_outputs(task)
        if not by_outputs and task.complete():
            return _COMPLETE, []
        outputs = list(flat(task.output()))
        missing = next((path_of(target) for target in outputs if not target.exists()), "")
    except KartError:
        raise
    except Exception as error:
        raise PlanError(f"{task}: asking whether it is complete raised {type(error).__name__}: {error}") from error
    if by_outputs and outputs and not missing:
        return _COMPLETE, outputs
    if task.run is None or task.run == NotImplemented or isinstance(task, luigi.ExternalTask):
        return Decision(Action.MISSING, Reason.EXTERNAL_MISSING, missing), outputs
    return Decision(Action.RUN, Reason.OUTPUT_MISSING if missing else Reason.INCOMPLETE, missing), outputs


def _is_judged_by_outputs(task: luigi.Task) -> bool:
    # Then the outputs are asked here, once, and the first that is missing is the reason.
    if type(task).complete is not TaskOnKart.complete:
        return False
    kart = cast("TaskOnKart[object]", task)
    return not (kart.strict_check or kart.modification_time_check)


def describe(task: luigi.Task) -> str:
    """Return the name of a task for messages: family and the beginning of its id.

    Parameters
    ----------
    task
        Any luigi task.
    """
    unique = task.make_unique_id()[:8] if isinstance(task, TaskOnKart) else task.task_id[-8:]
    return f"{task.get_task_family()}[{unique}]"
