"""Overrides: parameter values that a configuration chooses in place of the defaults in code, by task class.

A project's session sets them for the process. Every task remembers those under which it was made, so that what it
requires, and what its `run()` builds, is resolved under the same ones wherever and whenever that happens: two roots of
two configurations can be built at once. `resolution` reads the active ones when a task is built without a value.
"""

from __future__ import annotations

import enum
import operator
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

from luigi import task_register

from kart_runtime.errors import ConfigError, TaskError
from kart_runtime.errors.secret_sources import may_be_secret
from kart_runtime.errors.secrets import note_password, note_secret


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
    identifies
        Whether the value counts in the unique ids of the tasks of a variant, although its parameter does not.
    """

    value: object
    origin: str
    secret: bool = False
    error: Exception | None = None
    word: str = ""
    identifies: bool = False


Overrides = Mapping[type, Mapping[str, Override]]


class WrongOverride(ConfigError):
    """`configured()` names no known task or parameter, or a value that the parameter does not take.

    Parameters
    ----------
    message
        The mistake.
    origin
        File and line of the `with` block.
    key
        The name that was given.
    expected
        Accepted names.
    suggestion
        Known name closest to the given one.
    task
        Name of the task whose `requires()` has the block.
    """

    def __init__(
        self,
        message: str,
        *,
        origin: str,
        key: str,
        expected: str | None = None,
        suggestion: str | None = None,
        task: str = "",
    ) -> None:
        self.origin, self.name, self.mistake, self.task = origin, key, message, task
        where = f"configured({key!r})" + (f" in {task}.requires()" if task else "")
        super().__init__(message, file=origin, key=where, expected=expected, suggestion=suggestion)

    def required_by(self, task: str) -> WrongOverride:
        """Return this error with the name of the task whose `requires()` has the block."""
        return WrongOverride(
            self.mistake,
            origin=self.origin,
            key=self.name,
            expected=self.expected,
            suggestion=self.suggestion,
            task=self.task or task,
        )


class AmbiguousVariant(TaskError):
    """A value that differs between the variants of a sweep was asked for where nobody knows which one is meant.

    Parameters
    ----------
    key
        The value, such as ``TrainModel.max_depth``.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"{key} has several values in this run, and it was asked for outside of the tasks of one of them, for "
            "example in a thread that run() has started. Read it in run() and pass it on, or make the task there."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key,)


class NotSet(enum.Enum):
    """Value of an override that a variant lacks, although others have it."""

    NOT_SET = "not set"


NOT_SET = Override(NotSet.NOT_SET, "")
"""What a variant has in place of an override that others have: the default of the code counts."""


class ActiveOverrides:
    """The overrides of one configuration; compared by identity, so that caches notice another one at once.

    Parameters
    ----------
    by_class
        Task class to parameter name to override. A subclass inherits the overrides of its bases.
    base
        The overrides that `changes` were added to by `configured`; None: these are no variant of others.
    changes
        What a variant has in place of the values of `base`.
    received
        Whether they came from another process, which may have loaded more task classes than this one.
    swept
        Whether they are those of a sweep, in which tasks may differ only in what is upstream of them.
    """

    __slots__ = (
        "__weakref__",
        "_token",
        "_variants",
        "base",
        "by_class",
        "changes",
        "identifying",
        "received",
        "swept",
    )

    def __init__(
        self, by_class: Overrides, base: ActiveOverrides | None = None, changes: Overrides | None = None
    ) -> None:
        self.by_class = by_class if base is None else _in_force(by_class)
        self.base, self.changes = base, changes or {}
        self.identifying = tuple(
            name for named in self.changes.values() for name, override in named.items() if override.identifies
        )
        """Names of the parameters that count in the unique ids of its tasks beside the significant ones."""
        self.received: bool = base is not None and base.received
        self.swept: bool = base is not None and base.swept
        self._token = ""
        self._variants: dict[frozenset[Any], ActiveOverrides] = {}
        _note_secrets(by_class if base is None else self.changes)

    def variant(self, changes: Overrides) -> ActiveOverrides:
        """Return these overrides with changes: one object for equal changes, whatever the order they were made in."""
        base = self.base or self
        changes = _updated(self.changes, changes)
        named = [(cls, name, new.value) for cls, overrides in changes.items() for name, new in overrides.items()]
        values = [(cls, name, type(value), value) for cls, name, value in named]
        try:
            key = frozenset(values)
            variant = base._variants.get(key)
        except TypeError:  # a value without a hash
            return ActiveOverrides(_updated(base.by_class, changes), base, changes)
        if variant is None:
            has_all = all(_value_of(base, cls, name) == (kind, value) for cls, name, kind, value in values)
            variant = base if has_all else ActiveOverrides(_updated(base.by_class, changes), base, changes)
            variant = base._variants.setdefault(key, variant)
        return variant

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by a token as well, so that a worker process has one object for one configuration."""
        if self.base is not None and self.base is _process:  # the other process has that of this one
            return _variant, (self.changes,)
        if not self._token:
            self._token = uuid.uuid4().hex
        return _received, (self._token, self.by_class)


def _note_secrets(overrides: Overrides) -> None:
    """Remember the secrets of a configuration, so that no text shows them."""
    for by_name in overrides.values():
        for name, override in by_name.items():
            value = override.value
            if isinstance(value, str):
                note_password(value)
            if override.secret and (not isinstance(value, str) or may_be_secret(value, name)):
                note_secret(value)


def _updated(below: Overrides, above: Overrides) -> dict[type, Mapping[str, Override]]:
    return {**below, **{cls: {**below.get(cls, {}), **named} for cls, named in above.items()}}


def _in_force(overrides: Overrides) -> Overrides:
    """Return overrides without those that are not set."""
    if not any(override.value is NotSet.NOT_SET for named in overrides.values() for override in named.values()):
        return overrides
    return {
        cls: {name: override for name, override in named.items() if override.value is not NotSet.NOT_SET}
        for cls, named in overrides.items()
    }


def _value_of(overrides: ActiveOverrides, cls: type, name: str) -> tuple[type, object] | None:
    override = overrides.by_class.get(cls, {}).get(name)
    return None if override is None or override.error is not None else (type(override.value), override.value)


def _variant(changes: Overrides) -> ActiveOverrides:
    return _process.variant(changes)


_by_token: WeakValueDictionary[str, ActiveOverrides] = WeakValueDictionary()


def _received(token: str, by_class: Overrides) -> ActiveOverrides:
    overrides = _by_token.get(token)
    if overrides is None:
        overrides = _by_token[token] = ActiveOverrides(by_class)
        overrides._token, overrides.received = token, True
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


_NO_OVERRIDES = ActiveOverrides({})


def under_no_overrides() -> AbstractContextManager[None]:
    """Apply no configuration inside a ``with`` block, in this thread only."""
    return using_overrides(_NO_OVERRIDES) if active_overrides().by_class else nullcontext()


class VariantBlock:
    """Block under a variant of the active overrides, in this thread only.

    What was active before is set again, unless the variant is not active any more: a generator that has yielded in the
    block may be dropped at any time.
    """

    def __init__(self) -> None:
        self._entered: list[tuple[ActiveOverrides | None, ActiveOverrides]] = []

    def changes(self) -> Overrides:
        """Return what the block changes."""
        raise NotImplementedError

    def __enter__(self) -> None:
        variant = active_overrides().variant(self.changes())
        self._entered.append((_context.get(), variant))
        _context.set(variant)

    def __exit__(self, *_error: object) -> None:
        before, variant = self._entered.pop()
        if _context.get() is variant:
            _context.set(before)


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


@lru_cache(maxsize=64)
def has_secrets(overrides: ActiveOverrides) -> bool:
    """Return whether any parameter of a configuration holds a secret."""
    return any(override.secret for by_name in overrides.by_class.values() for override in by_name.values())


@lru_cache(maxsize=1024)
def configured_secrets(cls: type, overrides: ActiveOverrides) -> frozenset[str]:
    """Return the names of the parameters that a configuration gives secrets."""
    return frozenset(name for name, override in _merged(cls, overrides).items() if override.secret)
