"""Writes that are complete and not yet visible: the outputs of a `run()` until its attempt commits them.

`target` writes each value through a `StagedWrite`. Outside an attempt it commits at once. Inside one, the write waits
in the state of the run, which finds it by its url, so that the task can read what it has dumped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol, cast

from kart_runtime.storage.signing import Statement, write_signature
from kart_runtime.storage.stores import Stat, Store
from kart_runtime.storage.stores.upload import PART, ObjectWriter
from kart_runtime.storage.system import after_fork


class OutputRecord(NamedTuple):
    """Record of one dump.

    Attributes
    ----------
    url
        Path or url of the value.
    size
        Bytes.
    checksum
        Checksum of the bytes, as ``algorithm:hexadecimal digits``; empty for a value that is not stored as bytes.
    version
        Version of the file or object, as in `Stat`: as long as it is the same, so are the bytes.
    """

    url: str
    size: int
    checksum: str
    version: str = ""


class Writer(Protocol):
    """A file open for writing, whose bytes become visible by `commit`."""

    version: str

    def __enter__(self) -> BinaryIO:
        """Open the file."""
        ...

    def seal(self) -> None:
        """End writing, and release what is not needed until `commit`."""
        ...

    def read(self) -> BinaryIO:
        """Open what was written, for reading."""
        ...

    def commit(self) -> None:
        """Make it visible under its key."""
        ...

    def discard(self) -> None:
        """Drop it; after `commit` this has no effect."""
        ...


class StagedWrite:
    """One value that is written and not visible; `cache` is called with `entry` when it is, with None if it may be.

    `statement` is what its signature says, None if it is not signed.
    """

    __slots__ = (
        "_modified",
        "_record",
        "cache",
        "checksum",
        "entry",
        "key",
        "size",
        "statement",
        "store",
        "url",
        "writer",
    )

    def __init__(self, url: str, store: Any, key: str, writer: Writer) -> None:
        self.url, self.store, self.key, self.writer = url, store, key, writer
        self.size = 0
        self.checksum = ""
        self._modified = 0.0
        self._record: OutputRecord | None = None
        self.entry: Any = None
        self.cache: Callable[[Any], None] | None = None
        self.statement: Statement | None = None

    def sign(self) -> None:
        """Store the signature, which must be there before the value."""
        statement, self.statement = self.statement, None
        if statement is not None:
            write_signature(self.store, self.key, statement)

    def commit(self) -> None:
        """Make the value visible."""
        self.sign()
        try:
            self.writer.commit()
        except BaseException as error:
            if isinstance(error, FileNotFoundError) and getattr(self.writer, "temporary", None):
                error.strerror = "another program has removed the hidden file in which it was staged; run again"
            if self.cache is not None:
                self.cache(None)  # an answer may have been lost
            raise
        if self.cache is not None:
            self.cache(self.entry)

    def discard(self) -> None:
        """Drop the value."""
        self.writer.discard()

    def stat(self) -> Stat:
        """Return size and time of the value, as if it were stored."""
        self._modified = self._modified or time.time()
        return Stat(self.key, self.size, self._modified, self.writer.version)

    def record(self) -> OutputRecord:
        """Return the record; the version of an object is known only after the commit."""
        version, record = self.writer.version, self._record
        if record is None or record.version != version:
            record = self._record = OutputRecord(self.url, self.size, self.checksum, version)
        return record


class Run(Protocol):
    """The state of a run, as far as targets need it.

    `staged` holds the writes that wait for the commit, by url; None if each is committed at once. `loaded` holds the
    checksums of what was loaded, by url. `expected` are records that the store may not show yet. `process` stands for
    the process of the run: what `run()` dumps in one that it has forked is committed at once. `marks` says that objects
    are stored with a mark of their checksum. `given_up` is why nobody waits for the run any more, though it goes on.
    `allows_outside` says whether outputs may lie outside of the workspace.
    """

    task: Any
    process: object
    staged: dict[str, StagedWrite] | None
    loaded: dict[str, str]
    marks: bool
    expected: Mapping[str, OutputRecord]
    secrets: set[str]
    given_up: BaseException | None
    allows_outside: bool


class _Process:
    """Holds an object that stands for this process."""

    token: ClassVar[object] = object()

    @classmethod
    def begin(cls) -> None:
        cls.token = object()


after_fork(_Process.begin)


def this_process() -> object:
    """Return an object that stands for this process; a forked one has another."""
    return _Process.token


active_run: ContextVar[Run | None] = ContextVar("active_run", default=None)
"""The run whose `run()` is being called here. Threads that it starts do not inherit it; they find the run by its
task."""


@contextmanager
def running(run: Run | None) -> Iterator[None]:
    """Make a run the active one here until the block ends; None leaves what is active."""
    if run is None or active_run.get() is run:
        yield
        return
    token = active_run.set(run)
    try:
        yield
    finally:
        active_run.reset(token)


def writer_for(store: Any, key: str, labels: Mapping[str, str] | None) -> Writer:
    """Return a writer for a key; for a store without staged writes, one that keeps the bytes until the commit."""
    writer = store.write(key, labels) if labels else store.write(key)
    if hasattr(writer, "commit"):
        return cast("Writer", writer)
    return ObjectWriter(_Through(store), key, labels)


class _Through:
    """Sender of an object to a store by its `write`."""

    def __init__(self, store: Store) -> None:
        self._store: Any = store

    def put(self, key: str, data: bytes, labels: Mapping[str, str] | None = None) -> str:
        with self._store.write(key, labels) if labels else self._store.write(key) as file:
            file.write(data)
        return getattr(file, "version", "")

    def upload(self, key: str, file: BinaryIO, labels: Mapping[str, str] | None = None) -> str:
        with self._store.write(key, labels) if labels else self._store.write(key) as sink:
            shutil.copyfileobj(file, sink, PART)
        return getattr(sink, "version", "")
