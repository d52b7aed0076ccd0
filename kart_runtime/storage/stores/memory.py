"""Store in the memory of this process, for tests, and as the smallest complete example of a store."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.stores import Stat, Versioned
from kart_runtime.storage.workspace import as_folder


class _Object(NamedTuple):
    data: bytes
    version: str
    modified: float


class _Buffer(io.BytesIO):
    version = ""


class MemoryStore:
    """Objects of this process, under urls like ``memory://folder/x.pkl``; they end with it.

    Worker processes do not see them.
    """

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()
        self._versions = itertools.count(1)

    def stat(self, key: str) -> Stat | None:
        """Return size and time of an object, None if it does not exist."""
        stored = self._objects.get(key)
        return None if stored is None else Stat(key, len(stored.data), stored.modified, stored.version)

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading; raise `ObjectMissing` if it does not exist."""
        stored = self._objects.get(key)
        if stored is None:
            raise ObjectMissing(f"memory://{key}")
        return io.BytesIO(stored.data)

    @contextmanager
    def write(self, key: str) -> Iterator[BinaryIO]:
        """Open an object for writing; it appears, whole, when the block ends."""
        buffer = _Buffer()
        yield buffer
        with self._lock:
            buffer.version = self._store(key, buffer.getvalue())

    def delete(self, key: str) -> bool:
        """Delete an object; return whether it existed."""
        with self._lock:
            return self._objects.pop(key, None) is not None

    def list(self, prefix: str) -> Iterator[Stat]:
        """Iterate over the objects below a folder, sorted by key."""
        below = as_folder(prefix)
        for key in sorted(self._objects):
            if key.startswith(below):
                stat = self.stat(key)
                if stat is not None:
                    yield stat

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists, and return its version; None if it exists."""
        with self._lock:
            return None if key in self._objects else self._store(key, data)

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a version, and return the new one; None if it has another."""
        with self._lock:
            return self._store(key, data) if self._has(key, version) else None

    def read(self, key: str) -> Versioned | None:
        """Return an object with its version, None if it does not exist."""
        stored = self._objects.get(key)
        return None if stored is None else Versioned(stored.data, stored.version, time.time() - stored.modified)

    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has a version; return whether it was deleted."""
        with self._lock:
            return self._has(key, version) and self._objects.pop(key, None) is not None

    def _has(self, key: str, version: str) -> bool:
        stored = self._objects.get(key)
        return stored is not None and stored.version == version

    def _store(self, key: str, data: bytes) -> str:
        version = str(next(self._versions))
        self._objects[key] = _Object(data, version, time.time())
        return version
