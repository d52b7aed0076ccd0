"""Comparison of a task with an earlier one of its class: which parameters differ, its own or those upstream of it.

The walk goes up to the first tasks whose own parameters differ. What it has found out about two tasks is kept, so that
a plan of a thousand tasks downstream of one difference is walked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import luigi

from kart_runtime.history.runs import RunRecord
from kart_runtime.plan.nearest import Candidates, holds_tasks, plain
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.identity import dependencies
from kart_runtime.task.input_file import CONTENT, InputFile
from kart_runtime.task.parameters import ActiveOverrides, Override, declaration
from kart_runtime.task.run_metadata import recorded_params

COMMAND_LINE = "command line"
_DEEPEST = 200
"""Steps upstream after which the walk ends: Python's own stack is limited."""

Found = tuple[tuple[int, int], ...]
"""Numbers of differences, each with the steps to where it is."""


class History(Protocol):
    """What is asked of the index of earlier runs."""

    def candidates(self, task: str, limit: int = 1000, *, state: str = "done") -> list[RunRecord]:
        """Return the newest records of a class, one for each id, newest first."""
        ...

    def newest(self, unique_id: str, module: str | None = None) -> RunRecord | None:
        """Return the newest record of a task that was done."""
        ...

    def upstream(self, unique_id: str) -> tuple[str, ...]:
        """Return the ids directly upstream of a task."""
        ...

    def run(self, run_id: str) -> Any:
        """Return a run."""
        ...

    def attempts(self, *, unique_id: str | None = None) -> list[RunRecord]:
        """Return the attempts at a task."""
        ...


@dataclass(frozen=True)
class Difference:
    """A value that differs from an earlier run.

    Attributes
    ----------
    task
        Label of the task where it differs.
    name
        Name of the parameter; "content" of an input file; "requires" where a task is new or no longer there.
    before, after
        The values as text; "" where there is none.
    origin_before, origin
        Where the values come from: a file with a line, or the command line; "" if that is not known.
    steps
        Number of tasks between: 0 for the task itself, 1 for what it requires.
    kind
        Class name of the task where it differs.
    """

    task: str
    name: str
    before: str
    after: str
    origin_before: str = ""
    origin: str = ""
    steps: int = 0
    kind: str = ""

    def text(self) -> str:
        """Return the difference in a few words."""
        if self.name == "requires":
            return f"requires {self.after} now" if self.after else f"no longer requires {self.before}"
        if self.name == "content":
            return f"{self.task} changed"
        if not self.before:
            return f"{self.name} {self.after or repr('')} is new"
        return f"{self.name} {self.before} → {self.after}" if self.after else f"{self.name} {self.before} is gone"


_LONGEST = 60


def digits(checksum: str) -> str:
    """Return the first digits of a checksum; of an object in a bucket its version and bytes."""
    algorithm, colon, rest = checksum.partition(":")
    return rest[:8] if colon and algorithm != "version" else rest or checksum


def _short(text: str) -> str:
    text = text if text.isprintable() else repr(text)[1:-1]
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or "''"


class Comparison:
    """Compares the tasks of one plan with the records of one workspace.

    Parameters
    ----------
    history
        The index of its runs.
    label
        Returns what a task is called.
    """

    def __init__(self, history: History, label: Callable[[luigi.Task], str]) -> None:
        self._history, self._label = history, label
        self._candidates: dict[str, Candidates] = {}
        self._records: dict[str, RunRecord | None] = {}
        self._nearest: dict[str, RunRecord | None] = {}
        self._runs: dict[str, Any] = {}
        self._leaves: list[Difference] = []
        self._walked: dict[tuple[str, str], Found] = {}
        self._same: dict[Found, Found] = {}

    # -- records -------------------------------------------------------------------------------------------------

    def nearest(self, task: TaskOnKart[Any]) -> RunRecord | None:
        """Return the nearest earlier record of a task's class, which has another id; None if there is none.

        Of records with the same parameters it is one downstream of what was found for the tasks upstream, so that a
        chain of tasks is compared with one earlier chain.
        """
        unique_id = task.make_unique_id()
        if unique_id not in self._nearest:
            found = self._of_class(type(task).__name__)
            ids = [required.make_unique_id() for required in _required(task)]
            ids += [near.unique_id for each in ids if (near := self._nearest.get(each)) is not None]
            place = found.nearest(plain(recorded_params(task)), ids)
            self._nearest[unique_id] = None if place is None else found.records[place]
        return self._nearest[unique_id]

    def _of_class(self, name: str) -> Candidates:
        found = self._candidates.get(name)
        if found is None:
            found = self._candidates[name] = Candidates(self._history.candidates(name))
            for record in reversed(found.records):
                self._records[record.unique_id] = record
        return found

    def record(self, unique_id: str) -> RunRecord | None:
        """Return the newest record of an id."""
        if unique_id not in self._records:
            self._records[unique_id] = self._history.newest(unique_id)
        return self._records[unique_id]

    def run_of(self, record: RunRecord) -> Any:
        """Return the run of a record."""
        if record.run_id not in self._runs:
            self._runs[record.run_id] = self._history.run(record.run_id)
        return self._runs[record.run_id]

    def has_same_upstream(self, task: TaskOnKart[Any], record: RunRecord) -> bool:
        """Return whether a record is of a task with the same tasks upstream."""
        now = {kart.make_unique_id() for kart in _required(task)}
        return now == set(self._history.upstream(record.unique_id) or record.requires)

    def _name_of(self, unique_id: str, user: RunRecord) -> str:
        """Return the class of an id that has no record, such as a file from outside, as the run of its user has it."""
        graph = self.run_of(user).graph
        return next((name.task for name in graph.tasks if name.unique_id == unique_id), "") if graph else ""

    # -- differences ---------------------------------------------------------------------------------------------

    def differences(self, found: Found) -> tuple[Difference, ...]:
        """Return the differences that `between` has found, nearest first."""
        ordered = sorted(found, key=lambda one: one[1])
        return tuple(replace(self._leaves[leaf], steps=steps) for leaf, steps in ordered)

    def upstream(self, task: TaskOnKart[Any], before: RunRecord) -> tuple[Difference, ...]:
        """Return what differs upstream, also if the task's own parameters differ."""
        return self.differences(self._upstream(task, before, 0))

    def between(self, task: TaskOnKart[Any], before: RunRecord, depth: int = 0) -> Found:
        """Return what differs between a task and an earlier one of its class."""
        key = (task.make_unique_id(), before.unique_id)
        found = self._walked.get(key)
        if found is None:
            self._walked[key] = ()
            found = self._own(task, before) or self._upstream(task, before, depth) or self._held(task, before)
            found = self._walked[key] = self._same.setdefault(found, found)
        return found

    def _add(self, task: luigi.Task, name: str, before: str, after: str, origins: tuple[str, str] = ("", "")) -> int:
        kind = type(task).__name__
        label = task.path if name == "content" and isinstance(task, InputFile) else self._label(task)
        self._leaves.append(Difference(label, name, before, after, *origins, kind=kind))
        return len(self._leaves) - 1

    def _own(self, task: TaskOnKart[Any], before: RunRecord) -> Found:
        now, then = recorded_params(task), before.params
        names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
        return self._as_found(task, before, (name for name in names if not self._is_of_tasks(name, now, then)))

    def _held(self, task: TaskOnKart[Any], before: RunRecord) -> Found:
        """Return the parameters with tasks that differ, where nothing upstream does: the task does not require them."""
        now, then = recorded_params(task), before.params
        if any(text.startswith(("425a", '["425a')) for text in then.values()):  # a record of an earlier version
            return ()
        return self._as_found(task, before, (name for name in {**now, **then} if now.get(name) != then.get(name)))

    @staticmethod
    def _is_of_tasks(name: str, now: Mapping[str, str], then: Mapping[str, str]) -> bool:
        return holds_tasks(now.get(name, "")) or holds_tasks(then.get(name, ""))

    def _as_found(self, task: TaskOnKart[Any], before: RunRecord, names: Iterable[str]) -> Found:
        now, then, found = recorded_params(task), before.params, []
        for name in names:
            shorten, shown = (digits, "content") if name == CONTENT else (_short, name)
            texts = [shorten(params[name]) if name in params else "" for params in (then, now)]
            origins = (self._origin_before(name, before), origin_of_value(task, name))
            found.append((self._add(task, shown, texts[0], texts[1], origins), 0))
        return tuple(found)

    def _upstream(self, task: TaskOnKart[Any], before: RunRecord, depth: int) -> Found:
        if depth >= _DEEPEST:
            return ()
        found: dict[int, int] = {}
        seen: set[int] = set()
        for one in self._pairs(task, before, depth):
            if id(one) not in seen:
                seen.add(id(one))
                for leaf, steps in one:
                    found.setdefault(leaf, steps + 1)
        return tuple(found.items())

    def _pairs(self, task: TaskOnKart[Any], before: RunRecord, depth: int) -> Iterable[Found]:
        """Yield what differs between each task directly upstream that is not as before and its counterpart."""
        now = {kart.make_unique_id(): kart for kart in _required(task)}
        then = self._history.upstream(before.unique_id) or before.requires
        known = set(then)
        gone = [unique_id for unique_id in then if unique_id not in now]
        new: dict[str, list[TaskOnKart[Any]]] = {}
        for unique_id, kart in now.items():
            if unique_id not in known:
                new.setdefault(type(kart).__name__, []).append(kart)
        records: dict[str, list[RunRecord]] = {}
        for unique_id in gone:
            record = self.record(unique_id) or _unrecorded(unique_id, self._name_of(unique_id, before))
            records.setdefault(record.task, []).append(record)
        for name, tasks in new.items():
            yield from self._matched(task, tasks, records.pop(name, []), before, depth)
        if new or task.serialized_task_definition_check:
            return
        # Only now, since what was there before may have been yielded by `run()`, which no plan knows.
        insignificant = {type(kart).__name__ for kart in dependencies(task) if not getattr(kart, "significant", True)}
        for name in records:
            if name and name not in insignificant:
                yield ((self._add(task, "requires", name, ""), -1),)

    def _matched(
        self,
        user: luigi.Task,
        tasks: Sequence[TaskOnKart[Any]],
        records: Sequence[RunRecord],
        before: RunRecord,
        depth: int,
    ) -> Iterable[Found]:
        """Yield the differences of tasks of one class, each to the record that is nearest to it of those left."""
        candidates, left = Candidates(records), (1 << len(records)) - 1
        for task in tasks:
            place = candidates.nearest(plain(recorded_params(task)), left=left)
            if place is None:
                yield ((self._add(user, "requires", "", self._label(task)), -1),)
                continue
            left &= ~(1 << place)
            record = records[place]
            if record.params or not isinstance(task, InputFile):
                yield self.between(task, record, depth + 1)
            else:
                yield ((self._add(task, *_of_file(task, before)), 0),)

    # -- origins -------------------------------------------------------------------------------------------------

    def _origin_before(self, name: str, before: RunRecord) -> str:
        """Return the command line if the earlier run got the value of a parameter from there."""
        if not before.run_id:
            return ""
        overrides = (self.run_of(before).header or {}).get("overrides") or {}
        return COMMAND_LINE if any(_is_of(key, before.task, name) for key in overrides) else ""


def _unrecorded(unique_id: str, name: str) -> RunRecord:
    return RunRecord(name, "", unique_id, "", "", 0.0)


def _of_file(task: InputFile[Any], user: RunRecord) -> tuple[str, str, str]:
    """Return how a file from outside differs from the one that an earlier task has loaded: name, before and after."""
    content = recorded_params(task).get(CONTENT, "")
    before = user.inputs.get(task.url, "")
    return "content", digits(before), digits(content)


def _is_of(key: str, task: str, name: str) -> bool:
    return key == f"{task}.{name}" or key.endswith(f".{task}.{name}")


def _required(task: TaskOnKart[Any]) -> list[TaskOnKart[Any]]:
    """Return the tasks directly upstream that count in the id."""
    return [kart for kart in dependencies(task) if isinstance(kart, TaskOnKart) and kart.significant]


def origin_of_value(task: luigi.Task, name: str) -> str:
    """Return where the value of a task's parameter was written; "" if the code has given another one."""
    value = vars(task).get(name)
    override = _overrides(type(task), task._kart.overrides).get(name)  # type: ignore[attr-defined]
    if override is not None and override.error is None:
        return override.origin if override.secret or override.value == value else ""
    param = declaration(type(task)).params.get(name)
    return "default" if param is not None and value == param._default else ""


@lru_cache(maxsize=1024)
def _overrides(cls: type, overrides: ActiveOverrides) -> Mapping[str, Override]:
    merged: dict[str, Override] = {}
    for base in reversed(cls.__mro__):
        merged.update(overrides.by_class.get(base, {}))
    return merged
