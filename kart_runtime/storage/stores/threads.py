"""Threads for requests, which do not keep an interrupted program from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_Job = tuple[Future[Any], Callable[[], Any]]


class RequestThreads(Executor):
    """A pool of threads, each with a request that may take long to fail.

    After Ctrl-C neither a ``with`` block nor the interpreter's end waits for them, as they do for those of
    `ThreadPoolExecutor`.
    """

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a thread call a function, and return its future."""
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads have ended; nothing can be submitted any more")
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._number:
                name = f"{self._name}_{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def _next(self) -> _Job | None:
        with suppress(Empty):
            return self._jobs.get_nowait()
        self._idle.release()
        return self._jobs.get()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - the future's
                    future.set_exception(error)
            del job, future, call  # what they hold is not kept until the next one comes

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and let the threads end when all are done."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        if cancel_futures:
            with suppress(Empty):
                while True:
                    job = self._jobs.get_nowait()
                    if job is not None:
                        job[0].cancel()
        for _ in threads:
            self._jobs.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(wait=not interrupted, cancel_futures=kind is not None)


def without_waiting(function: Callable[[], object], seconds: float) -> None:
    """Call a function that may hang or raise, and wait no longer than some seconds for it."""
    thread = threading.Thread(target=_quietly, args=(function,), name="kart-request", daemon=True)
    thread.start()
    thread.join(seconds)


def _quietly(function: Callable[[], object]) -> None:
    with suppress(Exception):
        function()
