"""A store whose questions are counted, as if each crossed a network: urls like ``far://w/x.pkl``."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import contextmanager

from kart_runtime.storage.stores.memory import MemoryStore


class _File(io.BytesIO):
    def content(self):
        return self.getvalue()


class FarStore(MemoryStore):
    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def stat(self, key):
        self.asked["stat"] += 1
        return super().stat(key)

    def open(self, key):
        self.asked["open"] += 1
        return super().open(key)

    @contextmanager
    def write(self, key):
        self.asked["write"] += 1
        buffer = _File()
        yield buffer
        with self._lock:
            self._store(key, buffer.getvalue())
