"""Where do bytes lie? A store keeps bytes under keys; `registry` finds the store of a url.

A new store is a class with the five methods of `Store` and one line in `registry.STORES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Stat:
    """What a store knows of one object.

    Attributes
    ----------
    key
        The key.
    size
        Bytes.
    modified
        Seconds since the epoch, UTC.
    """

    key: str
    size: int
    modified: float


class Store(Protocol):
    """Bytes under keys."""

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an object, None when there is none."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading; `ObjectMissing` when there is none."""
        ...

    def write(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for writing; it appears whole when the block ends, and not at all when the block raises."""
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; return whether there was one."""
        ...

    def list(self, prefix: str) -> Iterator[Stat]:
        """Go through the objects whose keys lie below a folder."""
        ...
