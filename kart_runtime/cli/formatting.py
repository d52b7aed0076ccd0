"""Text forms of values, types and tables, as YAML would write them on one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import luigi

from kart_runtime.errors.secrets import MASK
from kart_runtime.project.names import is_task_parameter
from kart_runtime.settings import format_setting
from kart_runtime.task.parameters import (
    ListTaskInstanceParameter,
    SecretParameter,
    TaskInstanceParameter,
    declaration,
    is_reference,
)

_TYPE_NAMES: dict[type, str] = {
    luigi.BoolParameter: "bool",
    luigi.IntParameter: "int",
    luigi.FloatParameter: "float",
    luigi.ListParameter: "list",
    luigi.DictParameter: "map",
}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 file, 2 files."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def format_value(param: luigi.Parameter[Any], value: object) -> str:
    """Return the value of a parameter as text on one line."""
    if is_task_parameter(param):
        tasks = value if isinstance(value, tuple | list) else (value,)
        names = ", ".join(_task_name(task) for task in tasks)
        return f"[{names}]" if isinstance(value, tuple | list) else names
    if isinstance(param, SecretParameter) and value is not None and not is_reference(value):
        return MASK
    if value is None or isinstance(value, bool | int | float | str | list | tuple | Mapping):
        return format_setting(value)
    return str(param.serialize(value))


def is_hidden(task: type[luigi.Task], name: str, value: object) -> bool:
    """Return whether the value of a parameter must not be shown; what only says where it is may be."""
    return name in declaration(task).hidden and value is not None and not is_reference(value)


def _task_name(task: object) -> str:
    if isinstance(task, luigi.Task):
        return type(task).__name__
    return str(getattr(task, "__name__", task))  # a class or function that makes the default


def type_name(param: luigi.Parameter[Any]) -> str:
    """Return the type of a parameter in a word or two."""
    if isinstance(param, TaskInstanceParameter):
        return f"task {param.expected_type.__name__}".replace("task Task", "task")
    if isinstance(param, ListTaskInstanceParameter):
        return f"tasks {param.expected_elements_type.__name__}".replace("tasks Task", "tasks")
    choices = getattr(param, "_choices", None)
    if choices:
        return " | ".join(sorted(map(str, choices)))
    optional = isinstance(param, luigi.parameter.OptionalParameterMixin)
    return f"{_word(param)} or null" if optional else _word(param)


def _word(param: luigi.Parameter[Any]) -> str:
    for cls, word in _TYPE_NAMES.items():
        if isinstance(param, cls):
            return word
    name = type(param).__name__.removeprefix("Optional").removesuffix("Parameter")
    return name.lower() or "text"


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> list[str]:
    """Return rows as lines with aligned columns, without trailing spaces."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
