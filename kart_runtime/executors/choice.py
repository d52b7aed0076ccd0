"""Which executor does a build use? The one asked for by name, and others for tasks that ask for another one.

Called by `builder` and, for the names, by `project`.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from types import TracebackType
from typing import Self

from kart_runtime.errors import ConfigError, nearest
from kart_runtime.executors.serial import SerialExecutor

KINDS = ("serial", "threads", "processes")

ThreadExecutor = ThreadPoolExecutor
"""Runs what is submitted in threads. What runs cannot be ended from outside, also not by Ctrl-C."""


def make_executor(kind: str | None, workers: int = 1) -> Executor:
    """Return the executor of a kind.

    Parameters
    ----------
    kind
        "serial", "threads" or "processes". None: serial for one worker, processes for more, as gokart's users expect.
    workers
        How many attempts run at once.

    Raises
    ------
    ConfigError
        For another kind, and for a number of workers that the kind cannot have.
    """
    kind = _acceptable(kind, workers)
    if kind == "threads":
        return ThreadExecutor(workers, thread_name_prefix="kart")
    if kind == "processes":
        made: Executor = import_module("kart_runtime.executors.processes").ProcessExecutor(workers)
        return made
    return SerialExecutor()


class Executors:
    """The executors of one build: its own, and those that single tasks ask for. Each is made when it is first needed.

    Leaving the ``with`` block waits for what runs; on Ctrl-C it ends worker processes, and does not wait for threads.

    Parameters
    ----------
    kind, workers
        As for `make_executor`.

    Attributes
    ----------
    kind
        The name of the build's own executor.

    Raises
    ------
    ConfigError
        As for `make_executor`.
    """

    def __init__(self, kind: str | None, workers: int) -> None:
        self.kind = _acceptable(kind, workers)
        self._workers = workers
        self._made: dict[str, Executor] = {}

    def of(self, hint: str | None) -> Executor:
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
            found = self._made[kind] = make_executor(kind, 1 if kind == "serial" else self._workers)
        return found

    def close(self, kill: bool = False) -> None:
        """End all of them.

        Parameters
        ----------
        kill
            End what runs in worker processes, drop what has not begun, and do not wait for threads. Else everything is
            waited for.
        """
        for executor in self._made.values():
            end_work = getattr(executor, "close", None)  # only processes can be ended in the middle of their work
            if kill and end_work is not None:
                end_work(kill)
            else:
                executor.shutdown(wait=not kill, cancel_futures=kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None and not issubclass(kind, Exception))


def _acceptable(kind: str | None, workers: int) -> str:
    """Return the kind, when it can have that many workers."""
    kind = _checked(kind or ("serial" if workers == 1 else "processes"), "run.executor")
    if workers < 1 or (kind == "serial" and workers != 1):
        expected = "1" if kind == "serial" else "at least 1"
        raise ConfigError(f"the {kind} executor cannot have {workers} workers", key="run.workers", expected=expected)
    return kind


def _checked(kind: str, key: str) -> str:
    if kind not in KINDS:
        raise ConfigError(
            f"unknown executor '{kind}'", key=key, expected=", ".join(KINDS), nearest=nearest(str(kind), KINDS)
        )
    return kind
