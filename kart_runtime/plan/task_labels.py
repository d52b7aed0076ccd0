"""Labels of live tasks, by `history.labels`, which also labels those of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

import luigi

from kart_runtime.errors.secrets import MASK, masked
from kart_runtime.history.labels import LabelNode, labels
from kart_runtime.history.short_values import short_value
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.identity import dependencies
from kart_runtime.task.input_file import InputFile
from kart_runtime.task.naming import id_of, short_id
from kart_runtime.task.nested import iter_flat
from kart_runtime.task.parameters import (
    ListTaskInstanceParameter,
    TaskInstanceParameter,
    active_overrides,
    declaration,
    secret_names,
    using_overrides,
)
from kart_runtime.task.published import Published
from kart_runtime.task.run_metadata import recorded_params
from kart_runtime.task.state import own_overrides

_MOST_PARAMETERS = 4
"""Parameters to show of a task that was not planned."""


class TaskLabels:
    """Labels of the tasks of one plan, worked out when the first is asked for.

    Parameters
    ----------
    tasks
        The tasks.
    """

    def __init__(self, tasks: Iterable[luigi.Task]) -> None:
        self._tasks = list(tasks)
        self._late: dict[luigi.Task, str] = {}

    def __call__(self, task: luigi.Task) -> str:
        """Return the label of a task, which may be one that was yielded while the plan ran."""
        if isinstance(task, Published):
            return task.label()
        if self._is_only_one(task):
            return type(task).__name__
        label = self._planned.get(task) or self._late.get(task)
        if label is None:
            label = self._late[task] = self._label_of_late(task)
        return label

    def _is_only_one(self, task: luigi.Task) -> bool:
        """Return whether a task's label is the name of its class: to know that, no other task is looked into."""
        first = self._first.get(type(task).__name__)
        return first is task and not isinstance(task, InputFile)

    @cached_property
    def _first(self) -> Mapping[str, luigi.Task | None]:
        """Return the task of each class name, None where there are several."""
        first: dict[str, luigi.Task | None] = {}
        for task in self._tasks:
            name = type(task).__name__
            first[name] = None if name in first else task
        return first

    @cached_property
    def _planned(self) -> dict[luigi.Task, str]:
        tasks = list(dict.fromkeys([*self._tasks, *_held(self._tasks)]))
        numbers = {task: number for number, task in enumerate(tasks)}
        upstream = [[numbers[each] for each in dependencies(task) if each in numbers] for task in tasks]
        return dict(zip(tasks, labels(nodes_of(tasks), upstream), strict=True))

    @cached_property
    def _differing(self) -> Mapping[type, frozenset[str]]:
        """Return the parameters in which the planned tasks of each class differ."""
        texts: dict[type, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for task, node in zip(self._tasks, nodes_of(self._tasks), strict=True):
            for name, text in node.params.items():
                texts[type(task)][name].add(text)
        return {cls: frozenset(name for name, found in each.items() if len(found) > 1) for cls, each in texts.items()}

    @cached_property
    def _taken(self) -> set[str]:
        return set(self._planned.values())

    def _label_of_late(self, task: luigi.Task) -> str:
        """Return a label with what is no default, or differs in the plan, since more tasks of the class may come."""
        name, params = type(task).__name__, _params(task)
        shown = [each for each in params if each in self._differing.get(type(task), ()) or not _is_default(task, each)]
        values = ", ".join(f"{each}={self._value(task, each, params[each])}" for each in shown[:_MOST_PARAMETERS])
        label = f"{name}({values})" if values else name
        if label in self._taken:
            label = f"{label}[{short_id(task)}]"
        self._taken.add(label)
        return label

    def _value(self, task: luigi.Task, name: str, text: str) -> str:
        value = getattr(task, name, None)
        return self(value) if isinstance(value, luigi.Task) else short_value(text)


def nodes_of(tasks: Iterable[luigi.Task]) -> list[LabelNode]:
    """Return what tasks are told apart by: their parameters as records have them, and the workspace if it differs."""
    tasks = list(tasks)
    nodes = [LabelNode(type(task).__module__, type(task).__name__, _params(task), _id(task)) for task in tasks]
    karts = [(place, kart) for place, task in enumerate(tasks) if (kart := kart_task(task)) is not None]
    if len({kart.workspace_directory for _, kart in karts}) > 1:
        for place, kart in karts:
            params = {**nodes[place].params, "workspace_directory": kart.workspace_directory}
            nodes[place] = nodes[place]._replace(params=params)
    return nodes


def _params(task: luigi.Task) -> Mapping[str, str]:
    if isinstance(task, TaskOnKart):
        return recorded_params(task)
    secrets = secret_names(type(task))
    params = task.to_str_params(only_significant=True)
    return {name: MASK if name in secrets else masked(text) for name, text in params.items()}


def _id(task: luigi.Task) -> str:
    return id_of(task) if isinstance(task, TaskOnKart) else short_id(task)


def _is_default(task: luigi.Task, name: str) -> bool:
    with using_overrides(own_overrides(task) or active_overrides()):  # a variant has defaults of its own
        default = declaration(type(task)).defaults().values.get(name, task)
    value = getattr(task, name, None)
    return value is default or bool(value == default)


def _held(tasks: Iterable[luigi.Task]) -> Iterable[luigi.Task]:
    """Yield the tasks that parameters hold, which need not be required."""
    for task in tasks:
        for name in _holding(type(task)):
            yield from (held for held in iter_flat(getattr(task, name)) if isinstance(held, luigi.Task))


@lru_cache(maxsize=1024)
def _holding(cls: type[Any]) -> tuple[str, ...]:
    kinds = (TaskInstanceParameter, ListTaskInstanceParameter)
    return tuple(name for name, param in declaration(cls).significant if isinstance(param, kinds))
