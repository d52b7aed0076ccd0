"""In-memory cache of the values dumped during a build, valid while their files are unchanged.

`builder` activates it; `target` uses `active_cache` whenever it has written or opened a file. `snapshots` decides which
values come back equal; all others are read. Worker processes have no cache: they end with the task's value.
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
from kart_runtime.storage.system import after_fork

MISS: Any = object()
"""What `ValueCache.get` returns when the file has to be read."""

SMALLEST = 1 << 15
"""Files of fewer bytes are not cached: reading one takes no longer than checking that it is unchanged."""

Version = tuple[int, int, int, int]

THIS_PROCESS: Version = (0, 0, 0, 0)
"""Version of what this process has stored on a remote store. Whether it is unchanged is not checked: that would cost a
request for each value, and another process that stores the same task's output stores the same value."""


def version_of(file: BinaryIO) -> Version | None:
    """Return device, inode, size and time of change of an open file; None if it is not a file on a disk."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    if not stat.S_ISREG(status.st_mode):  # a network connection has a number, too
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class CacheEntry(NamedTuple):
    """A cached value; `checksum` is that of the stored bytes, `version` that of their file."""

    snapshot: Snapshot
    version: Version
    codec: Codec
    as_type: Any
    checksum: str = ""

    def fits(self, version: Version | None, codec: Codec, as_type: Any) -> bool:
        """Return whether reading a file of this version by this codec gives the value."""
        if version != self.version or as_type != self.as_type:
            return False
        return codec is self.codec or (type(codec) is type(self.codec) and vars(codec) == vars(self.codec))


class ValueCache:
    """Values by url, least recently used evicted first; safe to use from several threads.

    `limit` is the size of all values in bytes, `smallest` the size of a file in bytes from which `put` is worth it.
    """

    def __init__(self, limit: int, smallest: int = SMALLEST) -> None:
        self.limit = limit
        self.smallest = smallest
        self.size = 0
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()
        self._lock = threading.Lock()

    def put(  # noqa: PLR0917
        self,
        url: str,
        value: Any,
        codec: Codec,
        as_type: Any,
        version: Version | None,
        content: bytes | bytearray | None = None,
    ) -> None:
        """Add a snapshot of a value that has been dumped; the caller may go on changing the value."""
        self.add(url, self.entry_for(value, codec, as_type, version, content))

    def entry_for(  # noqa: PLR0917
        self,
        value: Any,
        codec: Codec,
        as_type: Any,
        version: Version | None,
        content: bytes | bytearray | None = None,
        checksum: str = "",
    ) -> CacheEntry | None:
        """Return a snapshot of a value, to be added when it is visible; None without a version.

        A value without a snapshot becomes `content`, its bytes, if they are at hand.
        """
        if version is None:
            return None
        try:
            copy = snapshot(value, codec, as_type, self.limit)
            if copy is None and content is not None and len(content) <= self.limit:
                copy = stored_bytes(bytes(content), codec, as_type)
        except MemoryError:
            copy = None  # the value is stored all the same
        return None if copy is None else CacheEntry(copy, version, codec, as_type, checksum)

    def add(self, url: str, entry: CacheEntry | None) -> None:
        """Replace the entry of a url; None removes it."""
        with self._lock:
            self._remove(url)
            if entry is not None:
                self._entries[url] = entry
                self.size += entry.snapshot.size
                self._evict()

    def get(self, url: str, codec: Codec, as_type: Any, version: Version | None) -> Any:
        """Return the value that reading a file of this version would give; `MISS` when it is not cached."""
        entry = self.find(url, codec, as_type, version)
        return MISS if entry is None else entry.snapshot.get()

    def find(self, url: str, codec: Codec, as_type: Any, version: Version | None) -> CacheEntry | None:
        """Return the entry of a file of this version, None if it is not cached."""
        entry = self._entries.get(url)
        if entry is None or not entry.fits(version, codec, as_type):
            return None
        with self._lock:
            if self._entries.get(url) is entry:  # another thread may have removed it
                self._entries.move_to_end(url)
        return entry

    def set_limit(self, limit: int) -> None:
        """Change the limit, in bytes, and evict what no longer fits."""
        with self._lock:
            self.limit = limit
            self._evict()

    def discard(self, url: str) -> None:
        """Remove a value, if there is one."""
        with self._lock:
            self._remove(url)

    def _evict(self) -> None:
        while self.size > self.limit:
            self._remove(next(iter(self._entries)))

    def _remove(self, url: str) -> None:
        entry = self._entries.pop(url, None)
        if entry is not None:
            self.size -= entry.snapshot.size

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, url: str) -> bool:
        return url in self._entries


active_cache: ValueCache | None = None
"""The cache that targets use; None: every value is read."""

_limits: list[int] = []
_lock = threading.Lock()


@contextmanager
def caching_values(limit: int) -> Iterator[None]:
    """Cache values in this process, up to `limit` bytes, until the block ends; with 0 nothing changes.

    Builds in several threads, and builds inside tasks, share one cache. The largest of their limits applies, and the
    cache is cleared when the last of them ends.
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
    """Start without a cache in a forked process, where a lock may be held by a thread that does not exist there."""
    global active_cache, _lock
    active_cache, _lock = None, threading.Lock()


after_fork(_begin_in_child)
