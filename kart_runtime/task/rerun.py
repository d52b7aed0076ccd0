"""Detection that a task with `rerun` has run again: each of its outputs has been rewritten.

kart's own attempts record it on the task. Under luigi's worker a task may run in another process, which leaves no trace
but its outputs.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import luigi

from kart_runtime.storage.target import path_of
from kart_runtime.task.nested import iter_flat


class OutputsRewritten:
    """True once every output of a task exists and was written after this object was made.

    The times of the outputs are compared with each other and not with the clock, behind which those of files may lag by
    some milliseconds.
    """

    def __init__(self, task: luigi.Task) -> None:
        self._task = task
        self._before = _times(task)

    def __bool__(self) -> bool:
        now = _times(self._task)
        return all(time is not None and time != self._before.get(path) for path, time in now.items())


def _times(task: luigi.Task) -> dict[str, datetime | int | None]:
    return {path_of(target): _time(target) for target in iter_flat(task.output())}


def _time(target: Any) -> datetime | int | None:
    """Return when an output was written; None when it does not exist."""
    try:
        if not target.exists():
            return None
        if hasattr(target, "last_modification_time"):
            time: datetime = target.last_modification_time()
            return time
        return os.stat(path_of(target)).st_mtime_ns  # noqa: PTH116 - a target of luigi's, which does not say
    except FileNotFoundError:  # removed between the two questions
        return None
