"""In-memory cache of the values dumped during a build, valid while their files are unchanged.

`builder` activates it, `target` asks `active_cache` whenever it has written or opened a file. `snapshots` says which
values come back equal; everything else is read as ever. Worker processes have none: they end with the task's value.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from kart_runtime.storage.codecs import Codec
from kart_runtime.storage.snapshots import Snapshot, snapshot, stored_bytes
from kart_runtime.system import after_fork

MISS: Any = object()
"""What `Values.give` returns when the file has to be read."""

SMALLEST = 1 << 15
"""Files of fewer bytes are read: that takes no longer than to make sure that nothing has changed."""

Version = tuple[int, int, int, int]

THIS_PROCESS: Version = (0, 0, 0, 0)
"""Stands for what this process has stored on a remote store, where it is not asked whether that is still the same: it
would cost a request for each value, and another process that stores the same task's output stores the same value."""


def version_of(file: BinaryIO) -> Version | None:
    """Return what tells a file of a disk from any that takes its place: device, inode, bytes, time of the last change.

    Parameters
    ----------
    file
        An open file, from a store. None is returned for what does not lie on a disk.
    """
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    if not stat.S_ISREG(found.st_mode):  # a network connection has a number, too
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class _Kept(NamedTuple):
    snapshot: Snapshot
    version: Version
    codec: Codec
    as_type: Any

    def fits(self, version: Version | None, codec: Codec, as_type: Any) -> bool:
        if version != self.version or as_type != self.as_type:
            return False
        return codec is self.codec or (type(codec) is type(self.codec) and vars(codec) == vars(self.codec))


class ValueCache:
    """Values by url, of a limited size together; the one that nobody has asked for longest goes first.

    Several threads may use it at once.

    Parameters
    ----------
    limit
        Bytes of memory.
    smallest
        Bytes that a file has at least, for `keep` to be called.
    """

    def __init__(self, limit: int, smallest: int = SMALLEST) -> None:
        self.limit = limit
        self.smallest = smallest
        self.size = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def keep(  # noqa: PLR0917
        self,
        url: str,
        value: Any,
        codec: Codec,
        as_type: Any,
        version: Version | None,
        content: bytes | bytearray | None = None,
    ) -> None:
        """Keep what has been dumped, if it may be given out instead of being read.

        Parameters
        ----------
        url
            Where it lies.
        value
            The value; the caller may go on changing it.
        codec, as_type
            How it was written, and will be read.
        version
            Of the file that was written. None: it is not known, and nothing is kept.
        content
            What was written, as far as it is at hand: it stands for values that are in no other way known to come back
            equal.
        """
        try:
            made = snapshot(value, codec, as_type, self.limit) if version is not None else None
            if made is None and content is not None and len(content) <= self.limit:
                made = stored_bytes(bytes(content), codec, as_type)
        except MemoryError:
            made = None  # the value is stored all the same
        with self._lock:
            self._drop(url)
            if made is not None and version is not None:
                self._kept[url] = _Kept(made, version, codec, as_type)
                self.size += made.size
                self._shrink()

    def give(self, url: str, codec: Codec, as_type: Any, version: Version | None) -> Any:
        """Return the value that reading a file would give; `MISS` when that is not known.

        Parameters
        ----------
        url
            Where it lies.
        codec, as_type
            How it would be read.
        version
            Of the file that is there.
        """
        kept = self._kept.get(url)
        if kept is None or not kept.fits(version, codec, as_type):
            return MISS
        with self._lock:
            if self._kept.get(url) is kept:  # another thread may have dropped it
                self._kept.move_to_end(url)
        return kept.snapshot.give()

    def set_limit(self, limit: int) -> None:
        """Keep no more than this from now on.

        Parameters
        ----------
        limit
            Bytes of memory.
        """
        with self._lock:
            self.limit = limit
            self._shrink()

    def forget(self, url: str) -> None:
        """Keep a value no longer.

        Parameters
        ----------
        url
            Where it lies.
        """
        with self._lock:
            self._drop(url)

    def _shrink(self) -> None:
        while self.size > self.limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, url: str) -> None:
        dropped = self._kept.pop(url, None)
        if dropped is not None:
            self.size -= dropped.snapshot.size

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, url: str) -> bool:
        return url in self._kept


active_cache: ValueCache | None = None
"""What targets ask; None: every value is read."""

_limits: list[int] = []
_lock = threading.Lock()


@contextmanager
def caching_values(limit: int) -> Iterator[None]:
    """Let values be handed off in this process until the block ends, when all are forgotten.

    Builds in several threads, and builds inside tasks, share what is kept. The largest of their limits counts, and the
    end of the last one.

    Parameters
    ----------
    limit
        Bytes of memory; with 0 nothing changes.
    """
    if limit <= 0:
        yield
        return
    _change(_limits.append, limit)
    try:
        yield
    finally:
        _change(_limits.remove, limit)


def _change(change: Callable[[int], None], limit: int) -> None:
    global active_cache
    with _lock:
        change(limit)
        if not _limits:
            active_cache = None
        elif active_cache is None:
            active_cache = ValueCache(max(_limits))
        else:
            active_cache.set_limit(max(_limits))


def _begin_in_child() -> None:
    """Forget everything in a forked process, where a lock may be held by a thread that is not there."""
    global active_cache, _lock
    active_cache, _lock = None, threading.Lock()


after_fork(_begin_in_child)
