"""Where do bytes lie? A store keeps bytes under keys; `registry` finds the store of a url.

A new store is a class with the five methods of `Store` and one line in `registry.STORES`. It may have a sixth,
``put(key, data)``, where small objects can be stored with less effort than by `write`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol


class Stat(NamedTuple):
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


def put(store: Store, key: str, data: bytes) -> None:
    """Store a small object that nobody takes for a result: a log file.

    Parameters
    ----------
    store, key
        Where.
    data
        The bytes. Where the process dies in between, the object may be there and empty.
    """
    directly = getattr(store, "put", None)
    if directly is not None:
        directly(key, data)
        return
    with store.write(key) as file:
        file.write(data)
