"""Which worker processes wait for the next build? A few of the last one, so that it starts at once.

Called by `processes`. Process-wide: builds of several threads take from one shelf. Ended when the program ends;
forgotten in a fork of the program, which must not speak to them.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence

from kart_runtime.execution.executors.processes.process import Specs, Worker, loaded_specs, outputs

_END_SECONDS = 2.0
"""How long workers have to end in order when the program ends."""


class _Shelf:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.lock = threading.Lock()
        self.workers: list[Worker] = []
        self.most = 0
        self.all: weakref.WeakSet[Worker] = weakref.WeakSet()


_shelf = _Shelf()


def take(number: int) -> list[Worker]:
    """Return kept workers, up to a number; they have the code that the program has.

    Parameters
    ----------
    number
        How many are wanted.
    """
    specs = loaded_specs()
    with _shelf.lock:
        _shelf.most = max(_shelf.most, number)
        kept, _shelf.workers = _shelf.workers, []
        usable = [worker for worker in kept if worker.is_silent() and not _is_stale(worker, specs)]
        # The ones used last have loaded most.
        taken, _shelf.workers = usable[-number:], usable[:-number]
    end([worker for worker in kept if worker not in usable])
    return taken


def launch() -> Worker:
    """Start a worker."""
    worker = Worker(loaded_specs())
    _shelf.all.add(worker)
    return worker


def give_back(workers: Iterable[Worker]) -> None:
    """Keep idle workers for the next build; those that are too many end.

    Parameters
    ----------
    workers
        Workers that nothing runs in.
    """
    specs = loaded_specs()
    with _shelf.lock:
        for worker in workers:
            # What was imported in the meantime may be loaded there, too.
            worker.specs = {**specs, **worker.specs}
            _shelf.workers.append(worker)
        surplus, _shelf.workers = _shelf.workers[: -_shelf.most], _shelf.workers[-_shelf.most :]
    end(surplus)


def forget_kept_workers() -> None:
    """End the workers that wait for the next build; it starts fresh ones, which load all modules again."""
    with _shelf.lock:
        workers, _shelf.workers = _shelf.workers, []
    end(workers)


def end(workers: Sequence[Worker]) -> None:
    """End workers in order, or after a while by force.

    Parameters
    ----------
    workers
        Idle ones; one that works is ended in the middle of it.
    """
    for worker in workers:
        worker.hang_up()
    deadline = time.monotonic() + _END_SECONDS
    for worker in workers:
        worker.exit_code(max(deadline - time.monotonic(), 0.0))


def _is_stale(worker: Worker, specs: Specs) -> bool:
    """Return whether a worker has older code than the program, or writes where that did before."""
    if worker.outputs != outputs():
        return True
    return any(specs.get(name, spec) is not spec for name, spec in worker.specs.items())


def _end_all() -> None:
    end(list(_shelf.all))


def _forget_in_fork() -> None:
    # With the copies of the connections open here, a worker would not see that the program has ended.
    for worker in list(_shelf.all):
        worker.hang_up()
    _abandoned.extend(_shelf.workers)
    _shelf.clear()  # also its lock, which may be held by a thread that does not exist here


_abandoned: list[Worker] = []
"""In a fork: processes that are not its children, kept so that nobody waits for them."""

atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_in_fork)
