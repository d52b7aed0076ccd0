"""Labels of the tasks of a plan: the class name, with the parameters that tell tasks of one class apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import luigi

from kart_runtime.cli.formatting import format_value
from kart_runtime.errors.secrets import MASK
from kart_runtime.project.names import is_task_parameter
from kart_runtime.task.input_file import InputFile
from kart_runtime.task.naming import short_id
from kart_runtime.task.parameters import ListTaskInstanceParameter, declaration, secret_names
from kart_runtime.task.published import Published
from kart_runtime.task.state import identity_of

_LONGEST = 60


class TaskLabels:
    """Labels of the tasks of one plan."""

    def __init__(self, tasks: Iterable[luigi.Task]) -> None:
        self._classes: dict[type, list[luigi.Task]] = defaultdict(list)
        for task in tasks:
            self._classes[type(task)].append(task)
        names = [cls.__name__ for cls in self._classes]
        self._ambiguous = {name for name in names if names.count(name) > 1}
        self._differing: dict[type, list[str]] = {}

    def __call__(self, task: luigi.Task) -> str:
        """Return the label of a task, which may be one that was yielded while the plan ran."""
        cls = type(task)
        if isinstance(task, Published):
            return task.label()
        name = cls.__name__
        if name in self._ambiguous:
            name = f"{cls.__module__.rpartition('.')[2]}.{name}"
        if self._classes.get(cls) == [task]:
            return f"{name}(path={task.path})" if type(task) is InputFile else name
        if cls not in self._differing:
            self._differing[cls] = _differing(cls, self._classes.get(cls, []))
        params = declaration(cls).params
        text = ", ".join(f"{key}={self.value(params[key], getattr(task, key))}" for key in self._differing[cls])
        text = text or self._block(task)
        return f"{name}({text})" if text and len(text) <= _LONGEST else f"{name}[{short_id(task)}]"

    def _block(self, task: luigi.Task) -> str:
        """Return the values of the `configured` block around a task, if these tell the tasks of its class apart."""
        blocks = [_changes(other) for other in self._classes.get(type(task), ())]
        return _changes(task) if len(set(blocks)) == len(blocks) else ""

    def value(self, param: luigi.Parameter[Any], value: Any) -> str:
        """Return the value of a parameter as text, a task by its label."""
        return self(value) if isinstance(value, luigi.Task) else format_value(param, value)


def _changes(task: luigi.Task) -> str:
    """Return the values that a task, or what it requires, takes from a `configured` block, as text."""
    state = identity_of(task)
    if state is None or state.overrides.base is None:
        return ""
    return ", ".join(
        f"{cls.__name__}.{name}={MASK if change.secret else format_value(declaration(cls).params[name], change.value)}"
        for cls, named in state.overrides.changes.items()
        for name, change in named.items()
    )


def _differing(cls: type[luigi.Task], tasks: list[luigi.Task]) -> list[str]:
    """Return the parameters whose values differ, those with a task only if the others do not tell the tasks apart.

    None if the values cannot be shown, or do not tell the tasks apart.
    """
    secrets = secret_names(cls)
    params = [(name, param) for name, param in declaration(cls).significant if name not in secrets]
    plain = [(name, param) for name, param in params if not is_task_parameter(param)]
    with_tasks = [(name, param) for name, param in params if not isinstance(param, ListTaskInstanceParameter)]
    for choice in (plain, with_tasks):
        values = {name: [param.serialize(getattr(task, name)) for task in tasks] for name, param in choice}
        names = [name for name, texts in values.items() if len(set(texts)) > 1]
        if len(set(zip(*(values[name] for name in names), strict=True))) == len(tasks):
            return names
    return []
