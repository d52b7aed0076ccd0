"""How is an object written without holding all of it in memory? In parts, several on their way at once.

What fits into one part is sent by one request, when the block ends. What does not is a multipart upload: its parts are
nowhere to be seen until it is finished, and thrown away when it is not.
"""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, BinaryIO, Protocol, cast

PART = 8 << 20
"""Bytes of a part. S3 takes parts from 5 MiB on, GCS multiples of 256 KiB."""

_DOUBLING = 1000
"""After each so many parts their size doubles: S3 takes at most 10,000 of them, and objects of 5 TB."""


class _Upload(Protocol):
    """As `objects.Upload`."""

    at_once: int

    def send(self, number: int, data: bytearray, last: bool) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


class _Store(Protocol):
    """What is asked of a store here."""

    def put(self, key: str, data: bytes | bytearray, labels: Mapping[str, str] | None = None) -> None: ...
    def begin(self, key: str, labels: Mapping[str, str] | None = None) -> _Upload: ...


class Writing:
    """The ``with`` block of one write, and the file inside it.

    Parameters
    ----------
    store
        Where to.
    key
        The object.
    labels
        Texts that are kept with it.
    """

    def __init__(self, store: _Store, key: str, labels: Mapping[str, str] | None = None) -> None:
        self._store, self._key, self._labels = store, key, labels
        self._buffer = bytearray()
        self._parts = 0
        self._upload: _Upload | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._sent: deque[Future[None]] = deque()
        self.closed = False

    def __enter__(self) -> BinaryIO:
        return cast("BinaryIO", self)

    def write(self, data: Any) -> int:
        """Take all the bytes, and send them as soon as they fill a part."""
        view = memoryview(data)
        size = view.nbytes
        if not size:  # of an empty array no view of bytes can be made
            return 0
        rest = view.cast("B")
        while len(self._buffer) + len(rest) > self._part_size():
            space = self._part_size() - len(self._buffer)
            self._buffer += rest[:space]
            rest = rest[space:]
            self._send(last=False)
        self._buffer += rest
        return size

    def _part_size(self) -> int:
        return PART << (self._parts // _DOUBLING)

    def _send(self, last: bool) -> None:
        upload, threads = self._upload, self._threads
        if upload is None or threads is None:
            upload = self._upload = self._store.begin(self._key, self._labels)
            threads = self._threads = ThreadPoolExecutor(upload.at_once, "kart-upload")
        # With the part that fills now, those on their way are what it takes of memory.
        while len(self._sent) >= upload.at_once:
            self._sent.popleft().result()
        self._parts += 1
        self._sent.append(threads.submit(upload.send, self._parts, self._buffer, last))
        self._buffer = bytearray()

    def content(self) -> bytes | None:
        """Return everything that was written, None when a part has been sent already."""
        return bytes(self._buffer) if self._upload is None else None

    def flush(self) -> None:
        """Do nothing: parts are sent when they are full."""

    def fileno(self) -> int:
        """Raise: the system knows no such file."""
        raise io.UnsupportedOperation("fileno")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        try:
            if kind is None:
                self._finish()
            else:
                self._give_up()
        finally:
            self._buffer = bytearray()
            if self._threads is not None:
                self._threads.shutdown()

    def _finish(self) -> None:
        if self._upload is None:
            self._store.put(self._key, self._buffer, self._labels)
            return
        try:
            self._send(last=True)
            while self._sent:
                self._sent.popleft().result()
            self._upload.finish()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        if self._upload is None:
            return
        for sent in self._sent:
            sent.cancel()
        if self._threads is not None:
            self._threads.shutdown()  # a part that came after the end would stay
        with contextlib.suppress(Exception):  # the service is away; `gc` removes what is left later
            self._upload.abort()
