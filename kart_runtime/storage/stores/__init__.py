"""Stores: bytes under keys, in a folder, in memory or in an object store; `registry` maps urls to them.

A store is a class with the five methods of `Store`, registered by `register_store`. It may offer more:

``remote``
    True if each call crosses a network. Then plans list folders instead of looking for single objects, small files are
    written in the background, and values of the same process are not read back.
``put(key, data)``
    Store a small object with less effort than `write`.
``copy(source, key)``
    Copy an object inside the store without sending its bytes to this machine; it appears whole, as by `write`. Return
    the version of the copy, as in `Stat`; empty if it is not known.
``supports_labels`` and ``write(key, labels)``
    True if texts can be stored with an object.
the methods of `Conditional`
    Conditional writes, with which the store itself can hold locks.
the methods of `Unfinished`
    For stores where an incomplete write leaves something behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable


class Stat(NamedTuple):
    """Size and time of an object.

    Attributes
    ----------
    key
        The key of the object.
    size
        Its size in bytes.
    modified
        When it was written, in seconds since the epoch (UTC).
    version
        A text that changes whenever the object is replaced; empty if the store has none.
    """

    key: str
    size: int
    modified: float
    version: str = ""

    @property
    def identity(self) -> str:
        """A text that changes when the object is replaced: its version, or time and size where there is none."""
        return self.version or f"{self.modified} {self.size}"


class Store(Protocol):
    """Bytes under keys: what a store has to do.

    kart creates one instance in each process, without arguments, and calls its methods from several threads at once. A
    key is the part of a url after ``://``, for example ``bucket/folder/x.pkl``; folders need not be created.

    Register a class with `register_store`; it does not have to inherit from this one.
    """

    def stat(self, key: str) -> Stat | None:
        """Return size and time of an object as they are now.

        Parameters
        ----------
        key
            The key of the object.

        Returns
        -------
        Stat or None
            None if there is no object, or if the key is that of a folder.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading.

        Parameters
        ----------
        key
            The key of the object.

        Returns
        -------
        BinaryIO
            A file that can seek: parquet and zip files are read from their end. The caller closes it.

        Raises
        ------
        ObjectMissing
            If there is no object.
        """
        ...

    def write(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for writing, inside a ``with`` block.

        The object appears, whole, when the block ends. If the block raises or the process dies, it does not appear, and
        a previous one stays: kart takes an object that exists for a complete output.

        Parameters
        ----------
        key
            The key of the object. If it exists, it is replaced.

        Returns
        -------
        context manager
            It gives a binary file. Only its `write` is needed, which takes any contiguous buffer. After the block its
            attribute `version`, if it has one, is the version of the new object, as in `Stat`.
        """
        ...

    def delete(self, key: str) -> bool:
        """Delete an object.

        Parameters
        ----------
        key
            The key of the object.

        Returns
        -------
        bool
            Whether it existed. A missing object is not an error.
        """
        ...

    def list(self, prefix: str) -> Iterator[Stat]:
        """Iterate over the objects below a folder and its subfolders.

        Parameters
        ----------
        prefix
            The key of the folder, with or without a slash at its end. A missing folder is empty.

        Returns
        -------
        iterator of Stat
            One for each object, in any order, without temporary objects of writes that go on.
        """
        ...


class Versioned(NamedTuple):
    """An object as it was at one moment.

    Attributes
    ----------
    data
        Its bytes.
    version
        A text that changes whenever the object does.
    age
        Seconds since it was written, by the store's own clock.
    """

    data: bytes
    version: str
    age: float


@runtime_checkable
class Conditional(Protocol):
    """A store with conditional writes: of several callers that write under the same condition, one succeeds."""

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists.

        Parameters
        ----------
        key, data
            The key and the bytes of the object.

        Returns
        -------
        str or None
            The version of the new object; None if the key exists.
        """
        ...

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a version.

        Parameters
        ----------
        key, data
            The key and the new bytes of the object.
        version
            The version that it must have.

        Returns
        -------
        str or None
            The new version; None if the object has another version or does not exist.
        """
        ...

    def read(self, key: str) -> Versioned | None:
        """Read a small object.

        Parameters
        ----------
        key
            The key of the object.

        Returns
        -------
        Versioned or None
            The object with its version and age; None if it does not exist.
        """
        ...

    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has a version.

        Parameters
        ----------
        key
            The key of the object.
        version
            The version that it must have. A store that cannot check and delete in one step documents that.

        Returns
        -------
        bool
            Whether it was deleted.
        """
        ...


class UnfinishedUpload(NamedTuple):
    """An incomplete upload: its parts are stored, and no list of objects shows them.

    Attributes
    ----------
    key
        The key that the object would have.
    id
        The service's name of the upload.
    """

    key: str
    id: str


@runtime_checkable
class Unfinished(Protocol):
    """A store where an incomplete write leaves something behind, which `kart gc` deletes."""

    def unfinished(self, prefix: str, before: float) -> Sequence[UnfinishedUpload]:
        """Return the incomplete uploads below a folder.

        Parameters
        ----------
        prefix
            The key of the folder.
        before
            Only uploads that began before this time, in seconds since the epoch.

        Returns
        -------
        sequence of UnfinishedUpload
        """
        ...

    def discard(self, upload: UnfinishedUpload) -> bool:
        """Abort an incomplete upload, and delete its parts.

        Parameters
        ----------
        upload
            One of those that `unfinished` returned.

        Returns
        -------
        bool
            Whether it existed.
        """
        ...


def is_remote(store: Any) -> bool:
    """Return whether each call of a store crosses a network."""
    return getattr(store, "remote", False)


def is_marked(store: Any, key: str, checksum: str) -> bool:
    """Return whether an object says by itself that kart has stored it with a checksum, as one that replaces another."""
    mark_of = getattr(store, "mark_of", None)
    return mark_of is not None and mark_of(key) == checksum


def put(store: Store, key: str, data: bytes) -> None:
    """Store a small object that nobody takes for a result, such as a log file; it is whole or absent."""
    directly = getattr(store, "put", None)
    if directly is not None:
        directly(key, data)
        return
    with store.write(key) as file:
        file.write(data)


def copy(store: Store, source: str, key: str) -> str:
    """Copy an object inside a store, by the store itself if it can; return the version of the copy, "" if not known."""
    directly = getattr(store, "copy", None)
    if directly is not None:
        return str(directly(source, key))
    return copy_between(store, source, store, key)


def copy_between(store: Store, source: str, into: Store, key: str) -> str:
    """Copy an object to a store by way of this machine; return the version of the copy, "" if not known."""
    writer = into.write(key)
    with store.open(source) as file, writer as sink:
        shutil.copyfileobj(file, sink, _BLOCK)
    return str(getattr(sink, "version", "") or getattr(writer, "version", ""))


_BLOCK = 1 << 20
"""Bytes to copy at a time."""
