"""Which executor does a build use? The one asked for by name, and others for tasks that ask for another one.

Called by `builder` and, for the names, by `project`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import luigi

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.execution.executors.base import TaskExecutor
from kart_runtime.execution.executors.serial import SerialExecutor

if TYPE_CHECKING:
    from kart_runtime.execution.executors.dask.executor import DaskExecutor

KINDS = ("serial", "threads", "processes", "dask")


class ThreadExecutor(ThreadPoolExecutor, TaskExecutor):
    """Runs calls in threads. A running call cannot be ended from outside, not even by Ctrl-C."""


def make_executor(kind: str | None, workers: int | None = None, address: str | None = None) -> TaskExecutor:
    """Return the executor of a kind.

    Parameters
    ----------
    kind
        "serial", "threads", "processes" or "dask". None: dask where there is an address, else serial for one worker,
        processes for more, as gokart's users expect.
    workers
        How many attempts run at once. None: 1; on a cluster, what the cluster can.
    address
        Of the scheduler of a Dask cluster.

    Raises
    ------
    ConfigError
        For another kind, and for a number of workers or an address that the kind cannot have.
    """
    kind = _acceptable(kind, workers, address)
    made: TaskExecutor
    if kind == "threads":
        return ThreadExecutor(workers or 1, thread_name_prefix="kart")
    if kind == "processes":
        made = import_module("kart_runtime.execution.executors.processes.pool").ProcessExecutor(workers or 1)
        return made
    if kind == "dask":
        made = import_module("kart_runtime.execution.executors.dask.executor").DaskExecutor(address)
        return made
    return SerialExecutor()


def requested_executor(cls: type) -> str | None:
    """Return what a task class asks for by its attribute `executor`; a parameter of that name is the user's own.

    Parameters
    ----------
    cls
        The class.
    """
    hint = getattr(cls, "executor", None)
    return hint if isinstance(hint, str) else None


class Executors:
    """The executors of one build: its own, and those that single tasks ask for. Each is made when it is first needed.

    Leaving the ``with`` block waits for what runs; on Ctrl-C it ends worker processes, and does not wait for threads or
    a cluster.

    Parameters
    ----------
    kind, workers, address
        As for `make_executor`.

    Attributes
    ----------
    kind
        The name of the build's own executor.
    workers
        How many attempts the build may have under way at once.
    on_cluster
        Whether attempts run on a cluster, and not in this program or its worker processes.

    Raises
    ------
    ConfigError
        As for `make_executor`.
    """

    def __init__(self, kind: str | None, workers: int | None = None, address: str | None = None) -> None:
        self.kind = _acceptable(kind, workers, address)
        self.on_cluster = self.kind == "dask"
        self.workers = workers or (sys.maxsize if self.on_cluster else 1)
        self._address = address
        # What runs in this program, beside a cluster, has nobody else's number.
        self._here = workers or (os.cpu_count() or 1 if self.on_cluster else 1)
        self._made: dict[str, TaskExecutor] = {}

    def open(self, tasks: Iterable[luigi.Task]) -> None:
        """Find out, before anything runs, that tasks can run where they are to run; only a cluster may be unfit.

        Parameters
        ----------
        tasks
            Those that will run, as far as they are known.

        Raises
        ------
        ConfigError
            When there is no cluster, or it is not fit for these tasks.
        """
        if self.kind != "dask":
            return
        away = [task for task in tasks if requested_executor(type(task)) in {None, "dask"}]
        if away:
            workspaces = {getattr(task, "workspace_directory", None) for task in away}
            executor = cast("DaskExecutor", self.get(None))
            executor.open({type(task) for task in away}, {one for one in workspaces if isinstance(one, str)})

    def check_hint(self, cls: type[luigi.Task]) -> None:
        """Refuse a task class that asks for an executor that this build does not have.

        Parameters
        ----------
        cls
            The class.

        Raises
        ------
        ConfigError
            Naming the class.
        """
        hint = requested_executor(cls)
        if hint is None:
            return
        key = f"{cls.get_task_family()}.executor"
        _checked(hint, key)
        if hint == "dask" and self.kind != "dask":
            raise ConfigError("this build has no Dask cluster", key=key, expected="a build with executor 'dask'")

    def get(self, hint: str | None) -> TaskExecutor:
        """Return the executor for a task.

        Parameters
        ----------
        hint
            What the task asks for by its attribute `executor`; None: the build's own. "serial" is the thread that
            submits.

        Raises
        ------
        ConfigError
            For an unknown kind.
        """
        kind = self.kind if hint is None else hint
        found = self._made.get(kind)
        if found is None:
            _checked(kind, "executor")
            address = self._address if kind == "dask" else None
            found = self._made[kind] = make_executor(kind, 1 if kind == "serial" else self._here, address)
        return found

    def close(self, kill: bool = False) -> None:
        """End all of them.

        Parameters
        ----------
        kill
            End what runs in worker processes, drop what has not begun, and do not wait for threads, nor for what runs
            on a cluster. Else everything is waited for.
        """
        for executor in self._made.values():
            executor.close(kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None and not issubclass(kind, Exception))


def _acceptable(kind: str | None, workers: int | None, address: str | None) -> str:
    """Return the kind, when it can have that many workers, and that address."""
    if kind is None:
        kind = "dask" if address is not None else "serial" if workers in {None, 1} else "processes"
    kind = _checked(kind, "run.executor")
    if workers is not None and (workers < 1 or (kind == "serial" and workers != 1)):
        expected = "1" if kind == "serial" else "at least 1"
        raise ConfigError(f"the {kind} executor cannot have {workers} workers", key="run.workers", expected=expected)
    if address is not None and kind != "dask":
        raise ConfigError(
            f"the {kind} executor has no address", key="run.address", expected="no address, or run.executor 'dask'"
        )
    return kind


def _checked(kind: str, key: str) -> str:
    if kind not in KINDS:
        raise ConfigError(
            f"unknown executor '{kind}'", key=key, expected=", ".join(KINDS), suggestion=closest_match(str(kind), KINDS)
        )
    return kind
