"""Answers of `kart why`: the cause of a task as sentences and tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import luigi

from kart_runtime.cli.deletion import size_text
from kart_runtime.cli.formatting import format_value
from kart_runtime.errors import described, warn
from kart_runtime.errors.secrets import MASK
from kart_runtime.history.runs import RunRecord
from kart_runtime.plan.causes import Cause, Explainer, some
from kart_runtime.plan.comparison import Difference, origin_of_value
from kart_runtime.plan.decisions import RUNNING, Plan, is_external
from kart_runtime.plan.details import Details, stored_now, without_history
from kart_runtime.storage.target import path_of
from kart_runtime.task.base import kart_task
from kart_runtime.task.naming import id_of, short_id
from kart_runtime.task.nested import flatten
from kart_runtime.task.parameters import declaration, secret_names

logger = logging.getLogger(__name__)

_MAX_ROWS = 20
"""Differences or tasks that are listed."""

_COMPARED = {
    "parameters": "it has never run with these parameters",
    "upstream": "it has never run with these inputs",
    "input": "it has never run with these inputs",
}


@dataclass(frozen=True)
class Answer:
    """Why a task would run, or which run made its output.

    Attributes
    ----------
    head
        Sentences, a line each.
    rows
        Rows of a table below them.
    notes
        What else is to be known.
    values
        The same as values of JSON.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


class Answers:
    """Answers about the tasks of one plan; a context manager, which closes what it has opened."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._labels = plan.labels
        self._explainer = Explainer(plan)
        self._details = Details(plan, self._explainer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._explainer.__exit__(*error)

    def of(self, task: luigi.Task) -> Answer:
        """Return the answer about a task, without the history if its records are damaged."""
        try:
            cause = self._details.of(task)
        except Exception as error:  # noqa: BLE001 - what the plan says is right without it
            warn(logger, "The records of earlier runs are damaged: %s", described(error))
            cause = without_history(self._plan.decision_by_task[task])
        return Answer(*self._text(task, cause), cause.notes, self._values(task, cause))

    def _values(self, task: luigi.Task, cause: Cause) -> dict[str, Any]:
        decision = self._plan.decision_by_task[task]
        return {
            "task": type(task).__name__,
            "module": type(task).__module__,
            "id": id_of(task),
            "label": self._labels(task),
            "action": decision.action.value,
            "cause": cause.as_json(),
        }

    def _text(self, task: luigi.Task, cause: Cause) -> tuple[list[str], list[Sequence[str]]]:
        name = self._name(task)
        if self._plan.decision_by_task[task].action not in RUNNING:
            return self._idle(task, name, cause)
        if cause.kind in ("incomplete", "maybe"):
            return [f"{name} {'may' if cause.kind == 'maybe' else 'would'} run: {cause.text}."], self._upstream(task)
        if cause.kind == "file gone" and cause.nearest is not None:
            return [f"{name} would run: its output is gone.", *_gone(cause.nearest)], []
        text = _COMPARED.get(cause.kind, cause.text) if cause.nearest is not None else cause.text
        if cause.kind in ("no output", "first"):
            text += f". No earlier run of {type(task).__name__} is recorded in {_workspace(task)}"
        head = [f"{name} would run: {text}."]
        if cause.nearest is not None:
            head.append(_nearest(cause))
        rows: list[Sequence[str]] = [_row(one) for one in cause.differences[:_MAX_ROWS]]
        if len(cause.differences) > _MAX_ROWS:
            rows.append((f"... and {len(cause.differences) - _MAX_ROWS} more", "", "", ""))
        return head, rows

    def _idle(self, task: luigi.Task, name: str, cause: Cause) -> tuple[list[str], list[Sequence[str]]]:
        """Return the answer about a task that would not run."""
        made = cause.nearest
        if cause.kind == "missing":
            return [f"{name} cannot run: {cause.text}."], []
        if cause.kind == "not needed":
            again = f"`kart run {type(task).__name__}` asks for it."
            return [f"{name} would not run: {cause.text}. {again}"], []
        if made is None:
            how = f"{cause.text}. No run has recorded it"
            if is_external(task):
                how = "it comes from outside, and exists" + "".join(map(stored_now, _places(task)))
            return [f"{name} is up to date: {how}."], self._parameters(task)
        what = "made its output" if made.outputs else "ran it"
        by = f"run {made.run_id} {what} {ago(made.started)}, in {made.seconds:.1f} s"
        return [f"{name} is up to date: {by}."], self._parameters(task)

    def _parameters(self, task: luigi.Task) -> list[Sequence[str]]:
        """Return a row for each value that counts in the id, with where it comes from."""
        kart, declared = kart_task(task), declaration(type(task)).significant
        secrets = secret_names(type(task), kart._kart.overrides) if kart is not None else frozenset[str]()
        return [
            (
                name,
                MASK if name in secrets else self._value(param, getattr(task, name)),
                origin_of_value(task, name) if kart is not None else "",
            )
            for name, param in declared
        ]

    def _value(self, param: luigi.Parameter[Any], value: Any) -> str:
        if isinstance(value, luigi.Task):
            return self._labels(value)
        if isinstance(value, list | tuple) and value and all(isinstance(each, luigi.Task) for each in value):
            return f"[{some([self._labels(each) for each in value])}]"
        return format_value(param, value)

    def _upstream(self, task: luigi.Task) -> list[Sequence[str]]:
        """Return a row for each task directly upstream that runs, with its cause."""
        decisions, rows = self._plan.decision_by_task, []
        for upstream in self._plan.requires[task]:
            decision = decisions[upstream]
            if decision.action in RUNNING:
                rows.append(
                    (self._labels(upstream), short_id(upstream), self._explainer.cause(upstream, decision).text)
                )
        rest = len(rows) - _MAX_ROWS
        return [*rows[:_MAX_ROWS], *([(f"... and {rest} more", "", "")] if rest > 0 else [])]

    def _name(self, task: luigi.Task) -> str:
        label = self._labels(task)
        return label if label.endswith("]") else f"{label}[{short_id(task)}]"


def _places(task: luigi.Task) -> list[str]:
    return [path_of(target) for target in flatten(task.output())]


def _workspace(task: luigi.Task) -> str:
    kart = kart_task(task)
    return kart.workspace_directory if kart is not None else "its workspace"


def _gone(record: RunRecord) -> list[str]:
    """Return the sentences about an output that is gone."""
    sizes = [f"{one.url}, {size_text(one.size)}" for one in record.outputs]
    wrote = f"Run {record.run_id} wrote it {ago(record.started)}, in {record.seconds:.1f} s: {'; '.join(sizes)}."
    return [wrote]


def _nearest(cause: Cause) -> str:
    """Return the sentence about the earlier run that a task is compared with."""
    nearest = cause.nearest
    assert nearest is not None
    when = f"{ago(nearest.started)} (run {nearest.run_id})"
    if cause.kind not in _COMPARED:
        return f"The last run of it, {when}, took {nearest.seconds:.1f} s."
    steps = min((one.steps for one in cause.differences), default=0)
    how = f" upstream, {steps} step{'' if steps == 1 else 's'} away" if steps else ""
    return f"Nearest earlier: {nearest.unique_id[:8]}, done {when}. Differs{how}:"


def _row(one: Difference) -> tuple[str, str, str, str]:
    if one.name in ("requires", "code", "secret", "order", "unrecorded"):
        return one.task, one.text(), "", ""
    value = f"{one.before or '(none)'} → {one.after or '(none)'}"
    origins = one.origin or ""
    if one.origin_before and one.origin_before != one.origin:
        origins = f"{origins}; before: {one.origin_before}".removeprefix("; ")
    return one.task, one.name, value, origins


_UNITS = ((86_400, "day"), (3_600, "h"), (60, "min"))


def ago(started: str) -> str:
    """Return how long ago a time was, which is ISO 8601."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return "some time ago"
    for size, unit in _UNITS:
        number = int(seconds // size)
        if number >= 1:
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now" if seconds >= 0 else "later than now"
