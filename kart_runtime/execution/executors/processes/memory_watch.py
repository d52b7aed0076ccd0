"""Watch over the memory of a worker process while it runs a call that has a limit.

The program watches, since a thread of the worker would have to wait for compiled code that fills memory. A limit of the
operating system is not used: it counts addresses that libraries only reserve (decision 63).
"""

from __future__ import annotations

import time

from kart_runtime.errors import ExecutorError
from kart_runtime.execution.executors.base import CallLimits
from kart_runtime.execution.executors.processes.process import WorkerProcess
from kart_runtime.execution.memory import GB, MB, kill_rest, process_tree, shared_bytes, used_bytes

WATCH_SECONDS = 0.05
"""How often to look. Memory is filled at 2 to 4 GB/s, so a task may go beyond its limit by about 0.2 GB."""

_TREE_SECONDS = 0.5
"""How often to look for new child processes."""

_GRACE_SECONDS = 1.0
"""How long a call may take to release its locks when it has used too much."""

_BEYOND = 1.25
"""Part of the limit from which on there is no such time."""

_PART_OF_WORKER = 0.25
"""Part of the limit that a worker may hold, from earlier calls, when it is given a call with a limit."""


class MemoryExceeded(ExecutorError, RuntimeError):
    """A task used more memory than its class allows, and was ended.

    Parameters
    ----------
    task
        The task, as text.
    memory_gb
        The limit.
    peak_gb
        The most that its process and those that it started were seen to hold.
    """

    def __init__(self, task: str, memory_gb: float, peak_gb: float) -> None:
        self.task, self.memory_gb, self.peak_gb = task, memory_gb, peak_gb
        super().__init__(
            f"{task} used more than memory_gb = {memory_gb:g} (peak {peak_gb:.3g} GB) and was ended. Raise memory_gb "
            "of its class, or let it hold less at once."
        )


class MemoryWatch:
    """Watch over one call of a worker."""

    def __init__(self, worker: WorkerProcess, limits: CallLimits, memory_gb: float) -> None:
        self._worker, self._limits, self._memory_gb = worker, limits, memory_gb
        self._tree: dict[int, int] = {}
        self._tree_until = 0.0

    def pause(self) -> float:
        """Return the seconds until the next look."""
        return WATCH_SECONDS

    def started(self, thread: int) -> None:
        """Do nothing: the memory counts from the beginning."""

    def check(self) -> None:
        """Look once; end the worker and what it has started, and raise `MemoryExceeded`, if they hold too much."""
        if self._used() <= self._memory_gb * GB:
            return
        self._worker.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while self._worker.is_running() and time.monotonic() < deadline:
            if self._used() > self._memory_gb * GB * _BEYOND:
                break
            time.sleep(WATCH_SECONDS / 5)
        self._worker.kill()
        self._worker.exit_code(_GRACE_SECONDS)
        kill_rest(self._tree)
        raise MemoryExceeded(self._limits.name, self._memory_gb, self._limits.peak_mb * MB / GB)

    def _used(self) -> int:
        now = time.monotonic()
        if now >= self._tree_until:
            self._tree, self._tree_until = {**self._tree, **process_tree(self._worker.pid)}, now + _TREE_SECONDS
        used = used_bytes(self._tree)
        if used > self._memory_gb * GB:
            used = shared_bytes(self._tree)
        self._limits.peak_mb = max(self._limits.peak_mb, used / MB)
        return used


def suits(worker: WorkerProcess, limits: CallLimits | None) -> bool:
    """Return whether an idle worker may have a call: with its GPUs, and without much memory of earlier calls."""
    gpus = None if limits is None else limits.gpus
    if not worker.is_new and worker.gpus != gpus:
        return False
    if worker.is_new or limits is None or limits.memory_gb is None:
        return True
    return used_bytes({worker.pid: 0}) <= limits.memory_gb * GB * _PART_OF_WORKER
