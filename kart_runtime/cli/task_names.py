"""How is a task called on the screen? By its class, with the parameters that tell it from others of its class.

Called by ``run``, ``plan`` and ``tree``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import luigi

from kart_runtime.cli.formatting import format_value
from kart_runtime.project.names import is_task_parameter
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.parameters import declaration, secret_names

_LONGEST = 60


class TaskLabels:
    """Names of the tasks of one plan.

    Parameters
    ----------
    tasks
        The tasks.
    """

    def __init__(self, tasks: Iterable[luigi.Task]) -> None:
        self._classes: dict[type, list[luigi.Task]] = defaultdict(list)
        for task in tasks:
            self._classes[type(task)].append(task)
        names = [cls.__name__ for cls in self._classes]
        self._shared = {name for name in names if names.count(name) > 1}
        self._differing: dict[type, list[str]] = {}

    def __call__(self, task: luigi.Task) -> str:
        """Return the name of a task, also of one that came while the plan ran."""
        cls = type(task)
        name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}" if cls.__name__ in self._shared else cls.__name__
        if self._classes.get(cls) == [task]:
            return name
        if cls not in self._differing:
            self._differing[cls] = _differing(cls, self._classes.get(cls, []))
        params = declaration(cls).params
        values = [f"{key}={format_value(params[key], getattr(task, key))}" for key in self._differing[cls]]
        text = ", ".join(values)
        return f"{name}({text})" if text and len(text) <= _LONGEST else f"{name}[{short_id(task)}]"


def _differing(cls: type[luigi.Task], tasks: list[luigi.Task]) -> list[str]:
    """Return the parameters whose values differ; none when they cannot be shown or do not tell the tasks apart."""
    secrets = secret_names(cls)
    values: dict[str, list[Any]] = {
        name: [param.serialize(getattr(task, name)) for task in tasks]
        for name, param in declaration(cls).significant
        if name not in secrets
        and not is_task_parameter(param)  # a task's own name does not tell which of its class it is
    }
    found = [name for name, texts in values.items() if len(set(texts)) > 1]
    told = {tuple(values[name][place] for name in found) for place in range(len(tasks))}
    return found if len(told) == len(tasks) else []


def short_id(task: luigi.Task) -> str:
    """Return the beginning of the id that the task's files are named by."""
    return str(task.make_unique_id() if isinstance(task, TaskOnKart) else task.task_id[-8:])[:8]
