"""Overrides: parameter values that a configuration chooses in place of the defaults in code, by task class.

A project's session sets them for the process. Every task remembers those under which it was made, so that what it
requires, and what its `run()` builds, is resolved under the same ones wherever and whenever that happens: two roots of
two configurations can be built at once. `resolution` reads the active ones when a task is built without a value.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

from luigi import task_register


@dataclass(frozen=True)
class Override:
    """A value that replaces a parameter's default.

    Attributes
    ----------
    value
        The value, already checked and normalized.
    origin
        Where it was written: ``conf/base/run.yaml:3`` or ``command line``.
    secret
        Whether it must not be written to any log or record.
    error
        Why there is no value, raised when a task needs it. None: there is one.
    word
        The word that was written for the value, such as ``yesterday``; empty if the value itself was.
    """

    value: object
    origin: str
    secret: bool = False
    error: Exception | None = None
    word: str = ""


Overrides = Mapping[type, Mapping[str, Override]]


class ActiveOverrides:
    """The overrides of one configuration; compared by identity, so that caches notice another one at once.

    Parameters
    ----------
    by_class
        Task class to parameter name to override. A subclass inherits the overrides of its bases.
    """

    __slots__ = ("__weakref__", "_token", "by_class")

    def __init__(self, by_class: Overrides) -> None:
        self.by_class = by_class
        self._token = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by a token as well, so that a worker process has one object for one configuration."""
        if not self._token:
            self._token = uuid.uuid4().hex
        return _received, (self._token, self.by_class)


_by_token: WeakValueDictionary[str, ActiveOverrides] = WeakValueDictionary()


def _received(token: str, by_class: Overrides) -> ActiveOverrides:
    overrides = _by_token.get(token)
    if overrides is None:
        overrides = _by_token[token] = ActiveOverrides(by_class)
        overrides._token = token
    return overrides


_process = ActiveOverrides({})
_context: ContextVar[ActiveOverrides | None] = ContextVar("kart_overrides", default=None)


def active_overrides() -> ActiveOverrides:
    """Return the overrides that apply here: those of the task that runs, else those of the process."""
    return _context.get() or _process


def process_overrides() -> ActiveOverrides:
    """Return the overrides of the process."""
    return _process


def set_overrides(overrides: Overrides | ActiveOverrides) -> ActiveOverrides:
    """Set the overrides of this process and return the previous ones."""
    global _process
    previous = _process
    _process = overrides if isinstance(overrides, ActiveOverrides) else ActiveOverrides(overrides)
    # luigi returns the same object for the same arguments, and keeps it for ever.
    task_register.Register.clear_instance_cache()
    return previous


@contextmanager
def overriding(overrides: Overrides) -> Iterator[None]:
    """Set the overrides of this process inside a ``with`` block."""
    previous = set_overrides(overrides)
    try:
        yield
    finally:
        set_overrides(previous)


@contextmanager
def using_overrides(overrides: ActiveOverrides) -> Iterator[None]:
    """Apply overrides inside a ``with`` block, in this thread only."""
    token = _context.set(overrides)
    try:
        yield
    finally:
        _context.reset(token)


def under_active_overrides(value: Any) -> Any:
    """Return a task as the active configuration makes it, if it was made before there was any; other values unchanged.

    Such a task is the default of a parameter, a constant of a module, an attribute of a class: it is made again with
    the arguments that it was given.
    """
    if not active_overrides().by_class:
        return value
    if type(value) is tuple:
        again = tuple(map(under_active_overrides, value))
        return again if any(map(operator.is_not, again, value)) else value
    state = getattr(value, "_kart", None)
    if state is None or state.overrides.by_class or isinstance(value, type):
        return value
    args, kwargs = state.arguments
    return type(value)(*args, **kwargs)


def overrides_for(cls: type) -> dict[str, Override]:
    """Return the active overrides of a class; its own take precedence over those of its bases."""
    return _merged(cls, active_overrides())


def _merged(cls: type, overrides: ActiveOverrides) -> dict[str, Override]:
    merged: dict[str, Override] = {}
    for base in reversed(cls.__mro__):
        merged.update(overrides.by_class.get(base, {}))
    return merged


def secret_names(cls: type, overrides: ActiveOverrides | None = None) -> frozenset[str]:
    """Return the names of the parameters that hold secrets, by default under the active overrides."""
    overrides = overrides or active_overrides()
    return _secret_names(cls, overrides) if overrides.by_class else frozenset()


@lru_cache(maxsize=64)
def has_secrets(overrides: ActiveOverrides) -> bool:
    """Return whether any parameter of a configuration holds a secret."""
    return any(override.secret for by_name in overrides.by_class.values() for override in by_name.values())


@lru_cache(maxsize=1024)
def _secret_names(cls: type, overrides: ActiveOverrides) -> frozenset[str]:
    return frozenset(name for name, override in _merged(cls, overrides).items() if override.secret)
