"""Sections of settings (`run`, `logging`): the fields of the classes in `kart_runtime.settings`, checked strictly."""

from __future__ import annotations

import dataclasses
import logging
import types
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from kart_runtime.errors import closest_match
from kart_runtime.execution import executors, locks
from kart_runtime.project.conf.tree import GROUPS
from kart_runtime.settings import CHOICES, LoggingSettings, RunSettings, exporter_names
from kart_runtime.storage.time_limits import checked
from kart_runtime.task.parameters import as_found

SECTIONS: dict[str, dict[str, Any]] = {"run": get_type_hints(RunSettings), "logging": get_type_hints(LoggingSettings)}
"""Section to field to declared type."""

SHARED = "shared"
"""Key of the values that others interpolate, whose names are the project's own."""

KEYS = (*SECTIONS, "tasks", SHARED, GROUPS)
"""All keys of a project's own configuration."""

TO_TASKS = {
    "workspace": "workspace_directory",
    "seed": "fix_random_seed_value",
    "log_files": "should_dump_supplementary_log_files",
    "fail_on_empty_dump": "fail_on_empty_dump",
    "suffix_by_type": "suffix_by_type",
}
"""Fields of `run` that are passed to every task, and the parameter that takes each."""

_WORDS = {
    int: "int",
    str: "text (put it into quotes)",
    bool: "bool (true or false)",
    float: "number",
    type(None): "null",
}
_CHOICES = {
    "run.executor": executors.KINDS,
    "logging.level": tuple(logging.getLevelNamesMapping()),
    **{f"run.{name}": words for name, words in CHOICES.items()},
}


def kinds_of(section: str, name: str) -> tuple[Any, ...]:
    """Return the types that a setting takes; none if there is no such setting."""
    declared = SECTIONS[section].get(name)
    if declared is None:
        return ()
    return get_args(declared) if isinstance(declared, types.UnionType) else (declared,)


def check(section: str, name: str, value: object, text: str | None = None) -> object:
    """Return the value of a setting, as typed if it takes text; raise `ValueError` if it is invalid."""
    kinds = kinds_of(section, name)
    if get_origin(kinds[0]) is Mapping:
        return _checked_amounts(value)
    if (section, name) == ("run", "export"):
        return exporter_names(value)
    if get_origin(kinds[0]) is Sequence:
        return _checked_names(value)
    if str in kinds and text is not None and value is not None:
        value = text
    if type(value) not in kinds and not (float in kinds and type(value) is int):
        expected = " or ".join(_WORDS[kind] for kind in kinds)
        raise ValueError(f"expected {expected}, got {as_found(value)}")
    _check_choice(f"{section}.{name}", value)
    return value


def _checked_amounts(value: object) -> dict[str, float]:
    expected = "a map of names and numbers, for example {gpu: 1}"
    if not isinstance(value, Mapping):
        raise ValueError(f"expected {expected}, got {as_found(value)}")
    for name, amount in value.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
            raise ValueError(f"expected {expected}, got {as_found(amount)} for '{name}'")
    return dict(value)


def _checked_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected a list of names, for example [numpy, pandas], got {as_found(value)}")
    return tuple(value)


_MINIMUM = {
    "run.workers": ("a number", 1),
    "run.lock_wait": ("a number of seconds", 0),
    "run.value_cache_mb": ("a number of megabytes", 0),
    "run.timeout": ("a number of seconds", 0),
    "run.retries": ("a number", 0),
    "run.retry_delay": ("a number of seconds", 0),
}


def _check_choice(key: str, value: object) -> None:
    known = _CHOICES.get(key)
    if known is not None and value is not None and value not in known:
        guess = closest_match(str(value), known)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise ValueError(f"expected one of {', '.join(known)}, got '{value}'{hint}")
    if key == "run.locks":
        locks.checked_kind(str(value))
    noun, minimum = _MINIMUM.get(key, ("", 0))
    if noun and isinstance(value, int | float) and value < minimum:
        raise ValueError(f"expected {noun} of at least {minimum}, got {value}")
    if key == "logging.format":
        _check_format(str(value))
    if key == "run.network_timeout" and value is not None:
        checked(float(str(value)))
    if key == "run.address" and value == "":
        raise ValueError("expected an address such as tcp://HOST:8786, got empty text")
    if key == "run.workspace" and value == "":
        raise ValueError("expected a folder, got empty text")


def field_names(section: str) -> list[str]:
    """Return the names of the settings of a section, as declared."""
    return [field.name for field in dataclasses.fields({"run": RunSettings, "logging": LoggingSettings}[section])]


def _check_format(text: str) -> None:
    """Raise `ValueError` for a format that cannot format a record: logging itself would report it with each message."""
    try:
        logging.Formatter(text).format(
            logging.getLogRecordFactory()("name", logging.INFO, "file.py", 1, "text", (), None)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"expected a format of logging such as '%(levelname)s %(message)s', got {text!r}: {error}"
        ) from error
