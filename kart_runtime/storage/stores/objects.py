"""Base class of the stores for S3 and GCS, built on methods that send one request each.

`s3` and `gcs` send the requests. `upload` writes objects, `object_cache` reads them in chunks and caches them on this
machine, `listings` answers a plan from lists of folders. Keys are ``bucket/name``.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, ClassVar, NamedTuple

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.stores import Stat, Versioned, listings, object_cache
from kart_runtime.storage.stores.threads import RequestThreads
from kart_runtime.storage.stores.upload import ObjectWriter
from kart_runtime.storage.workspace import as_folder

Labels = Mapping[str, str]


class Chunk(NamedTuple):
    """Bytes of an object, with the version (etag or generation), size and age in seconds of the whole object.

    The size may be `object_cache.UNKNOWN_SIZE` if a certain version was requested.
    """

    data: bytes
    version: str
    size: int
    age: float = 0.0


class Page(NamedTuple):
    """Objects in the order of their keys, complete up to the key `last`; `token` requests the next page, if any."""

    found: Sequence[Stat]
    last: str
    token: str | None


class ObjectStore(abc.ABC):
    """Objects in buckets, by HTTP requests.

    Subclasses send the requests; each of their methods that begins with an underscore sends one.
    """

    remote = True
    supports_labels = False
    scheme: ClassVar[str]

    # -- one request each ----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def service_id(self) -> str:
        """Return the address of the service, which tells equal keys of two services apart."""

    @abc.abstractmethod
    def _stat(self, key: str) -> Stat | None: ...

    @abc.abstractmethod
    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Chunk | None:
        """Return up to `length` bytes of an object, None if its version is still `unless`.

        Raise `ObjectMissing` if it does not exist, `ObjectReplaced` if its version is not `only`.
        """

    @abc.abstractmethod
    def put(self, key: str, data: bytes, labels: Labels | None = None) -> str:
        """Store an object by one request, whole or not at all, and return its version."""

    @abc.abstractmethod
    def upload(self, key: str, file: BinaryIO, labels: Labels | None = None) -> str:
        """Store a large object from a file, in parts, and return its version.

        It appears with the last part, and a failed upload is aborted.
        """

    @abc.abstractmethod
    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix that ends in ``/``.

        `token` is that of the previous page; without one, the page begins after the key `after`. With `below`, it
        includes the objects in subfolders.
        """

    @abc.abstractmethod
    def _delete(self, key: str) -> None: ...

    @abc.abstractmethod
    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists, and return its version; None if it exists."""

    @abc.abstractmethod
    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a version, and return the new one; None if it has another."""

    @abc.abstractmethod
    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has a version; return whether it was deleted."""

    # -- built on requests ---------------------------------------------------------------------------------------

    def stat(self, key: str) -> Stat | None:
        """Return size and time of an object, None if it does not exist; inside a plan from a list of its folder."""
        active = listings.active_listings()
        return self._stat(key) if active is None else active.stat(self, key)

    def stat_now(self, key: str) -> Stat | None:
        """Return size and time of an object as the service reports them now, None if it does not exist."""
        return self._stat(key)

    def _version(self, key: str) -> str:
        """Return the version of an object that has just been stored; empty if the service does not say."""
        with suppress(OSError):
            stat = self._stat(key)
            return "" if stat is None else stat.version
        return ""

    def _own_version(self, key: str, data: bytes) -> str | None:
        """Return the version of an object if it consists of these bytes, else None.

        A conditional write whose answer was lost is sent again, and refused then because of what it has itself written.
        """
        found = self.read(key)
        return found.version if found is not None and found.data == data else None

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading, as a file of this machine."""
        return object_cache.open_object(self, key)

    def forget_copy(self, key: str) -> None:
        """Delete the copy of an object on this machine, so that the next read downloads it."""
        object_cache.forget(self, key)

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its version, None if it does not exist."""
        try:
            chunk = self.get(key, 0, object_cache.CHUNK)
        except ObjectMissing:
            return None
        return None if chunk is None else Versioned(chunk.data, chunk.version, chunk.age)

    def write(self, key: str, labels: Labels | None = None) -> ObjectWriter:
        """Open an object for writing; it appears, whole, when the block ends."""
        return ObjectWriter(self, key, labels)

    def delete(self, key: str) -> bool:
        """Delete an object; return whether it existed."""
        if self._stat(key) is None:
            return False
        self._delete(key)
        return True

    def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects; return the keys that could not be deleted, and why. A missing one is no failure."""
        failed: dict[str, str] = {}

        def delete(key: str) -> None:
            try:
                self._delete(key)
            except OSError as error:
                failed[key] = str(error)

        with RequestThreads(16, "kart-delete") as threads:
            list(threads.map(delete, keys))
        return failed

    def list(self, prefix: str) -> Iterator[Stat]:
        """Iterate over the objects below a folder, sorted by key, with a request for each 1,000."""
        folder = as_folder(prefix)
        token: str | None = None
        while True:
            page = self.page(folder, token, below=True)
            yield from (stat for stat in page.found if stat.key != folder)  # consoles create one to show a folder
            token = page.token
            if token is None:
                return

    def url(self, key: str) -> str:
        """Return the url of a key."""
        return f"{self.scheme}://{key}"


def split(key: str) -> tuple[str, str]:
    """Return the bucket of a key, and the name inside it."""
    bucket, _, name = key.partition("/")
    return bucket, name
