"""Executor that runs calls in threads of this process.

The threads of `concurrent.futures` end with the program: it waits for the last of them, whatever that waits for. These
are daemon threads, so that a call that was given up keeps neither the build nor the program from ending.
"""

from __future__ import annotations

import contextvars
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kart_runtime.errors import ConfigError
from kart_runtime.execution.executors.base import TaskExecutor
from kart_runtime.execution.time_limit import Interrupted
from kart_runtime.storage.system import after_fork

P = ParamSpec("P")
R = TypeVar("R")

_given_up: list[threading.Thread] = []
"""Threads whose calls nobody waits for any more."""
after_fork(_given_up.clear)


def threads_given_up() -> list[threading.Thread]:
    """Return the threads of this process that still run a call that was given up."""
    _given_up[:] = [thread for thread in _given_up if thread.is_alive()]
    return list(_given_up)


@dataclass(eq=False, slots=True)
class _Call:
    """A submitted call, and the thread that runs it."""

    future: Future[Any]
    run: Callable[[], Any]
    thread: threading.Thread | None = None


class ThreadExecutor(TaskExecutor):
    """Executor of calls in threads, which start with the calls. Nothing can end a running call from outside.

    With `in_context` a call has a copy of the context variables of whoever submits it, as if it ran there.
    """

    runs_here = True

    def __init__(self, workers: int, *, in_context: bool = False) -> None:
        if workers < 1:
            raise ConfigError(
                f"the threads executor cannot have {workers} workers", key="run.workers", expected="at least 1"
            )
        self._size, self.in_context = workers, in_context
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._calls: dict[object, _Call] = {}
        self._free = 0
        """Threads that wait, less the calls that wait for them."""
        self._numbers = itertools.count()
        self._closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a thread run a function, and return its future."""
        future: Future[R] = Future()
        call = _Call(future, partial(fn, *args, **kwargs))
        if self.in_context:
            call.run = partial(contextvars.copy_context().run, call.run)
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is closed; it accepts no more calls")
            self._calls[future] = call
            self._queue.put(call)
            if self._free > 0:
                self._free -= 1
            elif len(self._threads) < self._size:
                self._start_thread()
            else:
                self._free -= 1
        return future

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"kart_{next(self._numbers)}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def give_up(self, future: object) -> threading.Thread | None:
        """Wait no longer for a call that runs; another thread takes the place of its own, which is returned."""
        with self._lock:
            call = self._calls.pop(future, None)
            thread = None if call is None else call.thread
            if thread is None or thread not in self._threads:
                return None
            self._threads.discard(thread)
            _given_up.append(thread)
            if self._free < 0:
                self._free += 1
                self._start_thread()
        return thread

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; wait for those that run, except for what was given up."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        if cancel_futures:
            self._drop_waiting()
        for _ in threads:
            self._queue.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def _drop_waiting(self) -> None:
        while True:
            try:
                call = self._queue.get_nowait()
            except queue.Empty:
                return
            if call is not None and call.future.cancel():
                call.future.set_running_or_notify_cancel()

    # -- in the threads --------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        with suppress(Interrupted):  # it came when the call that it was meant for had ended
            self._run_calls()

    def _run_calls(self) -> None:
        me = threading.current_thread()
        while (call := self._queue.get()) is not None:
            call.thread = me
            self._run(call)
            with self._lock:
                self._calls.pop(call.future, None)
                if me not in self._threads:  # its call was given up, and another thread has its place
                    return
                self._free += 1
            del call  # neither call nor result waits here for the next one

    def _run(self, call: _Call) -> None:
        if not call.future.set_running_or_notify_cancel():
            return
        try:
            result = call.run()
        except BaseException as error:  # noqa: BLE001 - the future has it
            call.future.set_exception(error)
        else:
            call.future.set_result(result)
