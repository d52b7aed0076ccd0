"""Which values did somebody outside the code choose? The overrides in force, by task class.

`project` installs what YAML and the command line say; `resolution` reads it when a task is built without a value.
Overrides are process-wide, like luigi's configuration, so that a task built anywhere in a run gets the same values;
`generation` tells caches that they changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from luigi import task_register


@dataclass(frozen=True)
class Override:
    """A value that replaces a parameter's default.

    Attributes
    ----------
    value
        The value, already checked and normalised.
    origin
        Where it was written: ``conf/base/run.yaml:3`` or ``command line``.
    secret
        Whether it must not be written to any log or record.
    """

    value: object
    origin: str
    secret: bool = False


Overrides = Mapping[type, Mapping[str, Override]]


class _InForce:
    overrides: ClassVar[Overrides] = {}
    generation: ClassVar[int] = 0


def install(overrides: Overrides) -> Overrides:
    """Put overrides in force for this process and return those that were in force before.

    Parameters
    ----------
    overrides
        Task class to parameter name to override. A subclass inherits the overrides of its bases.
    """
    before, _InForce.overrides = _InForce.overrides, overrides
    _InForce.generation += 1
    # luigi returns the same object for the same arguments, and that object remembers what it requires: a task built
    # under other overrides must not answer for one built now.
    task_register.Register.clear_instance_cache()
    return before


def installed() -> Overrides:
    """Return the overrides in force."""
    return _InForce.overrides


def generation() -> int:
    """Return a number that changes whenever the overrides do."""
    return _InForce.generation


@contextmanager
def overriding(overrides: Overrides) -> Iterator[None]:
    """Put overrides in force inside a ``with`` block.

    Parameters
    ----------
    overrides
        As for `install`.
    """
    before = install(overrides)
    try:
        yield
    finally:
        install(before)


def overrides_for(cls: type) -> dict[str, Override]:
    """Return the overrides of a class, its own before those of its bases.

    Parameters
    ----------
    cls
        A task class.
    """
    merged: dict[str, Override] = {}
    for base in reversed(cls.__mro__):
        merged.update(_InForce.overrides.get(base, {}))
    return merged


def secret_names(cls: type) -> frozenset[str]:
    """Return the names of the parameters whose values must not be written down.

    Parameters
    ----------
    cls
        A task class.
    """
    return frozenset(name for name, override in overrides_for(cls).items() if override.secret)
