"""Command `kart config`: every configuration value and its source."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

import luigi

from kart_runtime.cli.arguments import open_session, resolve_names
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import format_value, is_hidden
from kart_runtime.errors.secrets import MASK
from kart_runtime.execution.locks.redis_server import without_password
from kart_runtime.project import Session
from kart_runtime.project.names import is_task_parameter, own_parameters, parameters
from kart_runtime.settings import format_setting
from kart_runtime.task.parameters import Override

_WIDEST = 40
"""Characters of the widest value that the columns make room for; longer ones push only their own line."""


def execute(arguments: argparse.Namespace) -> int:
    """Print the settings and the tasks."""
    session, names = open_session(arguments)
    requested = resolve_names(session, names) or list(session.tasks)
    sections: list[tuple[str, list[tuple[str, str, str]]]] = []
    if not names:
        print(f"environment {session.env}: {' < '.join(session.layers)}")
        sections += [(section, _settings(session, section)) for section in ("run", "logging")]
        sections += [
            (title, rows) for title, rows in (("groups", _groups(session)), ("shared", _shared(session))) if rows
        ]
    with session:
        sections += [(name, _task(session, name, everything=arguments.all)) for name in requested]
    name_width, value_width = (
        max((len(row[index]) for _, rows in sections for row in rows if len(row[index]) <= _WIDEST), default=0)
        for index in (0, 1)
    )
    for title, rows in sections:
        print(title)
        for name, value, origin in rows or [("(no parameters)", "", "")]:
            print(f"  {name:<{name_width}}  {value:<{value_width}}  {origin}".rstrip())
    return ExitCode.OK


def _settings(session: Session, section: str) -> list[tuple[str, str, str]]:
    settings: Any = getattr(session.settings, section)
    values = {field.name: format_setting(getattr(settings, field.name)) for field in fields(settings)}
    if "locks" in values:
        values["locks"] = without_password(values["locks"])
    return [(name, value, session.origins.get(f"{section}.{name}", "default")) for name, value in values.items()]


def _groups(session: Session) -> list[tuple[str, str, str]]:
    return [(choice.group, choice.option or "null", choice.origin) for choice in session.choices]


def _shared(session: Session) -> list[tuple[str, str, str]]:
    rows = []
    for key, shared in session.shared.items():
        value = format_setting(shared.value) if shared.error is None else "(not set)"
        reason = "" if shared.error is None else f": {getattr(shared.error, 'message', shared.error)}"
        name = key.removeprefix("shared.")
        rows.append((name, MASK if shared.secret and not reason else value, f"{shared.origin}{reason}"))
    return rows


def _task(session: Session, name: str, *, everything: bool) -> list[tuple[str, str, str]]:
    task = session.tasks[name]
    overrides = overrides_of(session, task)
    own = own_parameters(task)
    declared = {
        key: param
        for key, param in parameters(task).items()
        if everything or key in own or key in session.overrides.get(task, {})
    }
    return [(key, *_value(task, key, param, overrides.get(key))) for key, param in declared.items()]


def overrides_of(session: Session, task: type[luigi.Task]) -> dict[str, Override]:
    """Return the overrides of a task; its own take precedence over those of its bases."""
    merged: dict[str, Override] = {}
    for base in reversed(task.__mro__):
        merged.update(session.overrides.get(base, {}))
    return merged


def _value(task: type[luigi.Task], key: str, param: luigi.Parameter[Any], override: Override | None) -> tuple[str, str]:
    if override is not None and override.error is not None:
        return "(not set)", f"{override.origin}: {getattr(override.error, 'message', override.error)}"
    if override is not None:
        origin = f"{override.origin}, {override.word}" if override.word and not override.secret else override.origin
        return (MASK if override.secret else format_value(param, override.value)), origin
    family = task.get_task_family()
    if not param.has_task_value(family, key):
        return "-", "given in Python" if is_task_parameter(param) else "required: no default"
    value = param.task_value(family, key)
    if is_hidden(task, key, value):
        return MASK, "default" if value == getattr(param, "_default", None) else "luigi's configuration"
    default = getattr(param, "_default", None)
    return format_value(param, value), "default" if value == param.normalize(default) else "luigi's configuration"
