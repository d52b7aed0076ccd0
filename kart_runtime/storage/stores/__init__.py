"""Where do bytes lie? A store keeps bytes under keys; `registry` finds the store of a url.

A new store is a class with the five methods of `Store`, made known by `registry.register_store`. What else it can do is
asked for by the attributes and methods below, each of which it may leave out:

``remote``
    True where each question crosses a network. Then plans list folders instead of asking for each object, small files
    go in the background, and values are handed over in memory without asking whether the file is still the same.
``put(key, data)``
    Stores a small object with less effort than `write`.
``supports_labels`` and ``write(key, labels)``
    True where texts are kept with an object.
the methods of `Conditional`
    For stores that can give turns, so that tasks are locked without a server for that.
the methods of `Unfinished`
    For stores where writes that never ended leave something behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable


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


class Versioned(NamedTuple):
    """An object as it was at one moment.

    Attributes
    ----------
    data
        The bytes.
    version
        Changes whenever the object does.
    age
        Seconds since it was written, by the store's own clock.
    """

    data: bytes
    version: str
    age: float


@runtime_checkable
class Conditional(Protocol):
    """A store that changes an object only if it is as the caller believes; of several callers one succeeds."""

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object that is not there yet and return its version; None when it is there."""
        ...

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a version and return the new one; None when it has not."""
        ...

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its version, None when there is none."""
        ...

    def delete_version(self, key: str, version: str) -> bool:
        """Remove an object that still has a version; return whether it was removed.

        A store that cannot do that in one step says so.
        """
        ...


class UnfinishedUpload(NamedTuple):
    """What a write has left that never ended: its parts are stored, and no list of objects shows them.

    Attributes
    ----------
    key
        Where the object would be.
    id
        What the service calls the upload.
    """

    key: str
    id: str


@runtime_checkable
class Unfinished(Protocol):
    """A store where writes that never ended leave something behind."""

    def unfinished(self, prefix: str, before: float) -> Sequence[UnfinishedUpload]:
        """Return the uploads below a folder that have not ended and began before a time, in seconds of the epoch."""
        ...

    def discard(self, upload: UnfinishedUpload) -> bool:
        """Throw away what an upload has left; return whether there was something."""
        ...


def is_remote(store: Any) -> bool:
    """Return whether each question to a store crosses a network.

    Parameters
    ----------
    store
        Any store.
    """
    return getattr(store, "remote", False)


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
