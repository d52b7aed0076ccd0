"""Where does a value lie that is not stored at all? In this process, under a key; it is gone when the process ends.

Made by users for tests, and for values that are cheaper to make than to write. Only the serial and thread executors
share the memory that these targets live in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import luigi

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.target import Stored


@dataclass(frozen=True)
class _Kept:
    value: Any
    stored: datetime


class InMemoryCacheRepository:
    """All values that are kept in the memory of this process; every instance shows the same ones."""

    _cache: ClassVar[dict[str, _Kept]] = {}

    def get_value(self, key: str) -> Any:
        """Return a value; `ObjectMissing` when there is none."""
        return self._found(key).value

    def get_last_modification_time(self, key: str) -> datetime:
        """Return when a value was stored, in local time; `ObjectMissing` when there is none."""
        return self._found(key).stored

    def _found(self, key: str) -> _Kept:
        found = self._cache.get(key)
        if found is None:
            raise ObjectMissing(key, "It is not in the memory of this process; run the task that makes it.")
        return found

    def set_value(self, key: str, obj: Any) -> None:
        """Store a value."""
        self._cache[key] = _Kept(obj, datetime.now())

    def has(self, key: str) -> bool:
        """Return whether there is a value."""
        return key in self._cache

    def remove(self, key: str) -> None:
        """Remove a value; `ObjectMissing` when there is none."""
        self._found(key)
        self._cache.pop(key, None)

    def empty(self) -> bool:
        """Return whether nothing is kept."""
        return not self._cache

    def clear(self) -> None:
        """Forget everything."""
        self._cache.clear()

    def get_gen(self) -> Iterator[tuple[str, Any]]:
        """Go through the keys and values."""
        for key, kept in list(self._cache.items()):
            yield key, kept.value

    @property
    def size(self) -> int:
        """Return how many values are kept."""
        return len(self._cache)


_repository = InMemoryCacheRepository()


class InMemoryTarget(luigi.Target):
    """A value in the memory of this process: the same object that was dumped, not a copy.

    Parameters
    ----------
    key
        The name of the value.
    """

    def __init__(self, key: str) -> None:
        self.url = key

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether the value is there."""
        return _repository.has(self.url)

    def load(self) -> Any:
        """Return the value; `ObjectMissing` when it is not there."""
        return _repository.get_value(self.url)

    def dump(self, value: Any) -> Stored:
        """Keep a value."""
        _repository.set_value(self.url, value)
        return Stored(self.url, 0, "")

    def remove(self) -> bool:
        """Forget the value; return whether there was one."""
        there = _repository.has(self.url)
        if there:
            _repository.remove(self.url)
        return there

    def last_modification_time(self) -> datetime:
        """Return when the value was stored, in local time."""
        return _repository.get_last_modification_time(self.url)

    def path(self) -> str:
        """Return the key."""
        return self.url

    def __repr__(self) -> str:
        return f"InMemoryTarget({self.url!r})"


def make_in_memory_target(target_key: str, task_lock_params: Any = None) -> InMemoryTarget:
    """Return the target of a key in the memory of this process.

    Parameters
    ----------
    target_key
        The name of the value.
    task_lock_params
        gokart's argument; there is nothing to lock, since no other process sees the value.

    Raises
    ------
    ValueError
        When a lock is asked for.
    """
    if getattr(task_lock_params, "should_task_lock", False):
        raise ValueError(f"'{target_key}' lies in the memory of this process, where redis has nothing to lock.")
    return InMemoryTarget(target_key)
