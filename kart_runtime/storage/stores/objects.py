"""What do S3 and GCS have in common? An object store whose requests are few: `ObjectStore`, made of single requests.

`s3` and `gcs` say how each request is sent; what is composed of them stands here and beside it: `uploads` writes in
pieces, `downloads` reads in pieces and keeps what it has read on this machine, `listings` answers a plan's questions.
Keys are ``bucket/name``.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, ClassVar, NamedTuple, Protocol

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.stores import Stat, Versioned, listings, multipart, object_cache
from kart_runtime.storage.workspace import as_folder

Labels = Mapping[str, str]


class Piece(NamedTuple):
    """A part of an object, and what is known of the whole.

    Attributes
    ----------
    data
        Its bytes.
    version
        The object's: its etag or generation.
    size
        The object's size in bytes; `downloads.NOT_TOLD` may stand here when the version was asked for.
    age
        Seconds since the object was written, by the store's clock.
    """

    data: bytes
    version: str
    size: int
    age: float = 0.0


class Page(NamedTuple):
    """The answer to one request for a list.

    Attributes
    ----------
    found
        The objects, in the order of their keys.
    last
        The key up to which everything is known.
    token
        What the next page is asked for by; None: there is none.
    """

    found: Sequence[Stat]
    last: str
    token: str | None


class Upload(Protocol):
    """A large object on its way, in parts.

    Attributes
    ----------
    at_once
        How many parts may be sent at once, by as many threads; with 1 they come in order.
    """

    at_once: int

    def send(self, number: int, data: bytearray, last: bool) -> None:
        """Send a part; its number counts from 1."""
        ...

    def finish(self) -> None:
        """Make the object of its parts: it appears now."""
        ...

    def abort(self) -> None:
        """Throw away what was sent."""
        ...


class ObjectStore(abc.ABC):
    """Objects in buckets, by HTTP requests.

    Subclasses send the requests; each of their methods that begins with an underscore sends one.
    """

    remote = True
    supports_labels = False
    scheme: ClassVar[str]

    # -- one request each ----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def place(self) -> str:
        """Return which service this is, so that equal keys of two services are not taken for one."""

    @abc.abstractmethod
    def _stat(self, key: str) -> Stat | None: ...

    @abc.abstractmethod
    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Piece | None:
        """Return a piece of an object.

        Parameters
        ----------
        key
            The object.
        start, length
            Which bytes; there may be less.
        unless
            A version that is known already; None is returned when the object has it.
        only
            The version that the object must have.

        Raises
        ------
        ObjectMissing
            When there is none.
        ObjectReplaced
            When it has another version than `only`.
        """

    @abc.abstractmethod
    def put(self, key: str, data: bytes | bytearray, labels: Labels | None = None) -> None:
        """Store an object by one request: whole or not at all."""

    @abc.abstractmethod
    def begin(self, key: str, labels: Labels | None = None) -> Upload:
        """Begin to store a large object."""

    @abc.abstractmethod
    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix, from where the last page ended.

        Parameters
        ----------
        prefix
            A bucket and a folder, ending in ``/``.
        token
            The last page's. None: from the beginning.
        below
            Also what lies in folders below.
        after
            A key in whose place the first page begins; it need not exist.
        """

    @abc.abstractmethod
    def _delete(self, key: str) -> None: ...

    @abc.abstractmethod
    def create(self, key: str, data: bytes) -> str | None:
        """Store an object that is not there yet and return its version; None when it is there."""

    @abc.abstractmethod
    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a version and return the new one; None when it has not."""

    @abc.abstractmethod
    def delete_version(self, key: str, version: str) -> bool:
        """Remove an object that still has a version; return whether it was removed."""

    # -- made of requests ----------------------------------------------------------------------------------------

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an object, None when there is none; inside a plan as the listing of its folder."""
        found = listings.active_listings()
        return self._stat(key) if found is None else found.stat(self, key)

    def ask(self, key: str) -> Stat | None:
        """Return what the service says of an object now, None when there is none."""
        return self._stat(key)

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading, as a file of this machine.

        Raises
        ------
        ObjectMissing
            When there is none.
        RequestFailed
            When the service refuses, or cannot be reached.
        """
        return object_cache.opened(self, key)

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its version, None when there is none."""
        try:
            piece = self.get(key, 0, object_cache.PIECE)
        except ObjectMissing:
            return None
        return None if piece is None else Versioned(piece.data, piece.version, piece.age)

    def write(self, key: str, labels: Labels | None = None) -> multipart.Writing:
        """Open an object for writing; it appears whole when the block ends.

        Parameters
        ----------
        key
            The object.
        labels
            Texts that are kept with it, where the store does that.
        """
        return multipart.Writing(self, key, labels)

    def delete(self, key: str) -> bool:
        """Remove an object; return whether there was one."""
        if self._stat(key) is None:
            return False
        self._delete(key)
        return True

    def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove objects; return what is in the way of those that could not be removed.

        Parameters
        ----------
        keys
            Any number; one that has gone meanwhile is no failure.
        """
        failed: dict[str, str] = {}

        def remove(key: str) -> None:
            try:
                self._delete(key)
            except OSError as error:
                failed[key] = str(error)

        with ThreadPoolExecutor(16, "kart-delete") as threads:
            list(threads.map(remove, keys))
        return failed

    def list(self, prefix: str) -> Iterator[Stat]:
        """Go through the objects below a folder, sorted by key; a request for each 1,000."""
        folder = as_folder(prefix)
        token: str | None = None
        while True:
            page = self.page(folder, token, below=True)
            yield from (found for found in page.found if found.key != folder)  # consoles make one to show a folder
            token = page.token
            if token is None:
                return

    def url(self, key: str) -> str:
        """Return the url of a key."""
        return f"{self.scheme}://{key}"


def split(key: str) -> tuple[str, str]:
    """Return the bucket of a key and the name inside it.

    Parameters
    ----------
    key
        ``bucket/name``.
    """
    bucket, _, name = key.partition("/")
    return bucket, name
