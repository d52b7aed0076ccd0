"""Block `with configured("SplitData.test_size=0.5"):`, whose tasks, and all that these require, take other values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import luigi
from luigi import task_register

from kart_runtime.errors import ConfigError, ParameterValueError, closest_match
from kart_runtime.project.conf.dotlist import read_typed, split_override
from kart_runtime.project.conf.sections import SHARED
from kart_runtime.project.conf.tree import Leaf, plain
from kart_runtime.project.names import is_task_parameter, own_parameters
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.parameters import (
    Override,
    VariantBlock,
    WrongOverride,
    active_overrides,
    coerce,
    declaration,
    secret_names,
)

Changes = dict[type, dict[str, Override]]


class configured(VariantBlock):  # noqa: N801 - reads as a statement: with configured(...)
    """Context manager under which tasks, and all that these require, take other values than the configured ones.

    For the same sub-pipeline under other values, in `requires()`, in `run()`, or around `build()`. Tasks remember the
    values, in worker processes too. Arguments of a call still take precedence. Nested blocks add up.

    Parameters
    ----------
    *values
        Texts as on the command line, such as ``"SplitData.test_size=0.5"``, or mappings of ``Task.parameter`` to a
        value as the task's constructor takes it. A task is named by its class, with as much of its module before it
        as tells it from others.

    Raises
    ------
    ConfigError
        No task or parameter has this name, or the parameter does not take the value.

    Examples
    --------
    >>> class Compare(TaskOnKart[float]):
    ...     def requires(self):
    ...         with configured("SplitData.test_size=0.5"):
    ...             half = TrainModel()
    ...         return {"usual": TrainModel(), "half": half}
    """

    def __init__(self, *values: str | Mapping[str, Any]) -> None:
        super().__init__()
        frame = sys._getframe(1)
        self._module = str(frame.f_globals.get("__name__", ""))
        self._origin = f"{_relative(frame.f_code.co_filename)}:{frame.f_lineno}"
        self._values = values

    def changes(self) -> Changes:
        """Return the overrides of the block, by class and parameter."""
        changes: Changes = {}
        for given in self._values:
            pairs = given.items() if isinstance(given, Mapping) else [self._split(given)]
            for key, value in pairs:
                found = self._parameter(key)
                if found is None:
                    continue
                cls, name = found
                override = self._override(cls, name, value, key, is_text=not isinstance(given, Mapping))
                changes.setdefault(cls, {})[name] = override
        return changes

    def _split(self, text: object) -> tuple[str, str]:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise self._wrong(f"{kind} is neither a text nor a mapping", str(text), expected="'Task.parameter=value'")
        try:
            return split_override(text)
        except ConfigError as error:
            raise self._wrong(error.message, text, expected="'Task.parameter=value'") from None

    def _parameter(self, key: str) -> tuple[type[luigi.Task], str] | None:
        """Return the class and the parameter that a key names; None in a worker that has no use for the class."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            cls = self._task(".".join(parts[:length]), key)
            if cls is not None:
                return cls, self._own(cls, parts[length:], key)
        if active_overrides().received:  # the program itself has found it
            return None
        if len(parts) == 1:
            owners = [f"{cls.__name__}.{key}" for cls in _tasks() if key in own_parameters(cls)]
            raise self._wrong("the key lacks its task", key, expected=" or ".join(owners[:4]) or "Task.parameter")
        if parts[0] == SHARED:
            message = "a shared value is read when the configuration is opened. Name the parameters that use it"
            raise self._wrong(message, key)
        name = ".".join(parts[:-1])
        short = closest_match(name.rpartition(".")[2], [cls.__name__ for cls in _tasks()])
        raise self._wrong(f"unknown task {name}", key, suggestion=f"{short}.{parts[-1]}" if short else None)

    def _task(self, name: str, key: str) -> type[luigi.Task] | None:
        """Return the task class with this name: of the block's own module or package, if several have it."""
        matches = {_full_name(cls): cls for cls in _tasks() if f".{_full_name(cls)}".endswith(f".{name}")}
        for own in (self._module, self._module.partition(".")[0]):
            near = {full: cls for full, cls in matches.items() if f"{full}.".startswith(f"{own}.")}
            matches = near or matches
        if len(matches) > 1:
            raise self._wrong(f"{name} is the name of {len(matches)} tasks", key, expected=" or ".join(matches))
        return next(iter(matches.values()), None)

    def _own(self, cls: type[luigi.Task], rest: list[str], key: str) -> str:
        declared = declaration(cls).params
        name = rest[0] if rest else ""
        if len(rest) == 1 and name in declared:
            return name
        own = [each for each, param in own_parameters(cls).items() if not is_task_parameter(param)]
        if name in declared:
            message = f"an entry of {name} cannot be set alone. Give all of {cls.__name__}.{name}."
            raise self._wrong(message, key)
        message = f"{cls.__name__} has no parameter '{name}'" if name else f"{cls.__name__} is a task; name a parameter"
        near = closest_match(name, own or list(declared)) if name else None
        raise self._wrong(message, key, expected=", ".join(own) or None, suggestion=near)

    def _override(self, cls: type[luigi.Task], name: str, value: Any, key: str, *, is_text: bool) -> Override:
        declared = declaration(cls)
        param = declared.params[name]
        try:
            held = _read(param, value, key) if is_text else declared.checked(name, value)
        except ParameterValueError as error:
            raise self._wrong(str(error), key) from None
        except (ConfigError, ValueError) as error:
            raise self._wrong(getattr(error, "message", str(error)), key) from None
        return Override(held, self._origin, name in secret_names(cls))

    def _wrong(
        self, message: str, key: str, *, expected: str | None = None, suggestion: str | None = None
    ) -> WrongOverride:
        return WrongOverride(message, origin=self._origin, key=key, expected=expected, suggestion=suggestion)


def _read(param: luigi.Parameter[Any], text: str, key: str) -> object:
    errors: list[ConfigError] = []
    node = read_typed(param, text, key, errors)
    if errors or node is None:
        raise errors[0] if errors else ValueError(f"{text!r} is not a value")
    return coerce(param, plain(node), text=node.text if isinstance(node, Leaf) else None)


def _tasks() -> Iterator[type[luigi.Task]]:
    return (cls for cls in task_register.Register._reg if isinstance(cls, type) and issubclass(cls, TaskOnKart))


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__.rpartition('<locals>.')[2]}"


def _relative(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # on another drive
        return path
    return path if relative.startswith("..") else relative
