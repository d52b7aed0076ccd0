"""Interface of the executors that a build submits attempts to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Rank = tuple[float, float]
"""Priority of a task, and the length of its critical path: of several waiting tasks the highest rank goes first."""


Report = Callable[[float | None, str], None]
"""Receiver of the part of a call that is done, if it is known, and of a text about it."""


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


@dataclass(eq=False)
class CallLimits:
    """Limits of a call in another process: its memory, its time, and the GPUs that ``CUDA_VISIBLE_DEVICES`` names.

    `peak_mb` is filled in while a call with a limit of its memory runs: the most that its process and the processes
    that it started were seen to hold.
    """

    name: str
    memory_gb: float | None = None
    gpus: str | None = None
    peak_mb: float = 0.0
    timeout: float | None = None


class TaskExecutor(Executor):
    """A `concurrent.futures.Executor` with the three operations that a build adds."""

    has_own_processes: ClassVar[bool] = False
    """Whether each call has a process of this machine to itself while it runs, so that `CallLimits` hold."""
    runs_here: ClassVar[bool] = False
    """Whether calls run in this process, and can say when they begin."""

    def open(self, classes: set[type], workspaces: set[str]) -> None:
        """Check, before anything runs, that tasks of these classes can run, or raise `ConfigError`."""

    def submit_ranked(
        self,
        rank: Rank,  # noqa: ARG002 - for those below
        fn: Callable[[], R],
        limits: CallLimits | None = None,  # noqa: ARG002
        report: Report | None = None,  # noqa: ARG002
    ) -> Finishing[R]:
        """Submit a call. An executor that has a queue of its own starts the highest rank first.

        One that runs calls in other processes brings back what they report while they run: it calls `report`.
        """
        return self.submit(fn)

    def kill(self) -> None:
        """End at once the processes that only this program uses, because it ends itself."""

    def close(self, kill: bool = False) -> None:
        """Shut down; `kill` drops the calls that have not started and does not wait for the others."""
        self.shutdown(wait=not kill, cancel_futures=kill)
