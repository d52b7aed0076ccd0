"""Comparison of a task with an earlier one of its class: which parameters differ, its own or those upstream of it.

The walk goes up to the first tasks whose own parameters differ. What it has found out about two tasks is kept, so that
a plan of a thousand tasks downstream of one difference is walked once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import luigi

from kart_runtime.history.earlier import (
    Earlier,
    earlier_of_class,
    earlier_of_id,
    given_keys,
    holds_tasks,
    plain_params,
)
from kart_runtime.plan.nearest import Candidates
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.identity import dependencies
from kart_runtime.task.input_file import CONTENT, InputFile
from kart_runtime.task.parameters import ActiveOverrides, Override, declaration, secret_names
from kart_runtime.task.published import Published
from kart_runtime.task.run_metadata import recorded_params

if TYPE_CHECKING:
    from kart_runtime.history.index import Index

COMMAND_LINE = "command line"

_DEEPEST = 200
"""Steps upstream after which the walk ends: Python's own stack is limited."""

_FIRST, _MOST = 100, 1000
"""Tasks of a class to look at: the newest, and if none of them has the same parameters, all of these."""

_LONGEST = 60
"""Characters of a value."""

_UNSEEN = {
    "code": "its code changed, which is a part of its id (serialized_task_definition_check)",
    "secret": "{} changed, which is secret",
    "order": "what it requires has another order, or counts for the first time",
    "unrecorded": "what it requires, which the version of kart that ran it then did not record",
}
"""What no record shows, by the name of the difference."""

_OUTPUT = re.compile(r"_[0-9a-f]{32}\b")
"""What tells an output of a task from a file from outside."""

Found = tuple[tuple[int, int], ...]
"""Numbers of leaves, each with the steps to where it is."""


@dataclass(frozen=True)
class Difference:
    """A value that differs from an earlier run.

    Attributes
    ----------
    task
        Label of the task where it differs; of a file from outside its path.
    name
        Name of the parameter; "content" of a file; "requires" where a task is required now, or no longer; "code",
        "secret", "order" or "unrecorded" for what no record shows.
    before, after
        The values as text; "" where there is none.
    origin_before, origin
        Where the values come from: a file with a line, the command line, or "default"; "" if that is not known.
    steps
        Number of tasks between: 0 for the task itself, 1 for what it requires.
    """

    task: str
    name: str
    before: str
    after: str
    origin_before: str = ""
    origin: str = ""
    steps: int = 0

    def text(self) -> str:
        """Return the difference in a few words."""
        return difference_text(self.name, self.before, self.after, self.task)


def difference_text(name: str, before: str, after: str, place: str) -> str:
    """Return a difference in a few words."""
    if name == "requires":
        return f"requires {after} now" if after else f"no longer requires {before}"
    if name in _UNSEEN:
        return _UNSEEN[name].format(after)
    if name == "content":
        return f"{place} changed"
    if not before:
        return f"{name} {after} is new"
    return f"{name} {before} → {after}" if after else f"{name} {before} is gone"


class Leaf(NamedTuple):
    """A difference while it is not known who asks for it: `required` is the task that is required now."""

    task: TaskOnKart[Any]
    name: str
    before: str
    after: str
    origin_before: str = ""
    origin: str = ""
    required: TaskOnKart[Any] | None = None

    def text(self) -> str:
        """Return the difference in a few words."""
        return difference_text(self.name, self.before, self.after, self.place())

    def place(self) -> str:
        """Return the path of a file, else the name of the class."""
        return self.task.path if isinstance(self.task, InputFile) else type(self.task).__name__


class Comparison:
    """Compares the tasks of one plan with those that have run in one workspace."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._first: dict[str, Candidates] = {}
        self._all: dict[str, Candidates] = {}
        self._known: dict[str, Earlier | None] = {}
        self._nearest: dict[str, Earlier | None] = {}
        self._params: dict[str, dict[str, str]] = {}
        self._plain_params: dict[str, dict[str, str]] = {}
        self._upstream_of: dict[str, list[TaskOnKart[Any]]] = {}
        self._given: dict[str, frozenset[str]] = {}
        self._leaves: list[Leaf] = []
        self._walked: dict[tuple[str, str], Found] = {}
        self._same: dict[Found, Found] = {}

    # -- earlier tasks -------------------------------------------------------------------------------------------

    def nearest(self, task: TaskOnKart[Any]) -> Earlier | None:
        """Return the nearest earlier task of the same class, which has another id; None if there is none.

        Of those with the same parameters it is one downstream of what was found for the tasks upstream, so that a chain
        of tasks is compared with one earlier chain.
        """
        unique_id = task.make_unique_id()
        if unique_id not in self._nearest:
            self._nearest[unique_id] = self._find_nearest(task)
        return self._nearest[unique_id]

    def _find_nearest(self, task: TaskOnKart[Any]) -> Earlier | None:
        params, name = self._plain(task), type(task).__name__
        ids = [required.make_unique_id() for required in self._required(task)]
        ids += [near.unique_id for each in ids if (near := self._nearest.get(each)) is not None]
        candidates = self._candidates(self._first, name, _FIRST)
        near = candidates.at(candidates.nearest(params, ids))
        if near is None or near.plain == params or len(candidates.tasks) < _FIRST:
            return near
        candidates = self._candidates(self._all, name, _MOST)
        return candidates.at(candidates.nearest(params, ids))

    def _candidates(self, known: dict[str, Candidates], name: str, limit: int) -> Candidates:
        found = known.get(name)
        if found is None:
            found = known[name] = Candidates(earlier_of_class(self.index, name, limit))
            self._known.update((each.unique_id, each) for each in found.tasks)
        return found

    def _texts(self, task: TaskOnKart[Any]) -> dict[str, str]:
        unique_id = task.make_unique_id()
        texts = self._params.get(unique_id)
        if texts is None:
            texts = self._params[unique_id] = recorded_params(task)
        return texts

    def _plain(self, task: TaskOnKart[Any]) -> dict[str, str]:
        unique_id = task.make_unique_id()
        params = self._plain_params.get(unique_id)
        if params is None:
            params = self._plain_params[unique_id] = plain_params(self._texts(task))
        return params

    def _required(self, task: TaskOnKart[Any]) -> list[TaskOnKart[Any]]:
        """Return the tasks directly upstream that count in the id."""
        unique_id = task.make_unique_id()
        required = self._upstream_of.get(unique_id)
        if required is None:
            karts = map(kart_task, dependencies(task))
            required = self._upstream_of[unique_id] = [kart for kart in karts if kart is not None and kart.significant]
        return required

    def _earlier(self, unique_id: str) -> Earlier | None:
        if unique_id not in self._known:
            self._known[unique_id] = earlier_of_id(self.index, unique_id)
        return self._known[unique_id]

    def has_same_upstream(self, task: TaskOnKart[Any], earlier: Earlier) -> bool:
        """Return whether an earlier task has the same tasks upstream."""
        return {kart.make_unique_id() for kart in self._required(task)} == set(earlier.requires)

    def has_same_params(self, task: TaskOnKart[Any], earlier: Earlier) -> bool:
        """Return whether an earlier task has the same parameters, apart from those with tasks."""
        return self._plain(task) == earlier.plain

    # -- differences ---------------------------------------------------------------------------------------------

    def leaves(self, found: Found) -> list[tuple[Leaf, int]]:
        """Return what `between` has found, nearest first, with the steps to it."""
        return [(self._leaves[number], steps) for number, steps in sorted(found, key=lambda one: one[1])]

    def differences(self, found: Found, label: Callable[[luigi.Task], str]) -> tuple[Difference, ...]:
        """Return what `between` has found, nearest first."""
        return tuple(_difference(leaf, steps, label) for leaf, steps in self.leaves(found))

    def upstream(self, task: TaskOnKart[Any], before: Earlier) -> Found:
        """Return what differs upstream, also if the task's own parameters differ."""
        return self._upstream(task, before, 0)

    def between(self, task: TaskOnKart[Any], before: Earlier, depth: int = 0) -> Found:
        """Return what differs between a task and an earlier one of its class."""
        key = (task.make_unique_id(), before.unique_id)
        found = self._walked.get(key)
        if found is None:
            self._walked[key] = ()
            found = self._own(task, before) or self._upstream(task, before, depth) or self._held(task, before)
            if not found and task.make_unique_id() != before.unique_id and depth < _DEEPEST:
                is_known = self._required(task) == [] or self._has_edges(before)
                found = self._add(_unseen(task) if is_known else Leaf(task, "unrecorded", "", ""), 0)
            found = self._walked[key] = self._same.setdefault(found, found)
        return found

    def _add(self, leaf: Leaf, steps: int) -> Found:
        self._leaves.append(leaf)
        return ((len(self._leaves) - 1, steps),)

    def _own(self, task: TaskOnKart[Any], before: Earlier) -> Found:
        now, then = self._plain(task), before.plain
        if now == then:
            return ()
        names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
        texts = self._texts(task)  # a parameter may have held a task on one side only
        held = (name for name in names if holds_tasks(texts.get(name, "")) or holds_tasks(before.params.get(name, "")))
        return self._as_found(task, before, [name for name in names if name not in set(held)])

    def _held(self, task: TaskOnKart[Any], before: Earlier) -> Found:
        """Return the parameters with tasks that differ, where nothing upstream does: the task does not require them."""
        now, then = self._texts(task), before.params
        names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
        if any(len(then.get(name, "")) >= 80 for name in names):  # a record of an earlier version
            return ()
        return self._as_found(task, before, names)

    def _as_found(self, task: TaskOnKart[Any], before: Earlier, names: Iterable[str]) -> Found:
        now, found = self._texts(task), list[tuple[int, int]]()
        for name in names:
            shorten, shown = (digits, "content") if name == CONTENT else (_short, name)
            earlier, later = (shorten(params[name]) if name in params else "" for params in (before.params, now))
            origins = self._origin_before(name, before), origin_of_value(task, name)
            found += self._add(Leaf(task, shown, earlier, later, *origins), 0)
        return tuple(found)

    def _upstream(self, task: TaskOnKart[Any], before: Earlier, depth: int) -> Found:
        if depth >= _DEEPEST:
            return ()
        found: dict[int, int] = {}
        seen: set[int] = set()
        for one in self._pairs(task, before, depth):
            if id(one) not in seen:  # equal ones are the same object
                seen.add(id(one))
                for leaf, steps in one:
                    found.setdefault(leaf, steps + 1)
        return tuple(found.items())

    def _pairs(self, task: TaskOnKart[Any], before: Earlier, depth: int) -> Iterator[Found]:
        """Yield what differs between each task directly upstream that is not as before and its counterpart."""
        now = {kart.make_unique_id(): kart for kart in self._required(task)}
        then = dict.fromkeys(before.requires)
        if now and not self._has_edges(before):
            return
        new: dict[str, list[TaskOnKart[Any]]] = {}
        for unique_id, kart in now.items():
            if unique_id not in then:
                new.setdefault(type(kart).__name__, []).append(kart)
        gone = self._gone([unique_id for unique_id in then if unique_id not in now], new, before)
        for name, tasks in new.items():
            yield from self._matched(task, tasks, gone.pop(name, []), before, depth)
        if new or task.serialized_task_definition_check:
            return
        # Only now, since what was there before may have been yielded by `run()`, which no plan knows.
        insignificant = {type(each).__name__ for each in dependencies(task) if not getattr(each, "significant", True)}
        for name in gone:
            if name and name not in insignificant:
                yield self._add(Leaf(task, "requires", name, ""), -1)

    def _has_edges(self, earlier: Earlier) -> bool:
        """Return whether it is recorded what an earlier task required: early versions did not."""
        return bool(earlier.requires) or earlier.unique_id in self.index.upstream_of([earlier.unique_id])

    def _gone(
        self, ids: Sequence[str], new: Mapping[str, Sequence[TaskOnKart[Any]]], user: Earlier
    ) -> dict[str, list[Earlier]]:
        """Return the tasks that were required before, by class."""
        files = [name for name, tasks in new.items() if isinstance(tasks[0], InputFile)]
        gone: dict[str, list[Earlier]] = {}
        for unique_id in ids:
            known = self._earlier(unique_id)
            if known is None:  # it never ran: a file from outside
                name = files[0] if len(files) == 1 else self._name_of(unique_id, user)
                known = Earlier(unique_id, name, "", "", "", (), {}, {})
            gone.setdefault(known.task, []).append(known)
        return gone

    def _name_of(self, unique_id: str, user: Earlier) -> str:
        """Return the class of a task that never ran, as the run of its user has it."""
        graph = self.index.run(user.run_id).graph
        return next((name.task for name in graph.tasks if name.unique_id == unique_id), "") if graph else ""

    def _matched(
        self,
        user: TaskOnKart[Any],
        tasks: Sequence[TaskOnKart[Any]],
        gone: Sequence[Earlier],
        before: Earlier,
        depth: int,
    ) -> Iterator[Found]:
        """Yield the differences of tasks of one class, each to the earlier one that is nearest of those left."""
        candidates = Candidates(gone) if len(gone) > 1 or len(tasks) > 1 else None
        left = (1 << len(gone)) - 1
        for task in tasks:
            place = candidates.nearest(self._plain(task), left=left) if candidates else 0 if gone else None
            if place is None:
                yield self._add(Leaf(user, "requires", "", type(task).__name__, required=task), -1)
                continue
            left &= ~(1 << place)
            if gone[place].run_id:
                yield self.between(task, gone[place], depth + 1)
            else:  # what never ran has no record
                yield self._add(self._from_outside(task, before), 0)

    def _from_outside(self, task: TaskOnKart[Any], user: Earlier) -> Leaf:
        """Return how what comes from outside differs from what an earlier task has loaded."""
        if not isinstance(task, InputFile) or isinstance(task, Published):
            return Leaf(task, "content", "", digits(self._texts(task).get(CONTENT, "")))
        record = self.index.newest(user.unique_id)
        loaded = record.inputs if record is not None else {}
        before = loaded.get(task.url, "")
        others = [path for path in loaded if not _OUTPUT.search(path)]
        if not before and len(others) == 1:
            path = others[0].removeprefix(f"{task.root}/")
            return Leaf(task, "path", path, task.path, "", origin_of_value(task, "path"))
        return Leaf(task, "content", digits(before), digits(self._texts(task).get(CONTENT, "")))

    def _origin_before(self, name: str, before: Earlier) -> str:
        """Return the command line if the earlier run got the value of a parameter from there."""
        if before.run_id not in self._given:
            self._given[before.run_id] = given_keys(self.index, before.run_id)
        end = f".{before.task}.{name}"
        return COMMAND_LINE if any(f".{key}".endswith(end) for key in self._given[before.run_id]) else ""


def _unseen(task: TaskOnKart[Any]) -> Leaf:
    """Return what has changed the id of a task where records show no difference."""
    if task.serialized_task_definition_check:
        return Leaf(task, "code", "", "")
    significant = {name for name, _ in declaration(type(task)).significant}
    secrets = sorted(secret_names(type(task), task._kart.overrides) & significant)
    return Leaf(task, "secret", "", ", ".join(secrets)) if secrets else Leaf(task, "order", "", "")


def _difference(leaf: Leaf, steps: int, label: Callable[[luigi.Task], str]) -> Difference:
    task = leaf.task.path if leaf.name == "content" and isinstance(leaf.task, InputFile) else label(leaf.task)
    after = leaf.after if leaf.required is None else label(leaf.required)
    return Difference(task, leaf.name, leaf.before, after, leaf.origin_before, leaf.origin, steps)


def digits(checksum: str) -> str:
    """Return the first digits of a checksum; of an object in a bucket its version and bytes."""
    algorithm, colon, rest = checksum.partition(":")
    return rest[:8] if colon and algorithm != "version" else rest or checksum


def _short(text: str) -> str:
    text = text if text.isprintable() else repr(text)[1:-1]
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or "''"


def origin_of_value(task: luigi.Task, name: str) -> str:
    """Return where the value of a task's parameter was written; "" if the code has given another one."""
    value = vars(task).get(name)
    override = _overrides(type(task), cast("Any", task)._kart.overrides).get(name)
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
