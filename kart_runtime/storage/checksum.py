"""How large is what is written, and what is its checksum? Seen while it passes, so that no byte is read back.

A checksum takes about as long as writing to a fast disk. For large pieces it is worked out in a thread while the piece
is written; hashing and writing both let other threads run. Called by `targets`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

LARGE = 1 << 18
"""Bytes from which on a piece is worth a thread."""

_MOST_WAITING = 8
"""Pieces that may wait for their checksum; more would only fill the memory."""


class ChecksumFile:
    """A file that counts and checksums what is written to it.

    Parameters
    ----------
    file
        Where it goes.

    Attributes
    ----------
    size
        Bytes so far.
    """

    __slots__ = ("_checksum", "_file", "_thread", "_waiting", "size")
    mode = "wb"  # pandas looks here to know that text has to be encoded

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self._checksum = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] | None = None

    def write(self, data: Any) -> int:
        """Write all of the data and return its size."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if size < LARGE:
            if self._waiting:
                self._catch_up(0)
            self._file.write(data)
            self._checksum.update(data)
        else:
            self._write_large(data)
        self.size += size
        return size

    def _write_large(self, data: Any) -> None:
        if self._thread is None or self._waiting is None:
            self._thread, self._waiting = ThreadPoolExecutor(1, "kart-checksum"), deque()
        self._waiting.append(self._thread.submit(self._checksum.update, data))
        self._file.write(data)
        self._catch_up(_MOST_WAITING if _lasts(data) else 0)

    def _catch_up(self, left: int) -> None:
        while self._waiting and len(self._waiting) > left:
            self._waiting.popleft().result()

    def checksum(self) -> str:
        """Return the checksum (SHA-256) of everything written, as hexadecimal text."""
        self._catch_up(0)
        return self._checksum.hexdigest()

    def release(self) -> None:
        """End the thread, if there is one."""
        if self._thread is not None:
            self._thread.shutdown()

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False: after a seek the checksum would be another one than the file's."""
        return False

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def close(self) -> None:
        """Leave the file open: the store closes it, and then only it becomes visible."""


def _lasts(data: Any) -> bool:
    """Return whether data stays as it is for as long as somebody holds it.

    Bytes do, and pyarrow's buffers; the memory of anything else may be used again as soon as it is written.
    """
    return type(data) is bytes or type(data).__module__ == "pyarrow.lib"
