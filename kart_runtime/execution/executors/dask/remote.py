"""Functions and plugins that a scheduler or worker receives as code, because kart may be missing there.

A scheduler unpickles what passes through it, and a worker that cannot unpickle a plugin does not start. So each of
these is defined inside a function, which makes pickle send its code, and imports only the standard library and
`distributed`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kart_runtime.execution.executors.calls import Answer

PREFIX = "kart:"
"""Start of the keys of our calls on the scheduler."""

UNFIT = "unfit"
"""Tag of the answer of a worker that has no kart, or another version."""

Check = Callable[[], Coroutine[Any, Any, tuple[str | None, list[str]]]]


def make_kill() -> Callable[..., None]:
    """Return a function that kills the worker of the nanny that runs it."""

    def kill(dask_worker: Any) -> None:
        import os
        import signal

        if dask_worker.pid:
            os.kill(dask_worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    return kill


def make_version() -> Callable[[], str | None]:
    """Return a function that returns the version of kart where it is called; None without kart."""

    def find_version() -> str | None:
        from importlib.metadata import PackageNotFoundError, version
        from importlib.util import find_spec

        if find_spec("kart_runtime") is None:
            return None
        try:
            return version("kart-runtime")
        except PackageNotFoundError:  # a checkout on the path
            return "not installed"

    return find_version


def make_call(version: str | None, entry: str) -> Callable[[bytes], Answer]:
    """Return the function of every Dask task: `serve` of the module `entry`, if that has this `version` of kart."""

    def run_call(message: bytes) -> Answer:
        from contextlib import suppress
        from importlib import import_module

        from distributed import get_worker

        worker = get_worker()
        module: Any = None
        with suppress(ImportError):
            module = import_module(entry)
        found = getattr(module, "VERSION", None)
        if found != version:
            return UNFIT, (found or "").encode(), str(worker.address)
        answer: Answer = module.serve(worker, message)
        return answer

    return run_call


def make_check(marks: Sequence[str]) -> Check:
    """Return a function that returns a worker's version of kart, and which of the files it does not see."""
    find_version = make_version()

    async def check() -> tuple[str | None, list[str]]:
        """Return the version, and the files that are missing."""
        import asyncio
        import os

        missing = list(marks)
        for _ in range(10):  # a network's disk may show a new file late
            missing = [mark for mark in missing if not os.path.exists(mark)]  # noqa: PTH110
            if not missing:
                break
            await asyncio.sleep(0.2)
        return find_version(), missing

    return check


def make_ages() -> Callable[..., dict[str, float]]:
    """Return a function that returns, on the scheduler, the seconds since each worker's last sign of life."""

    def find_ages(dask_scheduler: Any) -> dict[str, float]:
        from time import time

        return {worker.address: time() - worker.last_seen for worker in dask_scheduler.workers.values()}

    return find_ages


def make_state_plugin(**content: Any) -> Any:
    """Return a plugin that holds its arguments as attributes on every worker, including those that join later."""
    from distributed.diagnostics.plugin import WorkerPlugin

    class KartState(WorkerPlugin):
        """Holder of a build's state."""

        def __init__(self, content: dict[str, Any]) -> None:
            self.__dict__.update(content)

    return KartState(content)


def make_death_counter(prefix: str, deaths: int, handler: str) -> Any:  # noqa: C901 - the sum of nested methods
    """Return a scheduler plugin that fails a call when `deaths` workers have died while running it.

    The scheduler counts, for each task, workers that ended while they had it (`TaskState.suspicious`), and fails the
    task when there are more than its `allowed-failures`. That number is the cluster's, and a task that only waited
    behind another one is counted, too. So a call's count begins at what leaves it `deaths` from there. The first death
    counts for every call that the worker had, and marks them by an annotation: workers call `handler` on the scheduler
    before they run a marked call. Its count is one lower until then, so that other deaths do not change it.
    """
    from distributed.diagnostics.plugin import SchedulerPlugin

    class KartDeathCounter(SchedulerPlugin):
        """Counts of workers that died, by call."""

        idempotent = True  # every build registers it, and it counts for all

        def __init__(self) -> None:
            self.waiting: dict[str, int] = {}
            """Key to the count of its call while it waits."""
            self.marked: set[str] = set()
            self.started: set[str] = set()

        async def start(self, scheduler: Any) -> None:
            """Register the handler."""
            self.scheduler = scheduler
            scheduler.handlers[handler] = self.call_started

        def update_graph(self, scheduler: Any, *, tasks: Sequence[Any] = (), **_: Any) -> None:
            """Set the first count of new calls."""
            for key in tasks:
                if isinstance(key, str) and key.startswith(prefix) and key not in self.waiting:
                    self.waiting[key] = scheduler.allowed_failures - deaths
                    scheduler.tasks[key].suspicious = self.waiting[key]

        async def call_started(self, key: str, worker: str) -> None:
            """Raise the count of a call while it runs, if the scheduler still has it on that worker."""
            task = self.scheduler.tasks.get(key)
            if key in self.waiting and key not in self.started and task is not None:
                on = task.processing_on
                if on is not None and on.address == worker:
                    task.suspicious = self.waiting[key] + 1
                    self.started.add(key)

        def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
            """Settle the count of a call that has left its worker."""
            if key not in self.waiting:
                return
            if finish == "forgotten":
                del self.waiting[key]
                self.marked.discard(key)
                self.started.discard(key)
            elif start == "processing":
                self.left_worker(key, self.scheduler.tasks[key])

        def left_worker(self, key: str, task: Any) -> None:
            """Lower the count of a call that ran, mark one that a worker has died with, and undo other counts."""
            if key in self.started:
                self.started.discard(key)
                self.waiting[key] = task.suspicious - 1
            elif key not in self.marked and task.suspicious > self.waiting[key]:
                self.marked.add(key)
                self.waiting[key] = task.suspicious
                task.annotations = {**(task.annotations or {}), handler: True}
            task.suspicious = self.waiting[key]

    return KartDeathCounter()
