"""Words by which people name a run or a task: `last~2`, the start of an id, a label, a class."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from numbers import Real
from typing import Any, NamedTuple, Protocol

from kart_runtime.errors import ConfigError
from kart_runtime.history.index import Index
from kart_runtime.history.labels import LabelNode, labels

_SHORTEST_ID = 6
"""Characters of a task's id that tell it from a class."""

_SHORTEST_RUN = 4
_MOST_CANDIDATES = 8
_RUNS_TO_SEARCH = 10
"""Newest runs whose files are read for a task of which no attempt is known."""

_STEPS = re.compile(r"(.+?)~(\d{0,6})")
_TASK_WITH_ID = re.compile(r"([\w.]+)[\[_(]([0-9a-f]{4,32})[\])]?")
_ID = re.compile(rf"[0-9a-f]{{{_SHORTEST_ID},32}}")


class _Task(Protocol):
    @property
    def module(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def unique_id(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str]: ...


class TaskMatch(NamedTuple):
    """What a word for a task stands for.

    Attributes
    ----------
    task
        Name of the class.
    unique_id
        Id of one task; "" if the word is the name of a class.
    """

    task: str
    unique_id: str = ""


def resolve_run(index: Index, word: str) -> str:
    """Return the id of the run that a word stands for: `last`, `last~2`, the start of its id, or its label.

    Raises `ConfigError` if there is none, or more than one.
    """
    ids, labels = [], dict[str, list[str]]()
    for run, label in index.run_labels().items():
        ids.append(run)
        if label:
            labels.setdefault(label, []).append(run)
    if not ids:
        raise ConfigError(f"no run yet in {index.workspace}. kart run makes the first")
    if word in ids:
        return word
    steps = _STEPS.fullmatch(word)
    name, back = (steps[1], int(steps[2] or 1)) if steps else (word, 0)
    known = ids if name == "last" else labels.get(name)
    if known is None and steps is None:
        return _run_from(ids, word, [*labels, "last"])
    if known is None:
        known = ids[ids.index(_run_from(ids, name, [*labels, "last"])) :]
    if back >= len(known):
        there = "there is only one" if len(known) == 1 else f"there are only {len(known)}"
        raise ConfigError(f"'{word}' goes too far back: {there}")
    return known[back]


def default_runs(index: Index, count: int = 1) -> list[str]:
    """Return the runs that a command means without a word, newest first: those that ran something, else the last."""
    return index.runs_with_work(count) or [resolve_run(index, "last")]


def _run_from(ids: Sequence[str], word: str, others: Sequence[str]) -> str:
    """Return the run whose id, or the part of it after the time, begins with a word."""
    matches = [run for run in ids if run.startswith(word) or run.partition("-")[2].startswith(word)]
    if len(word) < _SHORTEST_RUN and len(matches) != 1:
        matches = []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError(f"'{word}' is the start of {len(matches)} runs: {_listed(matches)}. Write more of the id")
    near = _near(word, [*others, *ids], n=3, cutoff=0.6)
    raise ConfigError(
        f"no run is called '{word}'",
        suggestion="' or '".join(near) or None,
        expected="last, last~1, the start of a run's id, or a label; kart runs shows them",
    )


def _near(word: str, known: Iterable[str], *, n: int, cutoff: float) -> list[str]:
    import difflib  # needed only where something is wrong

    return difflib.get_close_matches(word, list(known), n=n, cutoff=cutoff)


def resolve_task(index: Index, word: str) -> TaskMatch:
    """Return the class or the task that a word stands for: a class, or at least 6 characters of an id.

    `TrainModel[74393b26]` and `model.train.TrainModel` will do as well. Raises `ConfigError` if there is none, or more
    than one.
    """
    classes = index.class_names()
    if word in classes:
        return TaskMatch(word)
    pair = _TASK_WITH_ID.fullmatch(word)
    name = word.rpartition(".")[2]
    if pair is None and name in classes:
        return TaskMatch(name)
    prefix = pair[2] if pair else word.lower()
    if not pair and not _ID.fullmatch(prefix):
        raise _unknown(word, classes)
    matches = index.ids_from(prefix)
    if pair:
        matches = [match for match in matches if match[1] == pair[1].rpartition(".")[2]]
    if not matches:
        raise _unknown(word, [*classes, *(uid for _, uid in index.tasks())])
    if len(matches) > 1:
        shown = _listed([f"{task}[{uid[: max(8, len(prefix) + 2)]}]" for uid, task in matches])
        raise ConfigError(f"'{word}' is the start of {len(matches)} ids: {shown}. Write more of the id")
    uid, task = matches[0]
    return TaskMatch(task, uid)


def named_by(index: Index, word: str) -> tuple[str, TaskMatch] | None:
    """Return the newest run that names a task by its class or the start of its id, of those of late; None if none does.

    A run names its tasks before it attempts any of them.
    """
    pair = _TASK_WITH_ID.fullmatch(word)
    name, prefix = (pair[1], pair[2]) if pair else (word, "")
    name = name.rpartition(".")[2]
    is_id = not pair and _ID.fullmatch(word.lower()) is not None
    for run_id in list(index.run_labels())[:_RUNS_TO_SEARCH]:
        for task in sorted(index.run(run_id).tasks):
            if task.task == name and task.unique_id.startswith(prefix):
                return run_id, TaskMatch(task.task, task.unique_id if prefix else "")
            if is_id and task.unique_id.startswith(word.lower()):
                return run_id, TaskMatch(task.task, task.unique_id)
    return None


def _unknown(word: str, known: Sequence[str]) -> ConfigError:
    lowered = {name.lower(): name for name in known}
    is_known = word.lower() in lowered
    near = [word.lower()] if is_known else _near(word.lower(), lowered, n=3, cutoff=0.5)
    return ConfigError(
        f"no task that has run is called '{word}'",
        suggestion="' or '".join(lowered[name] for name in near) or None,
        expected=f"the name of a class, or at least {_SHORTEST_ID} characters of an id",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_CANDIDATES])
    return shown if len(names) <= _MOST_CANDIDATES else f"{shown} and {len(names) - _MOST_CANDIDATES} more"


def task_labels(index: Index, tasks: Sequence[_Task]) -> list[str]:
    """Return a name for each task: its class, with what tells the tasks of the class apart, if need be upstream."""
    nodes = [LabelNode(task.module, task.task, task.params, task.unique_id) for task in tasks]
    if len({node.task for node in nodes}) == len(nodes):
        return [node.task for node in nodes]
    numbers = {node.unique_id: number for number, node in enumerate(nodes)}
    upstream: dict[str, tuple[str, ...]] = {}
    level = list(numbers)
    while level:
        found = index.upstream_of(level)
        upstream.update(found)
        level = list(dict.fromkeys(uid for ids in found.values() for uid in ids if uid not in numbers))
        for each in index.measured_of(level).values():
            numbers[each.unique_id] = len(nodes)
            nodes.append(LabelNode(each.module, each.task, each.params, each.unique_id))
        level = [uid for uid in level if uid in numbers]
    above = [[numbers[uid] for uid in upstream.get(node.unique_id, ()) if uid in numbers] for node in nodes]
    return labels(nodes, above)[: len(tasks)]


def has_values(params: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """Return whether recorded parameters have these values, given as texts or as the values themselves."""
    return all(name in params and _is_text_of(params[name], value) for name, value in values.items())


def _is_text_of(text: str, value: Any) -> bool:
    if text == str(value):
        return True
    if isinstance(value, Real):  # such as 1 for the float 1.0, whose text differs
        return _same_number(text, value)
    if isinstance(value, list | tuple | Mapping):
        return text in {f"[{', '.join(map(_item_text, value))}]", ",".join(map(_item_text, value))} or (
            _same_json(text, value)
        )
    if isinstance(value, datetime):  # recorded to the hour, the minute or the second
        return text in {f"{value:%Y-%m-%dT%H}", f"{value:%Y-%m-%dT%H%M}", f"{value:%Y-%m-%dT%H%M%S}"}
    if isinstance(value, timedelta):  # luigi is slow to import
        return bool(text == import_module("luigi").TimeDeltaParameter().serialize(value))
    return text == ("" if value is None else _item_text(value))


def _item_text(value: Any) -> str:
    if callable(getattr(value, "make_unique_id", None)):
        return f"{type(value).__name__}[{value.make_unique_id()[:8]}]"
    return value.name if isinstance(value, enum.Enum) else str(value)


def _same_number(text: str, value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(text) == float(value)
    except (ValueError, OverflowError):
        return False


def _same_json(text: str, value: Any) -> bool:
    try:
        return bool(json.loads(text) == json.loads(json.dumps(value, default=dict)))
    except (TypeError, ValueError):
        return False
