"""What a run of a session was asked for, as its record has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kart_runtime.errors.secrets import MASK
from kart_runtime.history.run_header import RunInfo
from kart_runtime.project.conf.tree import COMMAND_LINE
from kart_runtime.project.names import parameters
from kart_runtime.settings import format_setting
from kart_runtime.task.parameters import Override

if TYPE_CHECKING:
    from kart_runtime.project.session import Session


def run_info(session: Session, label: str = "") -> RunInfo:
    """Return the environment of a session, and the checked values of its command line by their full keys."""
    return RunInfo(env=session.env, overrides=dict(_given(session)), label=label)


def _given(session: Session) -> Iterator[tuple[str, str]]:
    for choice in session.choices:
        if choice.origin == COMMAND_LINE:
            yield choice.group, choice.option or "null"
    for key, origin in session.origins.items():
        if COMMAND_LINE in origin.split(", "):  # one of several entries may be from there
            yield key, _text(session, key)


def _text(session: Session, key: str) -> str:
    """Return the value of a key as it could be written on a command line."""
    owner, _, name = key.rpartition(".")
    if owner in ("run", "logging"):
        return format_setting(getattr(getattr(session.settings, owner), name))
    if key in session.shared:
        return _shown(session.shared[key])
    task = session.tasks[owner]
    override = session.overrides[task][name]
    value = override.value
    if override.error is None and not isinstance(value, str | bool | int | float | list | tuple | dict | None):
        text = parameters(task)[name].serialize(value)
        return MASK if override.secret else str(text)
    return _shown(override)


def _shown(override: Override) -> str:
    if override.error is not None:
        return "(not set)"
    return MASK if override.secret else format_setting(override.value)
