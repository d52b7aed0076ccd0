"""Lines of a run's file that name its tasks, what each requires, and what is to happen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

import luigi

from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.losses import lost_number
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Action, Decision, Plan, Reason
from kart_runtime.schedule.events import Summary
from kart_runtime.task.base import kart_task
from kart_runtime.task.identity import dependencies
from kart_runtime.task.naming import id_of
from kart_runtime.task.state import Identity

_MOST_BLOCKED = 1000
"""Tasks that did not start of which it is recorded which failed task was the cause."""

_VERDICTS = {Action.RUN: "r", Action.MAYBE: "m", Action.MISSING: "x"}
_SKIPPED = {Reason.NOT_NEEDED: "n", Reason.DELETED: "n"}


class TasksRecorder:
    """Records the tasks of one run: at the beginning those of its plan, then those that tasks yield."""

    def __init__(self, ledger: Ledger, changes: Changes) -> None:
        self._ledger = ledger
        self._changes = changes
        self._grouping: _Grouping | None = None
        """Tasks of the plan, if something runs."""

    def add_plan(self, plan: Plan, *, may_grow: bool = False) -> bool:
        """Record the tasks of a plan; what they require only if something is to run, or if it `may_grow`.

        Return whether it has to be made again, because outputs may have been deleted meanwhile that it found complete.
        """
        known, grouping = self._grouping, _Grouping()
        grouping.add(plan.tasks)
        runs = bool(plan.to_run) or may_grow
        if runs and known is None:
            self._grouping = grouping
        letters = list(map(_verdict, plan.decisions))
        for workspace, order in grouping.orders.items():
            if not runs or known is not None:
                self._ledger.record_tasks(workspace, RunTasks(grouping.names(workspace)), runs=runs)
                continue
            requires = [grouping.numbered(plan.graph.upstream[index], workspace) for index in order]
            verdicts = "".join([letters[index] for index in order])
            self._ledger.record_tasks(workspace, RunTasks(grouping.names(workspace), requires, verdicts))
        return "s" in letters and (self._changes.await_deletions(grouping.orders) or plan.has_lost_outputs())

    def add_more(self, plan: Plan) -> bool:
        """Record the tasks of a further plan that were not known; return whether it has to be made again."""
        return self._add(plan)

    def add_yielded(self, plan: Plan, task: luigi.Task, waited_for: Sequence[luigi.Task]) -> bool:
        """Record the tasks that the `run()` of a task has yielded, of which a plan was made, before they are used.

        Return whether the plan has to be made again, as `add_plan`.
        """
        return self._add(plan, {task: waited_for})

    def _add(self, plan: Plan, waited_for: Mapping[luigi.Task, Sequence[luigi.Task]] = MappingProxyType({})) -> bool:
        grouping = self._grouping
        if grouping is None:
            return False
        index_of = grouping.index_of
        decisions = zip(plan.tasks, plan.decisions, strict=True)
        new = {task: _verdict(decision) for task, decision in decisions if task not in index_of}
        letters = "".join(new.values())
        first = grouping.add(list(new))
        index_of = grouping.index_of
        found_complete = "s" in letters
        for workspace, order in grouping.orders.items():

            def numbered(others: Iterable[luigi.Task], workspace: str = workspace) -> list[int | str]:
                return grouping.numbered([index_of[task] for task in others], workspace)

            added = order[grouping.known(workspace) :]
            yielded = {
                str(grouping.numbers[index_of[task]]): numbered(others)
                for task, others in waited_for.items()
                if grouping.homes[index_of[task]] == workspace
            }
            if added or yielded:
                requires = [numbered(dependencies(grouping.tasks[index])) for index in added]
                verdicts = "".join([letters[index - first] for index in added])
                values = RunTasks(grouping.names(workspace), requires, verdicts, yielded)
                # What is to run is young when it is there: it may be stored with the next records.
                self._ledger.record_tasks(workspace, values, runs=found_complete)
        return found_complete and (self._changes.await_deletions(grouping.orders) or plan.has_lost_outputs())

    def finish(self, summary: Summary | None, files: Callable[[], Mapping[str, str]]) -> None:
        """Record how the run has ended, and of which `files` it used code, if something was to run.

        Without a summary, an error of the engine has ended it.
        """
        if summary is None:
            self._ledger.finish("failed", {})
            return
        state = "interrupted" if summary.interrupted else "done" if summary.ok else "failed"
        counts = {
            "seconds": round(summary.seconds, 3),
            "total": summary.total,
            "ran": summary.ran,
            "complete": summary.complete,
            "not_needed": summary.not_needed,
            "failed": len(summary.failed),
            "missing": len(summary.missing),
            "not_started": len(summary.not_started) + len(summary.stopped),
        }
        counts |= {"lost_records": lost} if (lost := lost_number()) else {}
        running = [[id_of(task), type(task).__name__] for task in islice(summary.ended, _MOST_BLOCKED)]
        blocked = [[id_of(task), id_of(cause)] for task, cause in islice(summary.not_started.items(), _MOST_BLOCKED)]
        used = {"modules": files()} if self._grouping is not None else {}
        named = {"blocked": blocked, "running": running}
        self._ledger.finish(state, counts | used | {key: values for key, values in named.items() if values})


class _Grouping:
    """Tasks by workspace, module and class, which gives each its number in the file of its workspace.

    `orders` has the indexes of a workspace's tasks in the order of their numbers; `homes` and `numbers` have workspace
    and number by index. Tasks of luigi have neither.
    """

    def __init__(self) -> None:
        self.tasks: list[luigi.Task] = []
        self.homes: list[str | None] = []
        self.numbers: list[int] = []
        self.orders: dict[str, list[int]] = {}
        self._index_of: dict[luigi.Task, int] = {}
        self._groups: dict[str, dict[type, list[int]]] = {}

    def add(self, tasks: Sequence[luigi.Task]) -> int:
        """Add tasks, which come after the others; return the index of the first one."""
        first = len(self.tasks)
        self.tasks += tasks
        self._groups = {}
        for index in range(first, len(self.tasks)):
            self._place(index, self.tasks[index])
        for workspace, groups in self._groups.items():
            order = self.orders.setdefault(workspace, [])
            for indexes in _by_module(groups):
                for index in indexes:
                    self.numbers[index] = len(order)
                    order.append(index)
        return first

    @property
    def index_of(self) -> dict[luigi.Task, int]:
        """Return the index of each task; complete after each time that it is asked for."""
        known = self._index_of
        for index in range(len(known), len(self.tasks)):
            known[self.tasks[index]] = index
        return known

    def known(self, workspace: str) -> int:
        """Return the number of tasks of a workspace before the last ones that were added."""
        return len(self.orders[workspace]) - sum(map(len, self._groups.get(workspace, {}).values()))

    def _place(self, index: int, task: luigi.Task) -> None:
        kart = kart_task(task)
        home = None if kart is None else kart.workspace_directory
        self.homes.append(home)
        self.numbers.append(-1)
        if home is None:
            return
        groups = self._groups.get(home)
        if groups is None:
            groups = self._groups[home] = {}
        group = groups.get(type(task))
        if group is None:
            groups[type(task)] = [index]
        else:
            group.append(index)

    def names(self, workspace: str) -> dict[str, dict[str, list[str]]]:
        """Return the ids of the new tasks of a workspace by module and class name, in the order of their numbers."""
        names: dict[str, dict[str, list[str]]] = {}
        for cls, indexes in self._groups.get(workspace, {}).items():
            ids = [_id_of(self.tasks[index]) for index in indexes]
            names.setdefault(cls.__module__, {}).setdefault(cls.__name__, []).extend(ids)
        return names

    def numbered(self, indexes: Iterable[int], workspace: str) -> list[int | str]:
        """Return the numbers of tasks, or their ids if they are in another workspace; luigi's own have neither."""
        homes, numbers = self.homes, self.numbers
        return [
            numbers[index] if homes[index] == workspace else _id_of(self.tasks[index])
            for index in indexes
            if homes[index] is not None
        ]


def _by_module(groups: Mapping[type, list[int]]) -> Iterator[list[int]]:
    """Yield the indexes of each class in the order in which the line of tasks has the classes."""
    ordered: dict[str, dict[str, list[int]]] = {}
    for cls, indexes in groups.items():
        ordered.setdefault(cls.__module__, {}).setdefault(cls.__name__, []).extend(indexes)
    for classes in ordered.values():
        yield from classes.values()


def _id_of(task: luigi.Task) -> str:
    identity: Identity = task.__dict__["_kart"]
    return identity.unique_id or id_of(task)


def _verdict(decision: Decision) -> str:
    return _VERDICTS.get(decision.action) or _SKIPPED.get(decision.reason, "s")
