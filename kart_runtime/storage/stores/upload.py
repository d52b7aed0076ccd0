"""Writing of a remote object: small ones from memory by one request, large ones from a temporary file.

The upload begins with `commit`, or when the ``with`` block ends, so nothing has to be undone at the service when what
comes before raises.
"""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Mapping
from tempfile import SpooledTemporaryFile, TemporaryFile
from types import TracebackType
from typing import Any, BinaryIO, Protocol, cast

from kart_runtime.storage.temporary import folder_prefix

PART = 8 << 20
"""Bytes that one request sends, and that are held in memory; S3 takes parts from 5 MiB on, GCS multiples of 256 KiB."""


MARK = "kart-checksum"
"""Name of the label with the checksum of an object that replaces a recorded one. The process that stores it may die
before it has recorded that; then the label tells it from an object that somebody else has stored."""


class _Store(Protocol):
    """The methods of a store that this module calls."""

    def put(self, key: str, data: bytes, labels: Mapping[str, str] | None = None) -> str: ...
    def upload(self, key: str, file: BinaryIO, labels: Mapping[str, str] | None = None) -> str: ...


def in_blocks(data: bytes) -> BinaryIO:
    """Return bytes as a file, which is sent in blocks: of bytes sent at once, all have to leave within a time limit."""
    return io.BytesIO(data)


class ObjectWriter:
    """The ``with`` block of one write, and the file inside it."""

    def __init__(self, store: _Store, key: str, labels: Mapping[str, str] | None = None) -> None:
        self._store, self._key, self._labels = store, key, labels
        self._file = SpooledTemporaryFile(prefix=folder_prefix())  # noqa: SIM115 - closed by __exit__
        self._size = 0
        self.closed = False
        self.version = ""
        self._lock = threading.Lock()

    def __enter__(self) -> BinaryIO:
        return cast("BinaryIO", self)

    def write(self, data: Any) -> int:
        """Take all the bytes."""
        size = memoryview(data).nbytes
        self._size += size
        if self._size > PART:
            self._file.rollover()  # the file by itself does so only after it has copied the bytes to memory
        self._file.write(data)
        return size

    def content(self) -> bytes | None:
        """Return everything that was written, None if it is more than one part."""
        if self._size > PART:
            return None
        self._file.seek(0)
        return self._file.read()

    def mark(self, checksum: str) -> None:
        """Have the object say by itself which bytes kart has stored."""
        self._labels = {**(self._labels or {}), MARK: checksum}

    def flush(self) -> None:
        """Do nothing: the upload begins when the block ends."""

    def fileno(self) -> int:
        """Raise: what is written straight to the descriptor would not be counted."""
        raise io.UnsupportedOperation("fileno")

    def seal(self) -> None:
        """End writing; the bytes stay here until `commit`."""
        self.closed = True

    def read(self) -> BinaryIO:
        """Open a copy of what was written, for reading."""
        with self._lock:  # several threads of a task may read what it has dumped
            content = self.content()
            if content is not None:
                return io.BytesIO(content)
            copy = TemporaryFile(prefix=folder_prefix())  # noqa: SIM115 - the caller closes it
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy, PART)
        copy.seek(0)
        return cast("BinaryIO", copy)

    def commit(self) -> None:
        """Store the object."""
        with self._file:
            content = self.content()
            if content is not None:
                self.version = self._store.put(self._key, content, self._labels)
                return
            self._file.seek(0)
            self.version = self._store.upload(self._key, cast("BinaryIO", self._file), self._labels)

    def discard(self) -> None:
        """Drop what was written."""
        self.closed = True
        self._file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seal()
        if kind is None:
            self.commit()
        else:
            self.discard()
