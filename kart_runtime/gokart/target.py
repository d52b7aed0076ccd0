"""gokart's names of targets, and the base class of targets that a program writes itself."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Any

import luigi

from kart_runtime.gokart.conflict_prevention_lock.task_lock import TaskLockParams, make_task_lock_params
from kart_runtime.gokart.conflict_prevention_lock.task_lock_wrappers import (
    wrap_dump_with_lock,
    wrap_load_with_lock,
    wrap_remove_with_lock,
)
from kart_runtime.storage.codecs.large_frames import LargeDataFrameProcessor
from kart_runtime.storage.memory_target import InMemoryTarget
from kart_runtime.storage.target import OutputRecord, make_model_target, make_target
from kart_runtime.storage.target import Target as ModelTarget
from kart_runtime.storage.target import Target as SingleFileTarget

__all__ = [
    "LargeDataFrameProcessor",
    "ModelTarget",
    "SingleFileTarget",
    "TargetOnKart",
    "TaskLockParams",
    "make_model_target",
    "make_target",
    "make_task_lock_params",
]


class TargetOnKart(luigi.Target):
    """Base class of a target of one's own, for a value that is kept where no store reaches; all of kart's count as one.

    A subclass defines the methods whose names begin with an underscore. kart gives `_dump` the value; the other
    arguments, which gokart fills for labels, are None unless somebody calls `dump` with them.
    """

    @property
    def url(self) -> str:
        """Return the path, under the name that kart's targets give it."""
        return self._path()

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether the value is stored."""
        return self._exists()

    def load(self) -> Any:
        """Return the value."""
        return wrap_load_with_lock(self._load, self._get_task_lock_params())()

    def dump(
        self,
        obj: Any,
        lock_at_dump: bool = True,
        task_params: dict[str, str] | None = None,
        custom_labels: dict[str, str] | None = None,
        required_task_outputs: Any = None,
    ) -> OutputRecord:
        """Store a value.

        Parameters
        ----------
        obj
            The value.
        lock_at_dump
            Whether to store under the lock of `_get_task_lock_params`, and only if the value does not exist by then.
        task_params, custom_labels, required_task_outputs
            Passed to `_dump`.

        Returns
        -------
        OutputRecord
            The path; kart knows neither size nor checksum.
        """
        dump: Any = self._dump
        if lock_at_dump:
            dump = wrap_dump_with_lock(self._dump, self._get_task_lock_params(), self.exists)
        dump(
            obj=obj,
            task_params=task_params,
            custom_labels=custom_labels,
            required_task_outputs=required_task_outputs,
        )
        return OutputRecord(self._path(), 0, "")

    def remove(self) -> None:
        """Delete the value, if there is one."""
        if self.exists():
            wrap_remove_with_lock(self._remove, self._get_task_lock_params())()

    def last_modification_time(self) -> datetime:
        """Return when the value was stored."""
        return self._last_modification_time()

    def path(self) -> str:
        """Return the path, or another text that nothing else has."""
        return self._path()

    def _get_task_lock_params(self) -> TaskLockParams:
        """Return the lock of this target; none by default, because kart locks the task that writes it."""
        return make_task_lock_params(self._path(), None)

    @abstractmethod
    def _exists(self) -> bool: ...

    @abstractmethod
    def _load(self) -> Any: ...

    @abstractmethod
    def _dump(
        self,
        obj: Any,
        task_params: dict[str, str] | None = None,
        custom_labels: dict[str, str] | None = None,
        required_task_outputs: Any = None,
    ) -> None: ...

    @abstractmethod
    def _remove(self) -> None: ...

    @abstractmethod
    def _last_modification_time(self) -> datetime: ...

    @abstractmethod
    def _path(self) -> str: ...


TargetOnKart.register(SingleFileTarget)
TargetOnKart.register(InMemoryTarget)
