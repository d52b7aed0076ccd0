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
from kart_runtime.storage.target import OutputRecord, with_id


@dataclass(frozen=True)
class _Entry:
    value: Any
    modified: datetime


class NotInMemory(ObjectMissing, KeyError, AssertionError, ValueError):
    """There is no value under this key; gokart raises one or the other of these, depending on the method.

    Parameters
    ----------
    key
        Name of the value.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key, "It is not in the memory of this process. Run the task that produces it.")


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
            raise NotInMemory(key)
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
    data_key
        Name of the value.
    task_lock_param
        An argument of gokart's, as for `make_in_memory_target`.

    Raises
    ------
    ValueError
        If it requests a lock.
    """

    def __init__(self, data_key: str, task_lock_param: Any = None) -> None:
        if getattr(task_lock_param, "should_task_lock", False):
            raise ValueError(
                f"'{data_key}' is in the memory of this process, so there is nothing to lock. Drop task_lock_params."
            )
        self.url = data_key

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether there is a value."""
        return _repository.has(self.url)

    def load(self) -> Any:
        """Return the value; raise `ObjectMissing` if there is none."""
        return _repository.get_value(self.url)

    def dump(
        self,
        obj: Any,
        lock_at_dump: bool = True,  # noqa: ARG002 - gokart's form
        task_params: Any = None,  # noqa: ARG002
        custom_labels: Any = None,  # noqa: ARG002
        required_task_outputs: Any = None,  # noqa: ARG002
    ) -> OutputRecord:
        """Store a value; the other arguments are gokart's, and have no effect."""
        _repository.set_value(self.url, obj)
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


def make_in_memory_target(
    target_key: str, task_lock_params: Any = None, unique_id: str | None = None
) -> InMemoryTarget:
    """Return the target of a key in the memory of this process.

    Parameters
    ----------
    target_key
        Name of the value.
    task_lock_params
        An argument of gokart's. There is nothing to lock, because no other process has access to the value.
    unique_id
        Id of the task, which becomes a part of the name, as in gokart's manual.

    Raises
    ------
    ValueError
        If `task_lock_params` requests a lock.
    """
    return InMemoryTarget(with_id(target_key, unique_id) if unique_id else target_key, task_lock_params)
