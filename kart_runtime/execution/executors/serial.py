"""Executor that runs each call at once, in the thread that submits it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

from kart_runtime.execution.executors.base import CallLimits, Finishing, Rank, Report, TaskExecutor
from kart_runtime.execution.executors.threads import ThreadExecutor

P = ParamSpec("P")
R = TypeVar("R")


class SerialExecutor(TaskExecutor):
    """Executor that runs each call at once, in the thread of the caller."""

    runs_here = True

    def __init__(self) -> None:
        self._in_thread: ThreadExecutor | None = None

    def in_thread(self) -> ThreadExecutor:
        """Return an executor with one thread, for calls that may have to be given up."""
        if self._in_thread is None:
            self._in_thread = ThreadExecutor(1, in_context=True)
        return self._in_thread

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread, if there is one."""
        if self._in_thread is not None:
            self._in_thread.shutdown(wait, cancel_futures=cancel_futures)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function and return its finished future; KeyboardInterrupt reaches the caller."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the future has it
            future.set_exception(error)
        return future

    def submit_ranked(
        self,
        rank: Rank,  # noqa: ARG002
        fn: Callable[[], R],
        limits: CallLimits | None = None,  # noqa: ARG002
        report: Report | None = None,  # noqa: ARG002
    ) -> Finishing[R]:
        """Run a call that raises nothing but KeyboardInterrupt."""
        return _Finished(fn())


class _Finished(Generic[R]):
    """A finished future without the locks of a real one, which would cost more than a small task."""

    __slots__ = ("_result",)

    def __init__(self, result: R) -> None:
        self._result = result

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        fn(self)

    def exception(self) -> None:
        return None

    def result(self) -> R:
        return self._result
