"""Which task class does a name mean? Any dotted ending of its full name that is unique: ``TrainModel`` is enough.

Used for the names of tasks on the command line, in ``run.task``, and in ``TrainModel.max_depth=5``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.task.parameters import ListTaskInstanceParameter, TaskInstanceParameter, declaration

_HANDFUL = 12


class TaskNames:
    """The task classes of a project, found by any unique ending of their names.

    Parameters
    ----------
    tasks
        Full name, such as ``tasks.model.train.TrainModel``, to class.
    """

    def __init__(self, tasks: Mapping[str, type[luigi.Task]]) -> None:
        self.tasks = dict(tasks)
        self._endings: dict[str, list[str]] = {}
        for name in self.tasks:
            parts = name.split(".")
            for first in range(len(parts)):
                self._endings.setdefault(".".join(parts[first:]), []).append(name)

    def resolve(self, name: str, *, file: str | None = None, key: str | None = None) -> str:
        """Return the full name that `name` is an ending of.

        Parameters
        ----------
        name
            What was written.
        file, key
            Where it was written, for the message.

        Raises
        ------
        ConfigError
            There is no such task, or more than one.
        """
        found = self._endings.get(name, [])
        if name in self.tasks:
            return name
        if len(found) == 1:
            return found[0]
        if found:
            message = f"{name} is the name of {len(found)} tasks"
            raise ConfigError(message, file=file, key=key, expected=" or ".join(found))
        raise ConfigError(
            f"there is no task {name}", file=file, key=key, suggestion=self.closest_match(name), **self._all()
        )

    def split(self, path: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
        """Return the full name of the task that a dotted key begins with, and what follows; None without a task.

        Raises
        ------
        ConfigError
            The beginning names more than one task.
        """
        for length in range(len(path), 0, -1):
            beginning = ".".join(path[:length])
            if beginning in self._endings:
                return self.resolve(beginning, file="command line", key=".".join(path)), path[length:]
        return None

    def closest_match(self, name: str) -> str | None:
        """Return the known name closest to one that is not known."""
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
        # A handful is a help, a hundred is a wall.
        if not self.tasks:
            return {"expected": "a task class in a module of the package's tasks folder, which has none"}
        return {"expected": "one of " + ", ".join(self._short())} if len(self.tasks) <= _HANDFUL else {}

    def _short(self) -> list[str]:
        return [name.rpartition(".")[2] for name in self.tasks]


def _parts(name: str) -> list[str]:
    return name.split(".")


def parameters(task: type[luigi.Task]) -> dict[str, luigi.Parameter[Any]]:
    """Return the declared parameters of a task class by name, in luigi's order."""
    return dict(declaration(task).params)


def own_parameters(task: type[luigi.Task]) -> dict[str, luigi.Parameter[Any]]:
    """Return the parameters that the project declares: those that the engine gives to each task are left out."""
    engine = _engine_parameters(task.__mro__)
    return {name: parameter for name, parameter in parameters(task).items() if name not in engine}


def is_task_parameter(param: luigi.Parameter[Any]) -> bool:
    """Return whether a parameter's value is a task, which only Python gives."""
    return isinstance(param, TaskInstanceParameter | ListTaskInstanceParameter | luigi.TaskParameter)


def _engine_parameters(classes: Iterable[type]) -> set[str]:
    """Return the names declared by classes that are not the project's."""
    return {
        name
        for cls in classes
        if cls.__module__.partition(".")[0] in {"kart_runtime", "luigi"}
        for name, value in vars(cls).items()
        if isinstance(value, luigi.Parameter)
    }
