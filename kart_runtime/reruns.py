"""When has a task with `rerun` been run again? Once all its outputs have been written after somebody first asked.

Where our own attempt runs a task, that says so. Under luigi's worker a task may run in another process, which leaves no
trace but its outputs. Called by `task` and `luigi_bridge`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import luigi

from kart_runtime.structures import flat

CLOCK_TICK = 0.004
"""How far the times of files may lag behind the clock, in seconds: Linux takes the last tick for them."""


class WrittenSince:
    """True once every output of a task has been written after a time.

    Parameters
    ----------
    task
        The task.
    since
        The time, in seconds since the epoch.
    """

    def __init__(self, task: luigi.Task, since: float) -> None:
        self._task, self._since = task, datetime.fromtimestamp(since - CLOCK_TICK, UTC)

    def __bool__(self) -> bool:
        outputs = list(flat(self._task.output()))
        return bool(outputs) and all(target.exists() and self._is_new(target) for target in outputs)

    def _is_new(self, target: Any) -> bool:
        if not hasattr(target, "last_modification_time"):
            return True
        changed: datetime = target.last_modification_time()
        return changed.astimezone(UTC) >= self._since
