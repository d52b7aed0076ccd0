"""Target whose value stays in the memory of this process, under a key, until the process ends.

For tests, and for values that are cheaper to compute than to write. It works with the serial and thread executors only,
because other processes do not share the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import luigi

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.target import OutputRecord


@dataclass(frozen=True)
class _Entry:
    value: Any
    modified: datetime


class InMemoryCacheRepository:
    """All values in the memory of this process; every instance gives access to the same ones."""

    _cache: ClassVar[dict[str, _Entry]] = {}

    def get_value(self, key: str) -> Any:
        """Return a value; raise `ObjectMissing` if there is none."""
        return self._entry(key).value

    def get_last_modification_time(self, key: str) -> datetime:
        """Return when a value was stored, in local time; raise `ObjectMissing` if there is none."""
        return self._entry(key).modified

    def _entry(self, key: str) -> _Entry:
        entry = self._cache.get(key)
        if entry is None:
            raise ObjectMissing(key, "It is not in the memory of this process. Run the task that produces it.")
        return entry

    def set_value(self, key: str, obj: Any) -> None:
        """Store a value."""
        self._cache[key] = _Entry(obj, datetime.now())

    def has(self, key: str) -> bool:
        """Return whether there is a value."""
        return key in self._cache

    def remove(self, key: str) -> None:
        """Remove a value; raise `ObjectMissing` if there is none."""
        self._entry(key)
        self._cache.pop(key, None)

    def empty(self) -> bool:
        """Return whether there are no values."""
        return not self._cache

    def clear(self) -> None:
        """Remove all values."""
        self._cache.clear()

    def get_gen(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the keys and values."""
        for key, entry in list(self._cache.items()):
            yield key, entry.value

    @property
    def size(self) -> int:
        """Return the number of values."""
        return len(self._cache)


_repository = InMemoryCacheRepository()


class InMemoryTarget(luigi.Target):
    """Value in the memory of this process: `load` returns the object that was dumped, not a copy.

    Parameters
    ----------
    key
        Name of the value.
    """

    def __init__(self, key: str) -> None:
        self.url = key

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether there is a value."""
        return _repository.has(self.url)

    def load(self) -> Any:
        """Return the value; raise `ObjectMissing` if there is none."""
        return _repository.get_value(self.url)

    def dump(self, value: Any) -> OutputRecord:
        """Store a value."""
        _repository.set_value(self.url, value)
        return OutputRecord(self.url, 0, "")

    def remove(self) -> bool:
        """Remove the value; return whether there was one."""
        exists = self.exists()
        if exists:
            _repository.remove(self.url)
        return exists

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
        Name of the value.
    task_lock_params
        An argument of gokart's. There is nothing to lock, because no other process has access to the value.

    Raises
    ------
    ValueError
        If it requests a lock.
    """
    if getattr(task_lock_params, "should_task_lock", False):
        raise ValueError(
            f"'{target_key}' is in the memory of this process, so there is nothing to lock. Drop task_lock_params."
        )
    return InMemoryTarget(target_key)
