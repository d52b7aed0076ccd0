"""Lines of a run's file that name its tasks, what each requires, and what is to happen to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import luigi

from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.plan.decisions import Action, Decision, Plan, Reason
from kart_runtime.schedule.events import Summary
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.identity import dependencies
from kart_runtime.task.naming import id_of

_MOST_BLOCKED = 1000
"""Tasks that did not start of which it is recorded which failed task was the cause."""

_VERDICTS = {Action.RUN: "r", Action.MAYBE: "m", Action.MISSING: "x"}
_SKIPPED = {Reason.NOT_NEEDED: "n", Reason.DELETED: "n"}


class TasksRecorder:
    """Records the tasks of one run: at the beginning those of its plan, at the end those that tasks have yielded."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers: dict[str, dict[luigi.Task, int]] = defaultdict(dict)
        """Workspace to task to its number in the file there; filled only if something runs."""

    def add_plan(self, plan: Plan) -> None:
        """Record the tasks of a plan; what they require only if something is to run."""
        if not plan.to_run:
            for workspace, tasks in _grouped(plan.tasks).items():
                self._ledger.record_tasks(workspace, RunTasks(tasks), runs=False)
            return
        upstream = {
            task: [plan.tasks[index] for index in indexes]
            for task, indexes in zip(plan.tasks, plan.graph.upstream, strict=True)
        }
        verdicts = {task: _verdict(decision) for task, decision in zip(plan.tasks, plan.decisions, strict=True)}
        self._add(plan.tasks, upstream, verdicts)

    def add_yielded(self, tasks: Sequence[luigi.Task], waited_for: Mapping[luigi.Task, Sequence[luigi.Task]]) -> None:
        """Record the tasks that were not in the plan, and for which task each of the others has waited."""
        if tasks or waited_for:
            self._add(tasks, {task: dependencies(task) for task in tasks}, dict.fromkeys(tasks, "r"), waited_for)

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
            "not_started": len(summary.not_started),
        }
        blocked = [[id_of(task), id_of(cause)] for task, cause in islice(summary.not_started.items(), _MOST_BLOCKED)]
        used = {"modules": files()} if self._numbers else {}
        self._ledger.finish(state, counts | used | ({"blocked": blocked} if blocked else {}))

    def _add(
        self,
        tasks: Iterable[luigi.Task],
        upstream: Mapping[luigi.Task, Sequence[luigi.Task]],
        verdicts: Mapping[luigi.Task, str],
        waited_for: Mapping[luigi.Task, Sequence[luigi.Task]] | None = None,
    ) -> None:
        by_workspace: dict[str, dict[tuple[str, str], list[TaskOnKart[object]]]] = {}
        for task in tasks:
            kart = kart_task(task)
            if kart is not None:
                cls = type(kart)
                groups = by_workspace.setdefault(kart.workspace_directory, {})
                groups.setdefault((cls.__module__, cls.__name__), []).append(kart)
        for workspace in dict.fromkeys([*by_workspace, *(self._numbers if waited_for else ())]):
            numbers, ordered = self._numbers[workspace], []
            names: dict[str, dict[str, list[str]]] = {}
            for (module, name), members in by_workspace.get(workspace, {}).items():
                names.setdefault(module, {})[name] = [task.make_unique_id() for task in members]
            for module, classes in names.items():
                for name in classes:
                    ordered += by_workspace[workspace][module, name]
            first = len(numbers)
            numbers.update({task: first + place for place, task in enumerate(ordered)})
            requires = [_numbered(upstream[task], numbers) for task in ordered]
            letters = "".join([verdicts[task] for task in ordered])
            yielded = {
                str(numbers[task]): _numbered(others, numbers)
                for task, others in (waited_for or {}).items()
                if task in numbers
            }
            if ordered or yielded:
                self._ledger.record_tasks(workspace, RunTasks(names, requires, letters, yielded))


def _numbered(tasks: Iterable[luigi.Task], numbers: Mapping[luigi.Task, int]) -> list[int | str]:
    """Return the numbers of tasks, or their ids if they are in another workspace; luigi's own have neither."""
    found: list[int | str] = []
    for task in tasks:
        number = numbers.get(task)
        if number is not None:
            found.append(number)
        elif (kart := kart_task(task)) is not None:
            found.append(kart.make_unique_id())
    return found


def _verdict(decision: Decision) -> str:
    return _VERDICTS.get(decision.action) or _SKIPPED.get(decision.reason, "s")


def _grouped(tasks: Iterable[luigi.Task]) -> Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]:
    """Return the ids of tasks by workspace, module and class name."""
    by_workspace: dict[str, dict[str, dict[str, list[str]]]] = {}
    for task in tasks:
        if isinstance(task, TaskOnKart):
            cls = type(task)
            names = by_workspace.setdefault(task.workspace_directory, {}).setdefault(cls.__module__, {})
            names.setdefault(cls.__name__, []).append(task.make_unique_id())
    return by_workspace
