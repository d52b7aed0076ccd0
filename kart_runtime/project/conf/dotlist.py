"""What does ``TrainModel.max_depth=5`` mean? The highest layer, with short names made whole.

Called by `session` with the overrides of a command line or a test.
"""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.sections import SECTIONS
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, merge, nested
from kart_runtime.project.conf.yaml_documents import read_value
from kart_runtime.project.names import TaskNames


def read_dotlist(overrides: Sequence[str], names: TaskNames, errors: list[ConfigError]) -> Branch:
    """Return a layer made of ``KEY=VALUE`` texts; of two for one key the last counts.

    Parameters
    ----------
    overrides
        The texts.
    names
        The project's tasks, whose names may be shortened.
    errors
        Mistakes are appended here.
    """
    layer = Branch(origin=COMMAND_LINE)
    for text in overrides:
        try:
            key, value = _split(text)
            path = _whole(tuple(key.split(".")), names)
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
        written = f"'{key}=' sets no value" if equals else f"'{key}' has no value"
        raise ConfigError(f"{written}; write {key}=null for null, or {key}='\"\"' for empty text", file=COMMAND_LINE)
    return key, value.strip()


def _whole(path: tuple[str, ...], names: TaskNames) -> tuple[str, ...]:
    """Return the full path of a key whose task may be shortened."""
    if path[0] in SECTIONS:
        return path
    found = names.split(path)
    if found is not None:
        task, rest = found
        return (*task.split("."), *rest)
    key = ".".join(path)
    if len(path) == 1:
        raise ConfigError(_lonely(key, names), file=COMMAND_LINE, key=key, expected="Task.parameter=value")
    owner = ".".join(path[:-1])
    guess = closest_match(path[0], SECTIONS) if len(path) == 2 else None
    raise ConfigError(
        f"there is no task or section {owner}",
        file=COMMAND_LINE,
        key=key,
        suggestion=guess or names.closest_match(owner),
    )


def _lonely(key: str, names: TaskNames) -> str:
    """Say to whom a parameter's name without its task could belong."""
    settings = [f"{section}.{key}" for section, declared in SECTIONS.items() if key in declared]
    owners = settings + names.with_parameter(key)
    return f"whose is {key}? Write {' or '.join(owners)}" if owners else f"nothing is called {key}"
