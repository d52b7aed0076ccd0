"""Executor that runs calls in worker processes, each of which has at most one call.

The standard library's pool, and loky's, break as a whole when one of their processes dies, and cannot say which call it
had. Here each worker has its own connection, and a thread that sends it a call and waits for the answer. Threads start
with the calls, and end soon after the last one; the workers stay for the next executor.
"""

from __future__ import annotations

import atexit
import os
import pickle
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, ClassVar, ParamSpec, TypeVar

from kart_runtime.errors import CannotSend, ConfigError, WorkerDied
from kart_runtime.execution.executors.base import CallLimits, Rank, Report, TaskExecutor
from kart_runtime.execution.executors.calls import LEAVING, Answer, WorkItem
from kart_runtime.execution.executors.pickling import DefinitionTable
from kart_runtime.execution.executors.processes import idle_workers
from kart_runtime.execution.executors.processes.memory_watch import MemoryExceeded, MemoryWatch, suits
from kart_runtime.execution.executors.processes.process import Watch, WorkerProcess
from kart_runtime.execution.executors.processes.time_watch import TimeWatch
from kart_runtime.execution.executors.processes.worker import Message
from kart_runtime.execution.executors.program_state import Choices, Settings
from kart_runtime.execution.memory import kill_rest, process_tree
from kart_runtime.execution.time_limit import TaskTimeout
from kart_runtime.storage.system import after_fork

P = ParamSpec("P")
R = TypeVar("R")

_LINGER_SECONDS = 0.5
"""How long a thread waits for another call, so that a chain of tasks does not start a thread for each."""

_IDLE_SECONDS = 1.0
"""How long a worker is without a call until it is asked, before the next one, whether somebody has stopped it."""

_GRACE_SECONDS = 2.0
"""How long a call may take to release its locks when a build is interrupted."""

_TRIES = 3


class ProcessExecutor(TaskExecutor):
    """Executor of calls in worker processes: new interpreters that stay for the next executor.

    They start when there are calls for them, and get the state of the program (see `program_state`) as it is at the
    first `submit`. A worker that dies fails the future of its own call with `WorkerDied`; another takes its place.
    """

    has_own_processes: ClassVar[bool] = True

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ConfigError(
                f"the processes executor cannot have {workers} workers", key="run.workers", expected="at least 1"
            )
        self._owner = os.getpid()
        self._size = workers
        self._changed = threading.Condition(threading.RLock())
        self._table = DefinitionTable(defines=True)
        self._state: tuple[bytes, bytes] | None = None
        self._queue: deque[WorkItem] = deque()
        self._threads: set[threading.Thread] = set()
        self._waiting = 0
        self._busy: set[WorkerProcess] = set()
        self._idle = idle_workers.acquire(workers)
        self._closed = self._killing = False
        # For a pool that is dropped without being closed.
        self._release = weakref.finalize(self, _release, self._idle, self._table)
        self._release.atexit = False
        _open.add(self)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a worker run a function and return its future.

        The future fails with `CannotSend` when the call or its result cannot be pickled, with `NotImportable` when the
        worker cannot import a module of it, and with `WorkerDied`.
        """
        return self._submit(None, fn, args, kwargs)

    def submit_ranked(
        self,
        rank: Rank,  # noqa: ARG002
        fn: Callable[[], R],
        limits: CallLimits | None = None,
        report: Report | None = None,
    ) -> Future[R]:
        """Have a worker run a function within limits; the future may fail with `MemoryExceeded` or `TaskTimeout`."""
        return self._submit(limits, fn, (), {}, report)

    def _submit(
        self, limits: CallLimits | None, fn: Callable[..., R], args: Any, kwargs: Any, report: Report | None = None
    ) -> Future[R]:
        self._check_open()
        future: Future[R] = Future()
        name = str(getattr(fn, "__qualname__", type(fn).__qualname__))
        try:
            pickled = self._table.dumps((fn, args, kwargs), f"the call of {name}")
            task = getattr(getattr(fn, "__self__", None), "task", None)
            item = WorkItem(future, pickled, name, limits, report, task)
            self._gather_state()
        except CannotSend as error:
            future.set_exception(error)
            return future
        with self._changed:
            self._check_open()
            self._queue.append(item)
            if self._waiting >= len(self._queue):
                self._changed.notify()
            elif len(self._threads) < self._size:
                thread = threading.Thread(target=self._serve, name="kart-workers", daemon=True)
                thread.start()
                self._threads.add(thread)
        return future

    def pids(self) -> list[int]:
        """Return the processes of the workers."""
        with self._changed:
            return [worker.pid for worker in [*self._idle, *self._busy]]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and release the workers when the last call has ended."""
        with self._changed:
            self._closed = True
            dropped = list(self._queue) if cancel_futures else []
            if dropped:
                self._queue.clear()
            _open.discard(self)
            threads = list(self._threads)
            if not threads:
                self._release()
            self._changed.notify_all()
        for item in dropped:
            item.drop()
        if wait:
            for thread in threads:
                thread.join()

    def close(self, kill: bool = False) -> None:
        """Shut down. `kill` interrupts running calls, as after Ctrl-C, and kills the workers that do not end soon."""
        if not kill:
            self.shutdown()
            return
        self._killing = True
        self.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            busy, threads = list(self._busy), list(self._threads)
        trees = [process_tree(worker.pid) for worker in busy]
        try:
            for worker in busy:
                worker.terminate()
            deadline = time.monotonic() + _GRACE_SECONDS
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0.0))
        finally:  # also after a second Ctrl-C
            for worker in busy:
                worker.kill()  # nothing happens to one that has ended
            for tree in trees:
                kill_rest(tree)
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        """End the workers at once, with what they have started."""
        self._killing = True
        for worker in list(self._busy):
            tree = process_tree(worker.pid)
            worker.kill()
            kill_rest(tree)

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("this executor belongs to the process that this one was forked from; create another one")
        if self._closed:
            raise RuntimeError("the executor is closed; it accepts no more calls")

    def _gather_state(self) -> None:
        """Gather, once, what workers have to know of this program."""
        with self._changed:
            if self._state is None:
                chosen = Choices.gather(self._table.takes)
                choices = self._table.dumps(chosen, "the parameters that the configuration overrides")
                self._state = pickle.dumps(Settings.gather()), choices

    # -- in the threads --------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (item := self._next_item()) is not None:
            self._handle(item)
            del item  # neither call nor result waits here for the next one

    def _handle(self, item: WorkItem) -> None:
        try:
            answer = self._run(item)
        except BaseException as error:  # noqa: BLE001 - also a fault of this module must leave nobody waiting
            item.future.set_exception(error)
        else:
            item.settle(answer)

    def _next_item(self) -> WorkItem | None:
        """Return the next call that nobody has canceled; None ends the thread."""
        with self._changed:
            while True:
                while self._queue:
                    item = self._queue.popleft()
                    if item.future.set_running_or_notify_cancel():
                        return item
                self._waiting += 1
                notified = not self._closed and self._changed.wait(_LINGER_SECONDS)
                self._waiting -= 1
                if not self._queue and not notified:
                    self._threads.discard(threading.current_thread())
                    if self._closed and not self._threads:
                        self._release()
                    return None

    def _run(self, item: WorkItem) -> Answer:
        """Return a worker's answer; a call that a worker has not read before it ended goes to another one."""
        for tries_left in reversed(range(_TRIES)):
            worker = self._busy_worker(item.limits)
            answer, unread = self._exchange(worker, item)
            if answer is not None:
                return answer
            exit_code = worker.exit_code(_GRACE_SECONDS)
            worker.disconnect()
            if not (unread and tries_left) or self._killing:
                raise WorkerDied(worker.pid, exit_code)
        raise AssertionError

    def _exchange(self, worker: WorkerProcess, item: WorkItem) -> tuple[Answer | None, bool]:
        """Return a worker's answer; if there is none: whether the worker has not read the call."""
        answer, unread = None, True
        try:
            worker.send(self._message(worker, item))
            answer = self._receive(worker, item)
        except TaskTimeout:  # which is an OSError
            raise
        except (EOFError, OSError) as error:
            # Linux reports "reset", and not "end of file", when something that was sent had not been read.
            unread = isinstance(error, BrokenPipeError | ConnectionResetError) or not worker.has_read()
        if answer is not None and answer[0] == LEAVING:
            answer = None
        with self._changed:
            self._busy.discard(worker)
            if answer is not None and not worker.is_ending:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
        if worker.is_ending:
            worker.disconnect()
        return answer, unread

    def _receive(self, worker: WorkerProcess, item: WorkItem) -> Answer:
        """Wait for an answer; raise `MemoryExceeded` or `TaskTimeout` when the call was ended with its worker."""
        limits, watches = item.limits, list[Watch]()
        if limits is not None and limits.memory_gb is not None:
            watches.append(MemoryWatch(worker, limits, limits.memory_gb))
        if limits is not None and limits.timeout is not None:
            watches.append(TimeWatch(worker, limits.name, limits.timeout))
        try:
            return worker.receive(item.report, watches, item.task)
        except (MemoryExceeded, TaskTimeout):
            worker.disconnect()
            with self._changed:
                self._busy.discard(worker)
            raise

    def _busy_worker(self, limits: CallLimits | None) -> WorkerProcess:
        """Return a worker for a call: an idle one that suits it, or a new one."""
        surplus: list[WorkerProcess] = []
        with self._changed:
            if self._killing:
                raise BrokenExecutor("the executor was closed")
            self._idle[:] = idle_workers.without_stopped(self._idle, _IDLE_SECONDS)
            worker = next((idle for idle in reversed(self._idle) if suits(idle, limits)), None)
            if worker is not None:
                self._idle.remove(worker)
            else:
                if len(self._idle) + len(self._busy) >= self._size:
                    surplus = [self._idle.pop(0)] if self._idle else []
                worker = idle_workers.start_worker()
            worker.is_new, worker.gpus = False, None if limits is None else limits.gpus
            self._busy.add(worker)
        idle_workers.end(surplus)
        return worker

    def _message(self, worker: WorkerProcess, item: WorkItem) -> Message:
        settings, choices = b"", b""
        if worker.table is not self._table:
            worker.table, worker.n_definitions = self._table, 0
            settings, choices = self._state or (b"", b"")
        definitions = self._table.definitions[worker.n_definitions :]
        worker.n_definitions += len(definitions)
        limits = item.limits or CallLimits("")
        environ = {} if limits.gpus is None else {"CUDA_VISIBLE_DEVICES": limits.gpus}
        return settings, definitions, choices, item.pickled, environ, limits.timeout


_open: weakref.WeakSet[ProcessExecutor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close(kill=True)


atexit.register(_close_all)  # after `idle_workers`, so that it is called before
after_fork(_open.clear)


def _release(idle: list[WorkerProcess], table: DefinitionTable) -> None:
    table.forget()
    idle_workers.release(idle)
