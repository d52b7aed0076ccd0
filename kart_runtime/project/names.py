"""Names of task classes: any dotted suffix of a full name that is unique, such as `TrainModel`.

They are used on the command line, in `run.task`, and in overrides such as `TrainModel.max_depth=5`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import luigi
from luigi.parameter import ParameterVisibility

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.parameters import ListTaskInstanceParameter, TaskInstanceParameter, declaration

_MAX_LISTED = 12
"""Names that a message lists; a longer list does not help."""


class TaskNames:
    """Task classes of a project by full name, such as `tasks.model.train.TrainModel`, or any unique suffix of it.

    The full names of the tasks of `packages`, the projects that this one uses, begin with that of the package.
    """

    def __init__(self, tasks: Mapping[str, type[luigi.Task]], packages: Sequence[str] = ()) -> None:
        self.tasks = dict(tasks)
        self.packages = tuple(packages)
        self._suffixes: dict[str, list[str]] = {}
        for name in self.tasks:
            parts = name.split(".")
            for start in range(len(parts)):
                self._suffixes.setdefault(".".join(parts[start:]), []).append(name)

    def resolve(self, name: str, *, file: str | None = None, key: str | None = None) -> str:
        """Return the full name with this suffix; raise `ConfigError` (at `file` and `key`) unless it is unique."""
        if name in self.tasks:
            return name
        matches = self._suffixes.get(name, [])
        if len(matches) == 1:
            return matches[0]
        if matches:
            message = f"{name} is the name of {len(matches)} tasks"
            raise ConfigError(message, file=file, key=key, expected=" or ".join(matches))
        raise ConfigError(
            f"unknown task {name}", file=file, key=key, suggestion=self.closest_match(name), **self._all()
        )

    def has(self, name: str) -> bool:
        """Return whether a name is that of a task, or of several."""
        return name in self._suffixes

    def find(self, name: str) -> str | None:
        """Return the full name with this suffix; None if there is none, and raise `ConfigError` for several."""
        return self.resolve(name, file="command line") if name in self._suffixes else None

    def split(self, path: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
        """Return the full name of the task that a key starts with, and the rest of the key; None without a task."""
        for length in range(len(path), 0, -1):
            start = ".".join(path[:length])
            if start in self._suffixes:
                return self.resolve(start, file="command line", key=".".join(path)), path[length:]
        return None

    def closest_match(self, name: str) -> str | None:
        """Return the known name that is closest to an unknown one."""
        whole = closest_match(name, self.tasks)
        short = closest_match(name.rpartition(".")[2], [task.rpartition(".")[2] for task in self.tasks])
        return whole if "." in name and whole else short or whole

    def with_parameter(self, name: str) -> list[str]:
        """Return ``Task.parameter`` for each task that declares a parameter of its own with this name."""
        return [
            f"{full.rpartition('.')[2]}.{name}" for full, task in self.tasks.items() if name in own_parameters(task)
        ]

    def modules(self) -> set[str]:
        """Return the names of the modules that have tasks, and of the packages above them."""
        return {".".join(parts[:end]) for parts in map(_parts, self.tasks) for end in range(1, len(parts))}

    def _all(self) -> dict[str, str]:
        if not self.tasks:
            return {"expected": "a task class in a module of the package's tasks folder, which has none"}
        return {"expected": "one of " + ", ".join(self._short())} if len(self.tasks) <= _MAX_LISTED else {}

    def _short(self) -> list[str]:
        return [name.rpartition(".")[2] for name in self.tasks]


def _parts(name: str) -> list[str]:
    return name.split(".")


def parameters(task: type[luigi.Task]) -> dict[str, luigi.Parameter[Any]]:
    """Return the declared parameters of a task class by name, in luigi's order."""
    return dict(declaration(task).params)


def own_parameters(task: type[luigi.Task]) -> dict[str, luigi.Parameter[Any]]:
    """Return the parameters that the project declares, without those that every task has."""
    engine = _engine_parameters(task.__mro__)
    return {name: parameter for name, parameter in parameters(task).items() if name not in engine}


def is_task_parameter(param: luigi.Parameter[Any]) -> bool:
    """Return whether a parameter takes a task, which only Python can supply."""
    return isinstance(param, TaskInstanceParameter | ListTaskInstanceParameter | luigi.TaskParameter)


def _engine_parameters(classes: Iterable[type]) -> set[str]:
    """Return the parameters that every task has, and those that sources have for the engine's use."""
    return {
        name
        for cls in classes
        for name, value in vars(cls).items()
        if isinstance(value, luigi.Parameter)
        and (cls in TaskOnKart.__mro__ or value.visibility == ParameterVisibility.HIDDEN)
        and cls.__module__.partition(".")[0] in {"kart_runtime", "luigi"}
    }
