"""Choice of executors: the one of a build, and those that single tasks request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from types import TracebackType
from typing import Self

import luigi

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.execution.executors.base import TaskExecutor
from kart_runtime.execution.executors.serial import SerialExecutor
from kart_runtime.execution.executors.threads import ThreadExecutor

KINDS = ("serial", "threads", "processes", "dask")


def make_executor(kind: str | None, workers: int | None = None, address: str | None = None) -> TaskExecutor:
    """Return the executor of a kind, or raise `ConfigError` where it cannot have that many workers, or that address.

    Without a kind: dask if there is an address, else serial for one worker, processes for more, as gokart's users
    expect. Without a number of workers: 1, or as many calls as a cluster can run.
    """
    kind = _resolve_kind(kind, workers, address)
    executor: TaskExecutor
    if kind == "threads":
        return ThreadExecutor(workers or 1)
    if kind == "processes":
        executor = import_module("kart_runtime.execution.executors.processes.pool").ProcessExecutor(workers or 1)
        return executor
    if kind == "dask":
        executor = import_module("kart_runtime.execution.executors.dask.executor").DaskExecutor(address)
        return executor
    return SerialExecutor()


def requested_executor(cls: type) -> str | None:
    """Return the executor that a task class requests by its attribute `executor`, unless that is a parameter."""
    requested = getattr(cls, "executor", None)
    return requested if isinstance(requested, str) else None


class Executors:
    """The executors of one build: its own, and those that single tasks request. Each is created when first needed.

    Leaving the ``with`` block waits for running calls; on Ctrl-C it ends worker processes, and waits for no thread or
    cluster. `kind` is the build's own executor, `workers` the number of attempts that may run at once, and `on_cluster`
    whether they run on a cluster, and not in this program or its worker processes.
    """

    def __init__(self, kind: str | None, workers: int | None = None, address: str | None = None) -> None:
        self.kind = _resolve_kind(kind, workers, address)
        self.on_cluster = self.kind == "dask"
        self.workers = workers or (sys.maxsize if self.on_cluster else 1)
        self._address = address
        # Beside a cluster, nothing else says how many attempts may run in this program.
        self._local_workers = workers or (os.cpu_count() or 1 if self.on_cluster else 1)
        self._executors: dict[str, TaskExecutor] = {}

    def open(self, tasks: Iterable[luigi.Task]) -> None:
        """Check, before anything runs, that the build's own executor can run its tasks, or raise `ConfigError`."""
        own = [task for task in tasks if requested_executor(type(task)) in {None, self.kind}]
        if own:
            workspaces = {getattr(task, "workspace_directory", None) for task in own}
            self.get(None).open({type(task) for task in own}, {path for path in workspaces if isinstance(path, str)})

    def check_requested(self, cls: type[luigi.Task]) -> None:
        """Raise `ConfigError` for a task class that requests an executor that this build does not have."""
        requested = requested_executor(cls)
        if requested is None:
            return
        key = f"{cls.get_task_family()}.executor"
        _check_kind(requested, key)
        if requested == "dask" and self.kind != "dask":
            raise ConfigError("this build has no Dask cluster", key=key, expected="a build with executor 'dask'")

    def get(self, requested: str | None) -> TaskExecutor:
        """Return the executor that a task requests; None: the build's own. "serial" is the thread that submits."""
        kind = self.kind if requested is None else requested
        executor = self._executors.get(kind)
        if executor is None:
            _check_kind(kind, "executor")
            address = self._address if kind == "dask" else None
            executor = make_executor(kind, 1 if kind == "serial" else self._local_workers, address)
            self._executors[kind] = executor
        return executor

    def close(self, kill: bool = False) -> None:
        """Close all executors and wait for running calls.

        `kill` ends the calls in worker processes, drops those that have not started, and waits for no others.
        """
        for executor in self._executors.values():
            executor.close(kill)

    def stop(self) -> None:
        """End the calls that can be ended: those in worker processes, and those that wait on a cluster."""
        for executor in self._executors.values():
            if not executor.runs_here:
                executor.close(kill=True)

    def kill(self) -> None:
        """End the worker processes at once, in the middle of their calls."""
        for executor in self._executors.values():
            executor.kill()

    def give_up(self, future: object) -> None:
        """Wait no longer for a call in a thread of this process."""
        for executor in self._executors.values():
            if isinstance(executor, SerialExecutor):
                executor.in_thread().give_up(future)
            elif isinstance(executor, ThreadExecutor):
                executor.give_up(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None and not issubclass(kind, Exception))


def _resolve_kind(kind: str | None, workers: int | None, address: str | None) -> str:
    """Return the kind, if it can have that many workers, and that address."""
    if kind is None:
        kind = "dask" if address is not None else "serial" if workers in {None, 1} else "processes"
    _check_kind(kind, "run.executor")
    if workers is not None and (workers < 1 or (kind == "serial" and workers != 1)):
        expected = "1" if kind == "serial" else "at least 1"
        raise ConfigError(f"the {kind} executor cannot have {workers} workers", key="run.workers", expected=expected)
    if address is not None and kind != "dask":
        raise ConfigError(
            f"the {kind} executor has no address", key="run.address", expected="no address, or run.executor 'dask'"
        )
    return kind


def _check_kind(kind: str, key: str) -> None:
    if kind not in KINDS:
        raise ConfigError(
            f"unknown executor '{kind}'", key=key, expected=", ".join(KINDS), suggestion=closest_match(str(kind), KINDS)
        )
