"""Placeholders in the path of a target, such as ``daily/{day}.parquet``, which the task's parameters fill.

A path without the name of a parameter in braces stays as it is, as in gokart.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection
from typing import Any

import luigi

from kart_runtime.errors import TaskError, closest_match
from kart_runtime.task.parameters import (
    ListTaskInstanceParameter,
    TaskInstanceParameter,
    declaration,
    secret_names,
)

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^\W\d]\w*)(?::(?P<format>[^{}]*))?\}|[{}]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f%/\\:*?\"<>|]|^[. ]|[. ]$")


class InvalidPlaceholder(TaskError, ValueError):
    """A placeholder in the path of a target cannot be filled.

    Attributes
    ----------
    task
        Name of the task's class.
    path
        The path.
    why
        What is wrong, and what to write.
    """

    def __init__(self, task: str, path: str, why: str) -> None:
        super().__init__(f"{task}: the path '{path}' cannot be filled: {why}")
        self.task, self.path, self.why = task, path, why


def filled(task: luigi.Task, path: str, has_id: bool) -> str:
    """Return a path with the task's parameters in place of their names in braces; `has_id` says that the id follows."""
    known = own_parameters(type(task))
    names = [match["name"] for match in _TOKEN.finditer(path) if match["name"]]
    if not any(name in known for name in names):
        for name in names:  # braces that belong to the name, unless they are a slip
            if closest_match(name, known) or (known and not has_id):
                raise _unknown(task, path, name, known)
        return path
    return _TOKEN.sub(lambda match: _replacement(task, path, match, known), path)


def filled_name(task: luigi.Task, path: str) -> str:
    """Return the name that a task is published under, with its parameters; any other name in braces is an error."""
    known = own_parameters(type(task))
    unknown = next(
        (match["name"] for match in _TOKEN.finditer(path) if match["name"] and match["name"] not in known), ""
    )
    if unknown:
        raise _unknown(task, path, unknown, known)
    return filled(task, path, has_id=False)


def matches(pattern: str, path: str) -> bool:
    """Return whether a path is one that a pattern with placeholders may become."""
    parts = [re.escape(part) for part in re.split(r"\{\w+(?::[^{}]*)?\}", pattern)]
    return re.fullmatch(".+".join(parts), path) is not None


def _replacement(task: luigi.Task, path: str, match: re.Match[str], known: Collection[str]) -> str:
    name, text = match["name"], match[0]
    if name is None:
        if len(text) == 2:
            return text[0]
        raise _error(task, path, f"it has a single '{text}'. Write '{text * 2}' for a brace in the name.")
    if name not in known:
        raise _unknown(task, path, name, known)
    return _text(task, path, name, match["format"])


def _text(task: Any, path: str, name: str, form: str | None) -> str:
    """Return the text of a parameter for a path. A value cannot leave its place; a date's format may have folders."""
    param, value = declaration(type(task)).params[name], getattr(task, name)
    if isinstance(param, TaskInstanceParameter | ListTaskInstanceParameter):
        raise _error(task, path, f"'{name}' holds a task, which has no short text. Leave the unique id in the name.")
    if name in secret_names(type(task), task._kart.overrides):
        raise _error(task, path, f"'{name}' is secret, and names of files are not. Leave it out.")
    if not form:
        return _safe(str(param.serialize(value)))
    try:
        text = format(value, form)
    except (TypeError, ValueError) as error:
        raise _error(task, path, f"'{form}' is no format for {name}={value!r} ({error}).") from error
    return text if isinstance(value, datetime.date) else _safe(text)


def _safe(text: str) -> str:
    """Return a text as one part of a path, with %XX for what could leave it, and a different one for each text."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text) or "%"


def own_parameters(cls: type[luigi.Task]) -> list[str]:
    """Return the parameters that a class and its bases add to the engine's."""
    engine = {
        name
        for base in cls.__mro__
        if base.__module__ == "kart_runtime.task.base"
        for name, value in vars(base).items()
        if isinstance(value, luigi.Parameter)
    }
    return [name for name in declaration(cls).params if name not in engine]


def _unknown(task: luigi.Task, path: str, name: str, known: Collection[str]) -> InvalidPlaceholder:
    guess = closest_match(name, known)
    hint = f"It has: {', '.join(known)}." if known else "It has none."
    hint = f"Did you mean '{{{guess}}}'?" if guess else hint
    return _error(task, path, f"{task.get_task_family()} has no parameter '{name}'. {hint}")


def _error(task: luigi.Task, path: str, why: str) -> InvalidPlaceholder:
    return InvalidPlaceholder(task.get_task_family(), path, why)
