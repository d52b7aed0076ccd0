"""Lines of a run's file that name its tasks, what each requires, and what is to happen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import luigi

from kart_runtime.history.ledger import Ledger, RunTasks
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
    """Records the tasks of one run: at the beginning those of its plan, at the end those that tasks have yielded."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._grouping: _Grouping | None = None
        """Tasks of the plan, if something runs."""
        self.more: set[luigi.Task] = set()
        """Tasks of further plans."""
        self._known: set[luigi.Task] = set()
        """Tasks of all plans; filled with the first further one."""

    def add_plan(self, plan: Plan, *, may_grow: bool = False) -> None:
        """Record the tasks of a plan; what they require only if something is to run, or if it `may_grow`."""
        grouping = _Grouping(plan.tasks)
        if not plan.to_run and not may_grow:
            for workspace in grouping.orders:
                self._ledger.record_tasks(workspace, RunTasks(grouping.names(workspace)), runs=False)
            return
        self._grouping = grouping
        letters = list(map(_verdict, plan.decisions))
        for workspace, order in grouping.orders.items():
            requires = [grouping.numbered(plan.graph.upstream[index], workspace) for index in order]
            verdicts = "".join([letters[index] for index in order])
            self._ledger.record_tasks(workspace, RunTasks(grouping.names(workspace), requires, verdicts))

    def add_more(self, plan: Plan) -> None:
        """Record the tasks of a further plan that were not known."""
        if self._grouping is not None:
            known = self._known = self._known or {*self._grouping.tasks}
            new = {task: each for task, each in zip(plan.tasks, plan.decisions, strict=True) if task not in known}
            known.update(new)
            self.more.update(new)
            self._add(list(new), {}, "".join(map(_verdict, new.values())))

    def add_yielded(self, tasks: Sequence[luigi.Task], waited_for: Mapping[luigi.Task, Sequence[luigi.Task]]) -> None:
        """Record the tasks that were not in the plan, and for which task each of the others has waited."""
        self._add(tasks, waited_for, "r" * len(tasks))

    def _add(
        self, tasks: Sequence[luigi.Task], waited_for: Mapping[luigi.Task, Sequence[luigi.Task]], letters: str
    ) -> None:
        if self._grouping is None or not (tasks or waited_for):
            return
        grouping = self._grouping = self._grouping.with_more(tasks)
        index_of = {task: index for index, task in enumerate(grouping.tasks)}
        for workspace, order in grouping.orders.items():

            def numbered(others: Iterable[luigi.Task], workspace: str = workspace) -> list[int | str]:
                return grouping.numbered([index_of[task] for task in others], workspace)

            new = [index for index in order if index >= grouping.first]
            added = [grouping.tasks[index] for index in new]
            yielded = {
                str(grouping.numbers[index_of[task]]): numbered(others)
                for task, others in waited_for.items()
                if grouping.homes[index_of[task]] == workspace
            }
            if added or yielded:
                requires = [numbered(dependencies(task)) for task in added]
                verdicts = "".join([letters[index - grouping.first] for index in new])
                values = RunTasks(grouping.names(workspace), requires, verdicts, yielded)
                self._ledger.record_tasks(workspace, values, runs=False)  # stored with the end, which follows

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
        running = [id_of(task) for task in islice(summary.ended, _MOST_BLOCKED)]
        blocked = [[id_of(task), id_of(cause)] for task, cause in islice(summary.not_started.items(), _MOST_BLOCKED)]
        used = {"modules": files()} if self._grouping is not None else {}
        named = {"blocked": blocked, "running": running}
        self._ledger.finish(state, counts | used | {key: values for key, values in named.items() if values})


class _Grouping:
    """Tasks by workspace, module and class, which gives each its number in the file of its workspace.

    `orders` has the indexes of a workspace's tasks in the order of their numbers; `homes` and `numbers` have workspace
    and number by index. Tasks of luigi have neither. Those before `first` were recorded earlier.
    """

    def __init__(self, tasks: Sequence[luigi.Task], first: int = 0, before: _Grouping | None = None) -> None:
        self.tasks, self.first = tasks, first
        self.homes: list[str | None] = [*before.homes] if before else []
        self.numbers: list[int] = [*before.numbers] if before else []
        self.orders: dict[str, list[int]] = {home: [*order] for home, order in before.orders.items()} if before else {}
        self._groups: dict[str, dict[type, list[int]]] = {}
        for index in range(first, len(tasks)):
            self._place(index, tasks[index])
        for workspace, groups in self._groups.items():
            order = self.orders.setdefault(workspace, [])
            for indexes in _by_module(groups):
                order += indexes
            for number in range(len(order) - sum(map(len, groups.values())), len(order)):
                self.numbers[order[number]] = number

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

    def with_more(self, tasks: Sequence[luigi.Task]) -> _Grouping:
        """Return these tasks and others, which come after them."""
        return _Grouping([*self.tasks, *tasks], len(self.tasks), self)

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
