"""Causes: why each task of a plan runs, from the plan's decisions and the records of earlier runs.

One place for `kart why`, `kart plan`, `kart run` and the reason that is recorded with an attempt. A plan is right
without any history, so nothing here fails: what cannot be found out is left out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import luigi

from kart_runtime.errors import described, warn
from kart_runtime.history.earlier import Earlier, earlier_of_class
from kart_runtime.history.runs import RunRecord
from kart_runtime.history.tables import printable
from kart_runtime.history.task_record import TaskRecord
from kart_runtime.plan.comparison import Comparison, Difference, Found, Leaf
from kart_runtime.plan.decisions import RUNNING, Decision, Plan, Reason
from kart_runtime.task.base import TaskOnKart, kart_task

if TYPE_CHECKING:
    from kart_runtime.history.index import Index

logger = logging.getLogger(__name__)

_MAX_NAMED = 3
"""Differences that a few words name; of more, only the number."""

FIRST = "never run before"
"""Words of the cause "first"."""

_LONGEST_ERROR = 200
_FORMER = 100
"""Tasks of a class that is gone that are compared with those of a new one."""

_KINDS = {
    Reason.RERUN: "rerun",
    Reason.INCOMPLETE: "incomplete",
    Reason.CODE_CHANGED: "code",
    Reason.INPUT_CHANGED: "input",
    Reason.OUTPUT_CHANGED: "output",
    Reason.INTERRUPTED: "interrupted",
    Reason.OUTPUT_DAMAGED: "damaged",
    Reason.OTHER_WRITER: "other writer",
    Reason.NOT_SIGNED: "not signed",
    Reason.UPSTREAM_RUNS: "maybe",
}
"""Kind of the cause that a decision gives by itself."""

_STOPPED = {
    "interrupted": "was interrupted before it was done",
    "failed": "ended before it, since a task upstream failed",
    "died": "died before it was done",
    "died?": "died before it was done",
}
"""State of a run to what that means for the tasks that it left undone."""


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
        values = {"kind": self.kind, "text": self.text, "nearest": nearest}
        return {**values, "differences": differences, "notes": list(self.notes)}


class _Answer(NamedTuple):
    """A cause as it is found: `found` are differences from the `earlier` task."""

    kind: str
    text: str
    earlier: Earlier | None = None
    found: Found = ()
    notes: tuple[str, ...] = ()


def open_history(workspace: str) -> Index:
    """Return the index of the runs of a workspace; what that needs is imported now."""
    from kart_runtime.history.index import open_index

    return open_index(workspace)


def explained(plan: Plan) -> Plan:
    """Return a plan whose decisions have their causes; if the history cannot be read, the plan with a warning."""
    try:
        with Explainer(plan) as explainer:
            decisions = [
                decision._replace(cause=explainer.words(task, decision))
                if decision.reason is Reason.OUTPUT_MISSING and decision.action in RUNNING
                else decision
                for task, decision in zip(plan.tasks, plan.decisions, strict=True)
            ]
    except Exception as error:  # noqa: BLE001 - a plan is right without any history
        warn(logger, "The records of earlier runs do not say why tasks run: %s", described(error))
        return plan
    return replace(plan, decisions=decisions)


def explain(plan: Plan, opened: Callable[[str], Index] = open_history) -> dict[luigi.Task, Cause]:
    """Return the cause of each task that runs.

    Parameters
    ----------
    plan
        The plan.
    opened
        Returns the index of the runs of a workspace; asked only where something has run before.
    """
    with Explainer(plan, opened) as explainer:
        decided = zip(plan.tasks, plan.decisions, strict=True)
        return {task: explainer.cause(task, decision) for task, decision in decided if decision.action in RUNNING}


class Explainer:
    """Finds the causes of one plan; a context manager that closes the indexes that it has opened."""

    def __init__(self, plan: Plan, opened: Callable[[str], Index] = open_history) -> None:
        self._plan, self._open = plan, opened
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
        past = self.past(kart.workspace_directory) if kart is not None else None
        if past is not None:
            self._look_upstream(task, past)
        answer = self._answer(task, decision)
        if past is None:
            return Cause(answer.kind, answer.text)
        near = answer.earlier and past.index.newest(answer.earlier.unique_id, answer.earlier.module)
        differences = past.comparison.differences(answer.found, self._plan.labels)
        return Cause(answer.kind, answer.text, near, differences, answer.notes)

    def words(self, task: luigi.Task, decision: Decision) -> str:
        """Return why a task runs in a few words; "" if no more is known than the decision says.

        Those of the tasks upstream of it come first.
        """
        answer = self._answer(task, decision)
        return answer.text if answer.kind != "no output" else ""

    def _answer(self, task: luigi.Task, decision: Decision) -> _Answer:
        kart = kart_task(task)
        if decision.reason is not Reason.OUTPUT_MISSING or kart is None:
            return _Answer(_KINDS.get(decision.reason, "no output"), decision.text)
        record = self._plan.changes.record(task)
        if record is not None:
            return _Answer("file gone", f"its output is gone, which run {record.run_id} wrote: {decision.detail}")
        past = self.past(kart.workspace_directory)
        if past is None:
            return _Answer("no output", decision.text)
        same_id = self._plan.changes.records(kart.workspace_directory).named(kart.make_unique_id())
        return past.answer(kart, same_id)

    def _look_upstream(self, task: luigi.Task, past: Past) -> None:
        """Find the nearest earlier ones of what is upstream and runs, since that of a task depends on them."""
        graph, decisions = self._plan.graph, self._plan.decisions
        waiting, found = [graph.index_of[task]], list[int]()
        while waiting:
            for index in graph.upstream[waiting.pop()]:
                if index not in self._looked and decisions[index].reason is Reason.OUTPUT_MISSING:
                    self._looked.add(index)
                    found.append(index)
                    waiting.append(index)
        for index in sorted(found):  # upstream before downstream
            kart = kart_task(graph.tasks[index])
            if kart is not None:
                past.comparison.nearest(kart)

    def past(self, workspace: str) -> Past | None:
        """Return what has run in a workspace; None if nothing has."""
        if workspace not in self._pasts:
            self._pasts[workspace] = None
            if self._plan.changes.records(workspace).has_runs:
                try:
                    self._pasts[workspace] = Past(self._open(workspace))
                except Exception as error:  # noqa: BLE001 - a plan is right without any history
                    warn(logger, "The records of %s do not say why tasks run: %s", workspace, described(error))
        return self._pasts[workspace]


class Past:
    """What has run in one workspace, as the causes need it."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.comparison = Comparison(index)
        self._words: dict[int, tuple[str, str]] = {}
        self._former: list[Earlier] | None = None
        self._failures: dict[str, dict[str, Earlier]] = {}
        self._stopped = _stopped_run(index)

    def answer(self, task: TaskOnKart[Any], same_id: Sequence[TaskRecord]) -> _Answer:
        """Return why a task runs of which no output with its id is known, unless from a class in another module."""
        module = type(task).__module__
        moved = next((record for record in same_id if record.outputs and record.module != module), None)
        if moved is not None:
            before = Earlier(moved.unique_id, moved.task, moved.module, moved.run_id, moved.started, (), {}, {})
            return _Answer("moved", f"its class was in {moved.module}, and its output is stored for that", before)
        compared = self._compared(task) or self._renamed(task) or _Answer("first", FIRST)
        stopped = self._unfinished(task)
        if stopped is None:
            return compared
        notes = () if compared.kind == "first" else (f"compared with the nearest run that was done: {compared.text}.",)
        return stopped._replace(notes=notes)

    def _compared(self, task: TaskOnKart[Any]) -> _Answer | None:
        """Return how a task differs from the nearest earlier one; None without any of its class."""
        nearest = self.comparison.nearest(task)
        if nearest is None:
            return None
        if nearest.unique_id == task.make_unique_id():
            return _Answer("file gone", f"its output is gone, which run {nearest.run_id} wrote", nearest)
        found = self.comparison.between(task, nearest)
        if id(found) not in self._words:
            leaves = self.comparison.leaves(found)
            self._words[id(found)] = _kind_of(leaves), _words(leaves)
        return _Answer(*self._words[id(found)], nearest, found)

    def _renamed(self, task: TaskOnKart[Any]) -> _Answer | None:
        """Return the class that a task had before, if one of another name is gone that had its values and inputs."""
        if self._former is None:
            self._former = [
                each
                for name in self.index.class_names()
                for each in earlier_of_class(self.index, name, _FORMER)
                if not hasattr(sys.modules.get(each.module), each.task)
            ]
        for each in self._former:
            if self.comparison.has_same_params(task, each) and self.comparison.has_same_upstream(task, each):
                return _Answer("renamed", f"its class was {each.module}.{each.task}", each)
        return None

    def _unfinished(self, task: TaskOnKart[Any]) -> _Answer | None:
        """Return the failure of a task, or the run that ended before it."""
        name, unique_id = type(task).__name__, task.make_unique_id()
        if name not in self._failures:
            failures = earlier_of_class(self.index, name, state="failed")
            self._failures[name] = {each.unique_id: each for each in failures}
        failure = self._failures[name].get(unique_id)
        if failure is None:
            how = self._stopped.get(unique_id)
            return None if how is None else _Answer("interrupted", how)
        attempts = self.index.attempts(unique_id=unique_id)
        error = next((each.error for each in reversed(attempts) if each.state == "failed"), "").partition("\n")[0]
        return _Answer("failed", f"it failed in run {failure.run_id}: {printable(error, _LONGEST_ERROR)}")


def _stopped_run(index: Index) -> Mapping[str, str]:
    """Return what the newest run left undone, if it did not end well: unique id to what happened."""
    newest = next(iter(index.runs(1)), None)
    if newest is None or newest.state == "done":
        return {}
    run = index.run(newest.id)
    if run.graph is None:
        return {}
    what = _STOPPED.get(newest.state, "was to run it, and has no end: it goes on, or was killed")
    ended = {record.unique_id for record in run.records}
    verdicts = zip(run.graph.tasks, run.graph.verdicts, strict=False)
    left = (name.unique_id for name, verdict in verdicts if verdict in "rm" and name.unique_id not in ended)
    return dict.fromkeys(left, f"run {run.id} {what}")


# -- words -----------------------------------------------------------------------------------------------------------

_Leaves = Sequence[tuple[Leaf, int]]


def _kind_of(leaves: _Leaves) -> str:
    own = {leaf.name for leaf, steps in leaves if steps == 0}
    if own == {"code"}:
        return "code"
    if own - {"requires", "content", "order", "unrecorded"}:
        return "parameters"
    return "input" if all(leaf.name == "content" for leaf, _ in leaves) else "upstream"


def _words(leaves: _Leaves) -> str:
    """Return differences in a few words: the task's own, else the files, else those of each class upstream."""
    own = [leaf for leaf, steps in leaves if steps == 0 and leaf.name != "requires"]
    if own:
        return f"{some([leaf.text() for leaf in own])}{_origins(own)}"
    if all(leaf.name == "content" for leaf, _ in leaves):
        return some([leaf.text() for leaf, _ in leaves])
    texts = _required_words([leaf for leaf, steps in leaves if steps == 0])
    by_class: dict[str, list[Leaf]] = {}
    for leaf, steps in leaves:
        if steps:
            by_class.setdefault(type(leaf.task).__name__, []).append(leaf)
    upstream = [_of_class(name, members) for name, members in by_class.items()]
    return "; ".join([*([some(texts)] if texts else []), *([f"upstream: {some(upstream)}"] if upstream else [])])


def _required_words(leaves: Sequence[Leaf]) -> list[str]:
    """Return what a task requires now, and no longer, by class."""
    counts: dict[str, int] = {}
    for leaf in leaves:
        counts[leaf.text()] = counts.get(leaf.text(), 0) + 1
    return [f"{text} (×{number})" if number > 1 else text for text, number in counts.items()]


def _of_class(name: str, members: Sequence[Leaf]) -> str:
    number = len({leaf.task.make_unique_id() for leaf in members})
    texts = list(dict.fromkeys(leaf.text() for leaf in members))
    return f"{name}{f' ×{number}' if number > 1 else ''} ({some(texts)})"


def _origins(leaves: Sequence[Leaf]) -> str:
    """Return where the values of some differences come from, if that is the same for all."""
    origins = {(leaf.origin_before, leaf.origin) for leaf in leaves}
    if len(origins) > 1:
        return ""
    before, after = origins.pop()
    text = "; ".join(filter(None, (after, f"before: {before}" if before and before != after else "")))
    return f" ({text})" if text else ""


def some(texts: Sequence[str]) -> str:
    """Return the first texts of a list, and how many more there are."""
    rest = len(texts) - _MAX_NAMED
    return ", ".join(texts[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
