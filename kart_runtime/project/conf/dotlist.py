"""Overrides such as `TrainModel.max_depth=5`: the highest layer, where names of tasks may be shortened."""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.sections import SECTIONS
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, merge, nested
from kart_runtime.project.conf.yaml_documents import read_value
from kart_runtime.project.names import TaskNames


def read_dotlist(overrides: Sequence[str], names: TaskNames, errors: list[ConfigError]) -> Branch:
    """Return the layer of `KEY=VALUE` texts, the last of which takes precedence; append invalid ones to `errors`."""
    layer = Branch(origin=COMMAND_LINE)
    for text in overrides:
        try:
            key, value = _split(text)
            path = _full_key(tuple(key.split(".")), names)
        except ConfigError as error:
            errors.append(error)
            continue
        node = read_value(value, key=".".join(path), errors=errors)
        if node is not None:
            merged = merge(layer, nested(path, node))
            layer = merged if isinstance(merged, Branch) else layer
    return layer


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not key or not all(key.split(".")):
        raise ConfigError(f"{text!r} is not an override", file=COMMAND_LINE, expected="KEY=VALUE")
    if not value.strip():
        text = f"'{key}=' sets no value" if equals else f"'{key}' has no value"
        raise ConfigError(f"{text}; write {key}=null for null, or {key}='\"\"' for empty text", file=COMMAND_LINE)
    return key, value.strip()


def _full_key(path: tuple[str, ...], names: TaskNames) -> tuple[str, ...]:
    """Return the full path of a key, whose task name may be shortened."""
    if path[0] in SECTIONS:
        return path
    match = names.split(path)
    if match is not None:
        task, rest = match
        return (*task.split("."), *rest)
    key = ".".join(path)
    if len(path) == 1:
        raise ConfigError(_suggest_owner(key, names), file=COMMAND_LINE, key=key, expected="Task.parameter=value")
    owner = ".".join(path[:-1])
    guess = closest_match(path[0], SECTIONS) if len(path) == 2 else None
    raise ConfigError(
        f"unknown task or section {owner}",
        file=COMMAND_LINE,
        key=key,
        suggestion=guess or names.closest_match(owner),
    )


def _suggest_owner(key: str, names: TaskNames) -> str:
    """Return a message with the tasks and sections that have a parameter or setting of this name."""
    settings = [f"{section}.{key}" for section, declared in SECTIONS.items() if key in declared]
    owners = settings + names.with_parameter(key)
    if not owners:
        return f"no task or section has {key}"
    return f"the key lacks its task or section; write {' or '.join(owners)}"
