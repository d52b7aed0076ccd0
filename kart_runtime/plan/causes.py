"""Causes: why each task of a plan runs, from the plan's decisions and the records of earlier runs.

One place for `kart why`, `kart plan`, `kart run` and the reason that is recorded with an attempt. A plan is right
without any history, so nothing here fails: what cannot be found out is left out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

import luigi

from kart_runtime.errors import described, shortened, warn
from kart_runtime.history.runs import RunRecord
from kart_runtime.history.task_record import TaskRecord
from kart_runtime.plan.comparison import Comparison, Difference, History
from kart_runtime.plan.decisions import RUNNING, Decision, Plan, Reason
from kart_runtime.plan.nearest import plain
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.naming import display_name
from kart_runtime.task.run_metadata import recorded_params

logger = logging.getLogger(__name__)

_MAX_NAMED = 3
"""Differences that a few words name; of more, only the number."""

_KINDS = {
    Reason.RERUN: "rerun",
    Reason.INCOMPLETE: "incomplete",
    Reason.CODE_CHANGED: "code",
    Reason.INPUT_CHANGED: "input",
    Reason.OUTPUT_CHANGED: "output",
    Reason.INTERRUPTED: "interrupted",
    Reason.OTHER_WRITER: "other writer",
    Reason.UPSTREAM_RUNS: "maybe",
    Reason.OUTPUT_MISSING: "no output",
}
"""Kind of the cause that a decision gives by itself."""


@dataclass(frozen=True)
class Cause:
    """Why a task runs.

    Attributes
    ----------
    kind
        "file gone", "failed", "interrupted", "parameters", "upstream", "input", "code", "output", "moved", "renamed",
        "first", "rerun", "incomplete", "other writer", "maybe", or "no output": nothing more is known.
    text
        The cause in a few words.
    nearest
        The earlier attempt that it is compared with; None if there is none.
    differences
        Values that differ from that one.
    notes
        What else is to be known, as sentences.
    """

    kind: str
    text: str
    nearest: RunRecord | None = None
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        nearest = self.nearest and {
            "id": self.nearest.unique_id,
            "run": self.nearest.run_id,
            "started": self.nearest.started,
            "state": self.nearest.state,
        }
        differences = [asdict(difference) for difference in self.differences]
        return {
            "kind": self.kind,
            "text": self.text,
            "nearest": nearest,
            "differences": differences,
            "notes": list(self.notes),
        }


class _Index(History, Protocol):
    def runs(self, limit: int | None = None) -> list[Any]: ...

    def class_names(self) -> list[str]: ...

    def close(self) -> None: ...


OpenIndex = Callable[[str], _Index]
Label = Callable[[luigi.Task], str]
FIRST = "never run before"
"""Words of the cause "first"."""


def index_of(workspace: str) -> Any:
    """Return the index of the runs of a workspace, up to date; what it needs is imported only now."""
    from kart_runtime.history.index import open_index

    return open_index(workspace)


def explained(plan: Plan, open_index: OpenIndex = index_of, label: Label = display_name) -> Plan:
    """Return a plan whose decisions have their causes; if the history cannot be read, the plan with a warning."""
    if not plan.to_run:
        return plan
    try:
        causes = explain(plan, open_index, label)
    except Exception as error:  # noqa: BLE001 - a plan is right without any history
        warn(logger, "The causes cannot be read from the records of earlier runs: %s", described(error))
        return plan
    decisions = [
        decision._replace(cause=causes[task].text) if task in causes else decision
        for task, decision in zip(plan.tasks, plan.decisions, strict=True)
    ]
    return replace(plan, decisions=decisions)


def explain(plan: Plan, open_index: OpenIndex = index_of, label: Label = display_name) -> dict[luigi.Task, Cause]:
    """Return why each task runs of which that is known better than the plan says.

    Parameters
    ----------
    plan
        The plan.
    open_index
        Returns the index of the runs of a workspace; asked only where something has run before.
    label
        Returns what a task is called.
    """
    causes: dict[luigi.Task, Cause] = {}
    with Explainer(plan, open_index, label) as explainer:
        for task, decision in zip(plan.tasks, plan.decisions, strict=True):
            if decision.reason is Reason.OUTPUT_MISSING and decision.action in RUNNING:
                cause = explainer.cause(task, decision)
                if cause.kind != "no output":
                    causes[task] = cause
    return causes


class Explainer:
    """Finds the causes of one plan; a context manager that closes the indexes that it has opened."""

    def __init__(self, plan: Plan, open_index: OpenIndex = index_of, label: Label = display_name) -> None:
        self._plan, self._open, self._label = plan, open_index, label
        self._pasts: dict[str, Past | None] = {}
        self._looked: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for past in self._pasts.values():
            if past is not None:
                past.index.close()

    def cause(self, task: luigi.Task, decision: Decision) -> Cause:
        """Return why a task runs."""
        kart = kart_task(task)
        if decision.reason is not Reason.OUTPUT_MISSING or kart is None:
            return Cause(_KINDS.get(decision.reason, ""), decision.text)
        record = self._plan.changes.record(task)
        if record is not None:
            return Cause("file gone", f"its output is gone, which run {record.run_id} wrote: {decision.detail}")
        past = self.past(kart.workspace_directory)
        if past is None:
            return Cause("no output", decision.text)
        self._look_upstream(task, past)
        return past.cause(kart, self._plan.changes.records(kart.workspace_directory).named(kart.make_unique_id()))

    def _look_upstream(self, task: luigi.Task, past: Past) -> None:
        """Find the nearest earlier ones of what is upstream and runs, since that of a task depends on them."""
        graph, decisions = self._plan.graph, self._plan.decisions
        waiting, found = [graph.index_of[task]], set[int]()
        while waiting:
            for index in graph.upstream[waiting.pop()]:
                if index not in self._looked and decisions[index].reason is Reason.OUTPUT_MISSING:
                    self._looked.add(index)
                    found.add(index)
                    waiting.append(index)
        for index in sorted(found):  # upstream before downstream
            kart = kart_task(graph.tasks[index])
            if kart is not None:
                past.comparison.nearest(kart)

    def past(self, workspace: str) -> Past | None:
        """Return what has run in a workspace; None if nothing has."""
        if workspace not in self._pasts:
            has_runs = self._plan.changes.records(workspace).has_runs
            self._pasts[workspace] = Past(self._open(workspace), self._label) if has_runs else None
        return self._pasts[workspace]


class Past:
    """What has run in one workspace, as the causes need it."""

    def __init__(self, index: _Index, label: Label) -> None:
        self.index = index
        self.comparison = Comparison(index, label)
        self._label = label
        self._words: dict[int, str] = {}
        self._former: dict[type, list[RunRecord]] = {}
        self._failures: dict[str, dict[str, RunRecord]] = {}
        self._stopped = _stopped_run(index)

    def cause(self, task: TaskOnKart[Any], same_id: Sequence[TaskRecord]) -> Cause:
        """Return why a task runs that this class has never stored with this id."""
        moved = next((record for record in same_id if record.outputs), None)
        if moved is not None:
            before = self.index.newest(moved.unique_id, moved.module)
            return Cause("moved", f"its class was in {moved.module}, and its output is stored for that", before)
        compared = self._compared(task) or self._renamed(task) or Cause("first", FIRST)
        stopped = self._unfinished(task)
        if stopped is None:
            return compared
        notes = () if compared.kind == "first" else (f"compared with the nearest run that was done: {compared.text}.",)
        return replace(stopped, notes=notes)

    def _compared(self, task: TaskOnKart[Any]) -> Cause | None:
        """Return how a task differs from the nearest earlier one; None without any of its class."""
        nearest = self.comparison.nearest(task)
        if nearest is None:
            return None
        found = self.comparison.between(task, nearest)
        if not found:
            return Cause("code", *self._in_the_id(task), nearest)
        differences = self.comparison.differences(found)
        kind = _kind_of(differences)
        if id(found) not in self._words:
            self._words[id(found)] = _words(kind, differences)
        return Cause(kind, self._words[id(found)], nearest, differences)

    @staticmethod
    def _in_the_id(task: TaskOnKart[Any]) -> tuple[str]:
        if task.serialized_task_definition_check:
            return ("its code changed, which is a part of its id (serialized_task_definition_check)",)
        return ("the order of what it requires changed",)

    def _renamed(self, task: TaskOnKart[Any]) -> Cause | None:
        """Return the class that a task had before, if one of another name is gone that had its values and inputs."""
        if type(task) not in self._former:
            self._former[type(task)] = [
                record
                for name in self.index.class_names()
                for record in self.index.candidates(name, 100)
                if not hasattr(sys.modules.get(record.module), record.task)
            ]
        params = plain(recorded_params(task))
        for record in self._former[type(task)]:
            if plain(record.params) == params and self.comparison.has_same_upstream(task, record):
                return Cause("renamed", f"its class was {record.module}.{record.task}", record)
        return None

    def _unfinished(self, task: TaskOnKart[Any]) -> Cause | None:
        """Return the failure of a task, or the run that ended before it."""
        name, unique_id = type(task).__name__, task.make_unique_id()
        if name not in self._failures:
            records = self.index.candidates(name, state="failed")
            self._failures[name] = {record.unique_id: record for record in records}
        failure = self._failures[name].get(unique_id)
        if failure is not None:
            error = failure.error.partition("\n")[0]
            return Cause("failed", f"it failed in run {failure.run_id}: {shortened(error, _LONGEST_ERROR)}", failure)
        how = self._stopped.get(unique_id)
        return None if how is None else Cause("interrupted", how)


_LONGEST_ERROR = 200


def _stopped_run(index: _Index) -> dict[str, str]:
    """Return what the newest run left undone, if it did not end well: unique id to what happened."""
    newest = next(iter(index.runs(1)), None)
    if newest is None or newest.state == "done":
        return {}
    run = index.run(newest.id)
    if run.graph is None:
        return {}
    what = {
        "interrupted": "was interrupted before it was done",
        "failed": "ended before it, since a task upstream failed",
        "died?": "died before it was done",
    }.get(newest.state, "was to run it, and has no end: it goes on, or was killed")
    ended = {record.unique_id for record in run.records}
    letters = zip(run.graph.tasks, run.graph.verdicts, strict=False)
    return {
        name.unique_id: f"run {run.id} {what}"
        for name, verdict in letters
        if verdict in "rm" and name.unique_id not in ended
    }


def _kind_of(differences: Sequence[Difference]) -> str:
    if any(one.steps == 0 and one.name not in ("requires", "content") for one in differences):
        return "parameters"
    return "input" if all(one.name == "content" for one in differences) else "upstream"


def _words(kind: str, differences: Sequence[Difference]) -> str:
    """Return differences in a few words."""
    if kind == "parameters":
        own = [one for one in differences if one.steps == 0]
        return f"{some([one.text() for one in own])}{_origins(own)}"
    if kind == "input":
        return some([one.text() for one in differences])
    by_class: dict[str, list[Difference]] = {}
    for one in differences:
        by_class.setdefault(one.kind if one.steps else "", []).append(one)
    text = some([_of_class(name, members) for name, members in by_class.items()])
    return text if by_class.keys() == {""} else f"upstream: {text}"


def _of_class(name: str, members: Sequence[Difference]) -> str:
    texts = list(dict.fromkeys(one.text() for one in members))
    if not name:  # the task itself requires something else
        return some(texts)
    number = len({one.task for one in members})
    return f"{name}{f' ×{number}' if number > 1 else ''} ({some(texts)})"


def _origins(differences: Sequence[Difference]) -> str:
    origins = {(one.origin_before, one.origin) for one in differences}
    if len(origins) > 1:
        return ""
    before, after = origins.pop()
    before = f"before: {before}" if before and before != after else ""
    text = "; ".join(filter(None, (after, before)))
    return f" ({text})" if text else ""


def some(texts: Sequence[str]) -> str:
    """Return the first texts of a list, and how many more there are."""
    rest = len(texts) - _MAX_NAMED
    return ", ".join(texts[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
