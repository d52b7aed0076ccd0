"""Interface of the executors that a build submits attempts to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Rank = tuple[float, float]
"""Priority of a task, and the length of its critical path: of several waiting tasks the highest rank goes first."""


class Finishing(Protocol[R_co]):
    """The part of `concurrent.futures.Future` that the scheduler uses."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        """Call `fn` with this object when the result is there."""
        ...

    def exception(self) -> BaseException | None:
        """Return the error of the executor, if there was one."""
        ...

    def result(self) -> R_co:
        """Return the result."""
        ...


class TaskExecutor(Executor):
    """A `concurrent.futures.Executor` with the three operations that a build adds."""

    def open(self, classes: set[type], workspaces: set[str]) -> None:
        """Check, before anything runs, that tasks of these classes can run, or raise `ConfigError`."""

    def submit_ranked(self, rank: Rank, fn: Callable[[], R]) -> Finishing[R]:  # noqa: ARG002 - pools that queue use it
        """Submit a call. An executor that has a queue of its own starts the highest rank first."""
        return self.submit(fn)

    def close(self, kill: bool = False) -> None:
        """Shut down; `kill` drops the calls that have not started and does not wait for the others."""
        self.shutdown(wait=not kill, cancel_futures=kill)
