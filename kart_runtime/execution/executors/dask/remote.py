"""What has to work where kart may be missing? The functions and plugins of this module, which are sent as code.

A scheduler unpickles what passes through it, and a worker that cannot unpickle a plugin does not start. So each of
these is defined inside a function, which makes pickle send its code, and uses the standard library and `distributed`
alone. Called by `dask_cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

PREFIX = "kart:"
"""What the keys of attempts begin with, on the scheduler."""

UNFIT = "unfit"
"""The tag of an answer of a worker that has no kart, or another one; the rest is as in `worker`."""

Answer = tuple[str, bytes, str]
Look = Callable[[], Coroutine[Any, Any, tuple[str | None, list[str]]]]

BEGAN = "kart_began"
"""What a worker calls on the scheduler before it runs an attempt; `make_referee` answers."""


def make_version() -> Callable[[], str | None]:
    """Return a function that says which kart there is where it is called: None when there is none."""

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


def make_call(wanted: str | None) -> Callable[[bytes], Answer]:
    """Return what a worker is to do with a parcel: hand it to its own kart, if that is the same.

    Parameters
    ----------
    wanted
        The version of kart here.
    """
    find_version = make_version()

    def run_attempt(parcel: bytes) -> Answer:
        from importlib import import_module

        from distributed import get_worker

        worker = get_worker()
        found = find_version()
        if found != wanted:
            return UNFIT, found.encode() if found else b"", str(worker.address)
        answer: Answer = import_module("kart_runtime.execution.executors.dask.worker").serve(worker, parcel)
        return answer

    return run_attempt


def make_look(marks: Sequence[str]) -> Look:
    """Return what a worker is asked before anything runs: its kart, and which files it does not see.

    Parameters
    ----------
    marks
        The files.
    """
    find_version = make_version()

    async def look() -> tuple[str | None, list[str]]:
        """Return the version of kart, and the files that are not seen."""
        import asyncio
        import os

        missing = list(marks)
        for _ in range(10):  # a network's disk may show a new file late
            missing = [mark for mark in missing if not os.path.exists(mark)]  # noqa: PTH110
            if not missing:
                break
            await asyncio.sleep(0.2)
        return find_version(), missing

    return look


def make_part(**content: Any) -> Any:
    """Return a plugin that keeps something on every worker, also on those that come later.

    Parameters
    ----------
    content
        What it keeps, as its attributes.
    """
    from distributed.diagnostics.plugin import WorkerPlugin

    class KartPart(WorkerPlugin):
        """What a worker keeps, as attributes."""

        def __init__(self, content: dict[str, Any]) -> None:
            self.__dict__.update(content)

    return KartPart(content)


def make_referee(prefix: str, deaths: int) -> Any:  # noqa: C901 - the sum of the methods, which cannot stand elsewhere
    """Return a plugin by which the scheduler gives an attempt up when enough workers have died of it.

    The scheduler counts, for each task, workers that ended while they had it (`TaskState.suspicious`), and gives the
    task up when there are more than its `allowed-failures`. That number is the cluster's, and a task that only waited
    behind another one is counted, too. So an attempt's count begins at what leaves it `deaths` from there, and is one
    lower as long as the attempt waits; the death of a worker does not change the count of those that had not begun.

    Parameters
    ----------
    prefix
        What the keys of attempts begin with.
    deaths
        The death at which an attempt is given up.
    """
    from distributed.diagnostics.plugin import SchedulerPlugin

    class KartReferee(SchedulerPlugin):
        """Keeps the counts."""

        idempotent = True  # it is asked for by every build, and keeps the counts of all

        def __init__(self) -> None:
            self.waiting: dict[str, int] = {}
            """Attempt to its count while it waits."""
            self.begun: set[str] = set()

        async def start(self, scheduler: Any) -> None:
            """Have workers heard when an attempt begins."""
            self.scheduler = scheduler
            scheduler.handlers[BEGAN] = self.began

        def update_graph(self, scheduler: Any, *, tasks: Sequence[Any] = (), **_: Any) -> None:
            """Give new attempts their first count."""
            for key in tasks:
                if isinstance(key, str) and key.startswith(prefix) and key not in self.waiting:
                    self.waiting[key] = scheduler.allowed_failures - deaths
                    scheduler.tasks[key].suspicious = self.waiting[key]

        async def began(self, key: str, worker: str) -> None:
            """Count an attempt as one that runs, if the scheduler still has it on that worker."""
            task = self.scheduler.tasks.get(key)
            if key in self.waiting and key not in self.begun and task is not None:
                on = task.processing_on
                if on is not None and on.address == worker:
                    task.suspicious = self.waiting[key] + 1
                    self.begun.add(key)

        def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
            """Count an attempt that is on no worker any more as one that waits."""
            if key not in self.waiting:
                return
            if finish == "forgotten":
                del self.waiting[key]
                self.begun.discard(key)
            elif start == "processing":
                task = self.scheduler.tasks[key]
                if key in self.begun:
                    self.begun.discard(key)
                    self.waiting[key] = task.suspicious - 1
                task.suspicious = self.waiting[key]

    return KartReferee()
