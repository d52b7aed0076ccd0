"""Labels of the tasks of a run: the class name, and what tells the tasks of one class apart.

First come a task's own parameters, then those of the tasks that it holds, then those of the tasks upstream, nearest
first: the fewest that tell the tasks apart. What is left is told apart by the beginning of the id.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple

from kart_runtime.history.short_values import listed, several, short_value, shortened_values

SHORT = 8
"""Characters of an id in a label."""

_DEEPEST = 4
"""Tasks on a path of tasks that hold each other, in which a difference is looked for."""

_WORK = 2_000_000
"""Values to compare in the search for the fewest parameters."""

_REFERENCE = re.compile(r"([A-Za-z_]\w*\[[0-9a-f]{8}\])")
_ALWAYS_SHOWN = {("kart_runtime.task.input_file", "InputFile"): "path"}
"""Classes that say nothing without one of their parameters."""


class LabelNode(NamedTuple):
    """What a task is told apart by.

    Attributes
    ----------
    module, task
        Module and name of its class.
    params
        Its significant parameters as text, secrets masked; a task as ``TrainModel[74393b26]``, as in `RunRecord`.
    unique_id
        Its id.
    """

    module: str
    task: str
    params: Mapping[str, str]
    unique_id: str


class _Column(NamedTuple):
    """A value for each of some tasks, shortened; None where a task has none.

    Attributes
    ----------
    path
        The parameter; for a held task the parameters on the way to what differs in it, "" at the end for its class.
    values
        The values.
    name
        What is written before a value.
    short
        What is written if no other column is of the same held task.
    origin
        Class and name of the parameter of a held task, which is written where that is not held directly.
    steps
        How far upstream the parameter is; 0: of the task itself, or of what it holds.
    """

    path: tuple[str, ...]
    values: Sequence[str | None]
    name: str
    short: str
    origin: str = ""
    steps: int = 0


def labels(nodes: Sequence[LabelNode], upstream: Sequence[Sequence[int]]) -> list[str]:
    """Return a label for each task, by which it differs from all others.

    Parameters
    ----------
    nodes
        The tasks of one run.
    upstream
        The indexes of the tasks directly upstream of each.

    Returns
    -------
    list of str
        ``TrainModel`` for the only task of a class, else with what differs: ``TrainModel(kind=tree)``;
        ``FeatureImportance(model=tree)`` for a difference in the task that is held as `model`; ``Report(Load.day=1)``
        for one further upstream; ``Report[56898fd3]`` if nothing differs that can be shown.
    """
    search = _Search(nodes, upstream)
    found = [""] * len(nodes)
    for (module, task), members in search.classes.items():
        name = search.names[module, task]
        for index, text in zip(members, search.told_apart(members), strict=True):
            found[index] = f"{name}({text})" if text else name
    return _with_ids(nodes, found)


def _with_ids(nodes: Sequence[LabelNode], found: list[str]) -> list[str]:
    """Return the labels, with the beginning of the id where several tasks have one label."""
    plain = found
    for length in (SHORT, None):
        counts = Counter(found)
        found = [
            f"{plain[index]}[{nodes[index].unique_id[:length]}]" if counts[label] > 1 else label
            for index, label in enumerate(found)
        ]
    return found


class _Search:
    """Search for what tells tasks of one class apart."""

    def __init__(self, nodes: Sequence[LabelNode], upstream: Sequence[Sequence[int]]) -> None:
        self._nodes, self._upstream = nodes, upstream
        self.classes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, node in enumerate(nodes):
            self.classes[node.module, node.task].append(index)
        self.names = _names(self.classes)
        self._references: dict[str, int] = {}
        self._columns: dict[tuple[int, ...], list[_Column]] = {}
        # A difference that takes longer to find, in a dense graph of thousands of tasks, is not worth it.
        self._visits = 20_000 + 5 * len(nodes)

    def told_apart(self, members: Sequence[int]) -> list[str]:
        """Return the parameters that tell some tasks of one class apart, as text for each of them."""
        shown = _ALWAYS_SHOWN.get((self._nodes[members[0]].module, self._nodes[members[0]].task))
        if len(members) == 1:
            value = self._nodes[members[0]].params.get(shown or "")
            return [f"{shown}={shortened_values([value])[value]}" if value is not None else ""]
        columns = self._own(members)
        rows = _rows(columns, len(members))
        if len(set(rows)) < len(members):
            counts = Counter(rows)
            rest = [place for place, row in enumerate(rows) if counts[row] > 1]
            before = [rows[place] for place in rest]
            for column in self._from_upstream([members[place] for place in rest], before):
                values: list[str | None] = [None] * len(members)
                for place, value in zip(rest, column.values, strict=True):
                    values[place] = value
                columns = [*columns, column._replace(values=values)]
        keys = _key_texts(columns)
        return [
            ", ".join([f"{key}={value}" for key, value in zip(keys, row, strict=True) if value is not None])
            for row in _rows(columns, len(members))
        ]

    # -- of the tasks themselves, and of those that they hold ----------------------------------------------------------

    def _own(self, members: Sequence[int], depth: int = _DEEPEST) -> list[_Column]:
        """Return the fewest columns of parameters that tell tasks of one class apart, as far as there are such."""
        key = tuple(members)
        if key not in self._columns:
            self._columns[key] = []  # a task that holds others of its class
            self._visits -= len(members)
            self._columns[key] = self._fewest_own(members, depth) if self._visits > 0 else []
        return self._columns[key]

    def _fewest_own(self, members: Sequence[int], depth: int) -> list[_Column]:
        plain, holding = [], []
        for name in self._parameters(members):
            texts = [self._nodes[index].params.get(name) for index in members]
            if len(set(texts)) == 1:
                continue
            if any(text is not None and _REFERENCE.search(text) for text in set(texts)):
                holding.append((name, texts))
            else:
                short = shortened_values(texts)
                plain.append(_Column((name,), [short[text] for text in texts], name, name))
        fewest = _fewest(plain, [()] * len(members))
        if not depth or len(set(_rows(fewest, len(members)))) == len(members):
            return fewest
        held = [column for name, texts in holding for column in self._held(name, texts, depth - 1)]
        return _fewest([*plain, *held], [()] * len(members)) if held else fewest

    def _parameters(self, members: Sequence[int]) -> list[str]:
        """Return the names of the parameters in the order of the class, whatever the order of the tasks."""
        nodes = self._nodes
        first = min(members, key=lambda index: nodes[index].unique_id)
        names = dict.fromkeys(nodes[first].params)
        others = {name for index in members for name in nodes[index].params} - names.keys()
        return [*names, *sorted(others)]

    def _held(self, name: str, texts: Sequence[str | None], depth: int) -> Iterator[_Column]:
        """Yield columns for a parameter that holds tasks: of their classes, and of what tells them apart."""
        held = {text: self._tasks_in(text) for text in set(texts)}
        if any(tasks is None for text, tasks in held.items() if text is not None):
            return
        nodes = self._nodes
        tasks = sorted({index for found in held.values() for index in found or ()}, key=lambda i: nodes[i].unique_id)
        classes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in tasks:
            classes[nodes[index].module, nodes[index].task].append(index)
        of_classes = {index: self.names[cls] for cls, found in classes.items() for index in found}
        if len(classes) > 1:
            yield from _column(name, _Column(("",), (), "", ""), texts, held, of_classes)
        for found in classes.values():
            for inner in self._own(found, depth) if len(found) > 1 else ():
                origin = inner.origin or f"{of_classes[found[0]]}.{inner.name}"
                value_of = dict(zip(found, inner.values, strict=True))
                yield from _column(name, inner._replace(origin=origin), texts, held, value_of)
        if len(classes) == 1 and any(not found or text[:1] == "[" for text, found in held.items() if text):
            yield from _column(name, _Column(("",), (), "", ""), texts, held, of_classes)

    def _tasks_in(self, text: str | None) -> list[int] | None:
        """Return the tasks that the text of a parameter names; None if one of them is not known."""
        if text is None:
            return None
        if not self._references:
            order = sorted(range(len(self._nodes)), key=lambda i: self._nodes[i].unique_id, reverse=True)
            self._references = {f"{self._nodes[i].task}[{self._nodes[i].unique_id[:SHORT]}]": i for i in order}
        found = [self._references.get(each) for each in _REFERENCE.findall(text)]
        known = [index for index in found if index is not None]
        return known if len(known) == len(found) else None

    # -- of the tasks upstream -----------------------------------------------------------------------------------------

    def _from_upstream(self, members: Sequence[int], before: Sequence[tuple[str | None, ...]]) -> list[_Column]:
        """Return the fewest columns of tasks upstream that tell apart what columns `before` do not."""
        columns: list[_Column] = []
        front = [list(self._upstream[index]) for index in members]
        seen = [set(found) for found in front]
        steps = 1
        while any(front) and self._visits > sum(map(len, front)):
            counts = Counter(chain.from_iterable(front))
            self._visits -= counts.total()
            front = [[index for index in found if counts[index] < len(members)] for found in front]
            columns += self._columns_at(front, steps)
            if len(set(zip(before, _rows(columns, len(members)), strict=True))) == len(members):
                break
            for place, found in enumerate(front):
                further = dict.fromkeys(chain.from_iterable(self._upstream[index] for index in found))
                front[place] = [index for index in further if index not in seen[place]]
                seen[place].update(front[place])
            steps += 1
        return _fewest(columns, before)

    def _columns_at(self, front: Sequence[Sequence[int]], steps: int) -> Iterator[_Column]:
        """Yield a column for each parameter in which the tasks at one distance upstream differ."""
        classes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in dict.fromkeys(chain.from_iterable(front)):
            classes[self._nodes[index].module, self._nodes[index].task].append(index)
        for cls in sorted(classes):
            name, tasks = self.names[cls], set(classes[cls])
            for parameter in self._parameters(classes[cls]):
                texts = {index: self._nodes[index].params.get(parameter) for index in tasks}
                distinct = set(texts.values())
                if len(distinct) == 1 or any(text and _REFERENCE.search(text) for text in distinct):
                    continue
                short = shortened_values(distinct)
                values = [several({short[texts[index]] for index in found if index in tasks}) for found in front]
                if len(set(values)) > 1:
                    yield _Column((name, parameter), values, f"{name}.{parameter}", f"{name}.{parameter}", steps=steps)


def _names(classes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the names of classes, with as much of their modules as tells those of one name apart."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for module, task in classes:
        by_name[task].append(module)
    names: dict[tuple[str, str], str] = {}
    for task, modules in by_name.items():
        parts = 0
        while len({_end(module, parts) for module in modules}) < len(modules):
            parts += 1
        names.update({(module, task): ".".join([*_end(module, parts), task]) for module in modules})
    return names


def _end(module: str, parts: int) -> tuple[str, ...]:
    return tuple(module.split(".")[-parts:]) if parts else ()


def _rows(columns: Sequence[_Column], number: int) -> list[tuple[str | None, ...]]:
    """Return the values of each of a number of tasks."""
    return list(zip(*(column.values for column in columns), strict=True)) if columns else [()] * number


def _fewest(columns: Sequence[_Column], before: Sequence[tuple[str | None, ...]]) -> list[_Column]:
    """Return the fewest columns that tell as many tasks apart as all columns do, besides those `before`; nearest first.

    Where that would take long, a set of which none can be left out.
    """
    columns = columns[: max(_WORK // (8 * len(before) + 1), 4)]
    target = len(set(zip(before, _rows(columns, len(before)), strict=True)))
    if target == len(set(before)):
        return []
    ordered = sorted(columns, key=lambda column: (column.steps, max(len(value or "") for value in column.values) > 24))
    counts = [len(set(column.values)) for column in ordered]
    known = len(set(before))
    for size in range(1, 4):
        if math.comb(len(ordered), size) * len(before) > _WORK:
            break
        for places in combinations(range(len(ordered)), size):
            if math.prod([counts[place] for place in places]) * known >= target:
                chosen = [ordered[place] for place in places]
                if _told(before, chosen) == target:
                    return sorted(chosen, key=columns.index)
    for column in reversed(ordered):
        rest = [each for each in ordered if each is not column]
        if _told(before, rest) == target:
            ordered = rest
    return sorted(ordered, key=columns.index)


def _told(before: Sequence[tuple[str | None, ...]], columns: Sequence[_Column]) -> int:
    return len(set(zip(before, *(column.values for column in columns), strict=True)))


def _column(
    parameter: str,
    inner: _Column,
    texts: Sequence[str | None],
    held: Mapping[str | None, Sequence[int] | None],
    value_of: Mapping[int, str | None],
) -> Iterator[_Column]:
    """Yield the column of a parameter for what differs in the tasks that it holds, if the values differ.

    `held` are the tasks in each of its texts, and `value_of` the value of each task. What is further away than the held
    task is named by the class that has it, and several values of one task are one text.
    """
    values = {text: [value_of.get(index) for index in tasks or ()] for text, tasks in held.items()}
    lists = {text for text in held if text is not None and text.startswith("[")}
    name = short = inner.origin
    *way, last = inner.path
    if way and last:
        shown = {text: several(set(each)) for text, each in values.items()}
    elif last and _are_alike(values.values()):
        shown = {text: _first(each, text) for text, each in values.items()}
        name = short = f"{parameter}.{last}"
    else:
        shown = {text: listed(each) if text in lists else _first(each, text) for text, each in values.items()}
        name, short = f"{parameter}.{last}".removesuffix("."), parameter
    column = [shown[text] for text in texts]
    if len(set(column)) > 1:
        yield _Column((parameter, *inner.path), column, name, short, inner.origin)


def _are_alike(values: Iterable[Sequence[str | None]]) -> bool:
    """Return whether the tasks of each list have one value, so that it need not be repeated."""
    values = list(values)
    return all(len(set(each)) <= 1 for each in values) and any(len(each) > 1 for each in values)


def _key_texts(columns: Sequence[_Column]) -> list[str]:
    """Return what is written before the values: of a held task the parameter that holds it, if that is enough."""
    counts = Counter(column.path[0] for column in columns if not column.steps)
    texts = [column.name if column.steps or counts[column.path[0]] > 1 else column.short for column in columns]
    again = Counter(texts)
    return [
        ".".join(filter(None, column.path)) if again[text] > 1 else text
        for text, column in zip(texts, columns, strict=True)
    ]


def _first(values: Sequence[str | None], text: str | None) -> str | None:
    """Return the value of the held task, or the text of a parameter that holds none."""
    return values[0] if values else None if text is None else short_value(text)
