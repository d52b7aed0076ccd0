"""Which values did somebody outside the code choose? The overrides in force, by task class.

`project` installs what YAML and the command line say; `resolution` reads it when a task is built without a value.
Overrides are process-wide, like luigi's configuration, so that a task built anywhere in a run gets the same values;
`InForce.generation` tells caches that they changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
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


class InForce:
    """The overrides of this process; the parameters of tasks are resolved so often that a call would be seen.

    Attributes
    ----------
    overrides
        See `install`.
    generation
        A number that changes whenever they do.
    """

    overrides: ClassVar[Overrides] = {}
    generation: ClassVar[int] = 0


def install(overrides: Overrides) -> Overrides:
    """Put overrides in force for this process and return those that were in force before.

    Parameters
    ----------
    overrides
        Task class to parameter name to override. A subclass inherits the overrides of its bases.
    """
    before, InForce.overrides = InForce.overrides, overrides
    InForce.generation += 1
    # luigi returns the same object for the same arguments, and that object remembers what it requires: a task built
    # under other overrides must not answer for one built now.
    task_register.Register.clear_instance_cache()
    return before


def installed() -> Overrides:
    """Return the overrides in force."""
    return InForce.overrides


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
        merged.update(InForce.overrides.get(base, {}))
    return merged


def secret_names(cls: type) -> frozenset[str]:
    """Return the names of the parameters whose values must not be written down.

    Parameters
    ----------
    cls
        A task class.
    """
    return _secret_names(cls, InForce.generation) if InForce.overrides else frozenset()


@lru_cache(maxsize=1024)
def _secret_names(cls: type, generation: int) -> frozenset[str]:  # noqa: ARG001 - a part of the key
    return frozenset(name for name, override in overrides_for(cls).items() if override.secret)
