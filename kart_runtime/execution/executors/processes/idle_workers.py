"""Worker processes that wait for the next build, so that it starts at once.

One pool for the whole program: builds of several threads share it. The workers end when the program ends; a fork of the
program forgets them, because it must not use their connections.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Iterable, Sequence

from kart_runtime.execution.executors.processes.process import Specs, WorkerProcess, loaded_specs, standard_streams
from kart_runtime.storage.system import after_fork

_EXIT_SECONDS = 2.0
"""How long workers may take to end by themselves."""


class _IdlePool:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.lock = threading.Lock()
        self.workers: list[WorkerProcess] = []
        self.size = 0
        self.all: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


_pool = _IdlePool()


def acquire(number: int) -> list[WorkerProcess]:
    """Return up to `number` idle workers; they have the code that the program has."""
    specs = loaded_specs()
    with _pool.lock:
        _pool.size = max(_pool.size, number)
        workers, _pool.workers = _pool.workers, []
        running = without_stopped(workers)
        usable = [worker for worker in running if worker.is_idle() and not _is_stale(worker, specs)]
        # The last ones were used last, and have loaded most.
        acquired, _pool.workers = usable[-number:], usable[:-number]
    end([worker for worker in running if worker not in usable])
    return acquired


def without_stopped(workers: Sequence[WorkerProcess], seconds: float = 0.0) -> list[WorkerProcess]:
    """Return idle workers; kill those of them that were stopped, if they had no call for some seconds.

    A stopped one would never read its call.
    """
    now = time.monotonic()
    stopped = [worker for worker in workers if now - worker.idle_since >= seconds and worker.is_stopped()]
    for worker in stopped:
        worker.kill()
        worker.disconnect()
        worker.exit_code(_EXIT_SECONDS)
    return [worker for worker in workers if worker not in stopped] if stopped else list(workers)


def start_worker() -> WorkerProcess:
    """Start a worker."""
    worker = WorkerProcess(loaded_specs())
    _pool.all.add(worker)
    return worker


def release(workers: Iterable[WorkerProcess]) -> None:
    """Retain idle workers for the next build; end those that are more than any build has asked for."""
    specs = loaded_specs()
    with _pool.lock:
        for worker in workers:
            # The worker may have loaded what the program has imported in the meantime.
            worker.specs = {**specs, **worker.specs}
            _pool.workers.append(worker)
        surplus, _pool.workers = _pool.workers[: -_pool.size], _pool.workers[-_pool.size :]
    end(surplus)


def shutdown_idle_workers() -> None:
    """End the workers that wait for the next build; it starts new ones, which load all modules again."""
    with _pool.lock:
        workers, _pool.workers = _pool.workers, []
    end(workers)


def end(workers: Sequence[WorkerProcess]) -> None:
    """End workers: idle ones at once, others in the middle of their call after a while."""
    for worker in workers:
        worker.disconnect()
    deadline = time.monotonic() + _EXIT_SECONDS
    for worker in workers:
        worker.exit_code(max(deadline - time.monotonic(), 0.0))


def _is_stale(worker: WorkerProcess, specs: Specs) -> bool:
    """Return whether a worker has older code than the program, or writes where the program wrote before."""
    if worker.streams != standard_streams():
        return True
    return any(specs.get(name, spec) is not spec for name, spec in worker.specs.items())


def _end_all() -> None:
    end(list(_pool.all))


def _forget_in_fork() -> None:
    # With copies of the connections open here, a worker would not see that the program has ended.
    for worker in list(_pool.all):
        worker.disconnect()
    _not_children.extend(_pool.workers)
    _pool.clear()  # also its lock, which may be held by a thread that does not exist here


_not_children: list[WorkerProcess] = []
"""In a fork: processes that are not its children, referenced so that nobody waits for them."""

atexit.register(_end_all)
after_fork(_forget_in_fork)
