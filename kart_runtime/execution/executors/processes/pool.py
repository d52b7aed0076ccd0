"""How do tasks run in several processes? Each in a worker of its own, so that a worker that dies takes one task along.

The standard library's pool breaks as a whole when one of its processes dies, and cannot say which task did it. Here
every worker has its own connection and at most one piece of work, so it is known.

The state of the pool, all under one lock:

- ``queue``: work that no worker has yet, in the order of `submit`,
- ``running``: worker to its work,
- ``idle``: workers without work,
- ``refused``: work that cannot be started; the thread tells its futures,
- ``dead``: workers that had ended before they got work; the thread, which alone closes connections, ends them.

One thread reads the answers. It starts with the first work, and ends when the pool is closed, or soon after the last
answer.
"""

from __future__ import annotations

import atexit
import os
import pickle
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

from kart_runtime.errors import CannotSend, ConfigError, WorkerDied
from kart_runtime.execution.executors.base import TaskExecutor
from kart_runtime.execution.executors.calls import Work
from kart_runtime.execution.executors.pickling import DefinitionTable
from kart_runtime.execution.executors.processes import idle_workers
from kart_runtime.execution.executors.processes.process import Worker
from kart_runtime.execution.executors.processes.worker import BYE, Answer
from kart_runtime.execution.executors.program_state import Choices, Settings

P = ParamSpec("P")
R = TypeVar("R")

_LOOK_SECONDS = 5.0
"""How often it is asked whether a busy worker lives: a process that the work started may hold its connection open."""

_LINGER_SECONDS = 0.5
"""How long the thread stays when there is no work, so that a chain of tasks does not start a thread for each."""

_GRACE_SECONDS = 2.0
"""How long the work has to give back its locks when a build is interrupted."""

_TRIES = 3


class ProcessExecutor(TaskExecutor):
    """Runs what is submitted in worker processes: fresh interpreters that stay for the next executor.

    They start when there is work for them, and get the state of the program (see `program_state`) as it is at the first
    `submit`. A worker that dies fails the future of its own work with `WorkerDied`, and another takes its place.

    Parameters
    ----------
    workers
        How many run at once.

    Raises
    ------
    ConfigError
        For less than one worker.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ConfigError(
                f"the processes executor cannot have {workers} workers", key="run.workers", expected="at least 1"
            )
        self._owner = os.getpid()
        self._size = workers
        self._lock = threading.RLock()
        self._vocabulary = DefinitionTable(defines=True)
        self._state: tuple[bytes, bytes] | None = None
        self._queue: deque[Work] = deque()
        self._running: dict[Worker, Work] = {}
        self._refused: list[tuple[Work, BaseException]] = []
        self._dead: list[Worker] = []
        self._idle = idle_workers.take(workers)
        self._thread: threading.Thread | None = None
        self._closed = self._killing = False
        self._bell = os.pipe()
        # For a pool that is dropped without being closed.
        self._release = weakref.finalize(self, _release, self._idle, self._bell, self._vocabulary)
        self._release.atexit = False
        _open.add(self)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a worker run a function and return its future; work that no worker is free for waits its turn.

        The future fails with `CannotSend` when the call or its result cannot be pickled, with `NotImportable` when the
        worker cannot import a module of it, and with `WorkerDied`.
        """
        self._check_open()
        future: Future[R] = Future()
        name = str(getattr(fn, "__qualname__", type(fn).__qualname__))
        try:
            work = Work(future, self._vocabulary.dumps((fn, args, kwargs), f"the call of {name}"), name)
            self._gather_state()
        except CannotSend as error:
            future.set_exception(error)
            return future
        with self._lock:
            self._check_open()
            self._queue.append(work)
            self._hand_out()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="kart-workers", daemon=True)
                self._thread.start()
        return future

    def pids(self) -> list[int]:
        """Return the processes of the workers."""
        with self._lock:
            return [worker.pid for worker in [*self._idle, *self._running]]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and give the workers back when everything has ended.

        Parameters
        ----------
        wait
            Whether to wait for that.
        cancel_futures
            Whether work that has not begun is dropped.
        """
        with self._lock:
            self._closed = True
            dropped = list(self._queue) if cancel_futures else []
            thread = self._thread
            if dropped:
                self._queue.clear()
            _open.discard(self)
            if thread is None:
                self._release()
            else:
                self._ring()
        for work in dropped:
            work.drop()
        if wait and thread is not None:
            thread.join()

    def close(self, kill: bool = False) -> None:
        """End the pool.

        Parameters
        ----------
        kill
            End also what is running, as after Ctrl-C; whatever does not end by itself in a moment is killed. Else it
            is waited for.
        """
        if not kill:
            self.shutdown()
            return
        self._killing = True
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            busy, thread = list(self._running), self._thread
        for worker in busy:
            worker.terminate()
        if thread is not None:
            thread.join(_GRACE_SECONDS)
            for worker in busy:
                worker.kill()  # nothing happens to one that has ended
            thread.join()

    # -- by whoever submits, or the thread; under the lock -------------------------------------------------------

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("this executor belongs to the process that this one was forked from; make another one")
        if self._closed:
            raise RuntimeError("the executor is closed; nothing can be submitted any more")

    def _gather_state(self) -> None:
        """Work out, once, what workers have to be told of this program."""
        with self._lock:
            if self._state is None:
                chosen = Choices.gather(self._vocabulary.takes)
                choices = self._vocabulary.dumps(chosen, "the parameters that the configuration overrides")
                self._state = pickle.dumps(Settings.gather()), choices

    def _hand_out(self) -> None:
        while self._queue and len(self._running) < self._size:
            work = self._queue.popleft()
            if not work.begin():
                continue
            try:
                self._start(work)
            except (OSError, WorkerDied) as error:  # no process can be started, or none stays
                self._refused.append((work, error))
                self._ring()

    def _start(self, work: Work) -> None:
        """Send work to an idle worker, or to a fresh one where that has died in the meantime."""
        for left in reversed(range(_TRIES)):
            worker = self._idle.pop() if self._idle else self._refill()
            self._running[worker] = work  # before it is sent: Ctrl-C must find whoever may be at work
            try:
                worker.send(self._parcel(worker, work))
            except OSError as error:
                del self._running[worker]
                self._dead.append(worker)  # the thread may be listening to it: it closes the connection
                self._ring()
                if not left:
                    raise WorkerDied(worker.pid, worker.exit_code(_GRACE_SECONDS)) from error
            else:
                return

    def _refill(self) -> Worker:
        self._ring()  # the thread listens to it, too
        return idle_workers.launch()

    def _parcel(self, worker: Worker, work: Work) -> Any:
        settings, choices = b"", b""
        if worker.build is not self._vocabulary:
            worker.build, worker.told = self._vocabulary, 0
            settings, choices = self._state or (b"", b"")
        definitions = self._vocabulary.definitions[worker.told :]
        worker.told += len(definitions)
        return settings, definitions, choices, work.pickled

    def _ring(self) -> None:
        if self._thread is not None:
            os.write(self._bell[1], b".")

    # -- by the thread -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._listen()
        except BaseException as error:  # a fault of this module must not leave anybody waiting
            with self._lock:
                self._closed = True
                left = [*self._running.values(), *self._queue]
                self._running.clear()
                self._queue.clear()
            for work in left:
                work.future.set_exception(error)
            raise

    def _listen(self) -> None:
        """Take answers until there is nothing more to come."""
        quiet = False
        while not self._is_over(quiet):
            with self._lock:
                refused, self._refused = self._refused, []
                dead, self._dead = self._dead, []
                listened: dict[Any, Worker] = {worker.connection: worker for worker in [*self._idle, *self._running]}
                at_work = bool(self._running or self._queue)
            for work, error in refused:
                work.future.set_exception(error)
            idle_workers.end(dead)
            ready = wait([*listened, self._bell[0]], _LOOK_SECONDS if at_work else _LINGER_SECONDS)
            quiet = not ready
            for one in ready:
                if one == self._bell[0]:
                    os.read(self._bell[0], 4096)
                else:
                    self._take(listened[one])
            if quiet and at_work:
                for worker in filter(Worker.is_gone, list(self._running)):
                    self._lose(worker)

    def _is_over(self, quiet: bool) -> bool:
        with self._lock:
            if self._running or self._queue or self._refused or self._dead or not (quiet or self._closed):
                return False
            self._thread = None
            if self._closed:
                self._release()
            return True

    def _take(self, worker: Worker) -> None:
        try:
            answer: Answer = worker.receive()
        except (EOFError, OSError) as error:
            # Linux says "reset", and not "end of file", when something that was sent had not been read.
            self._lose(worker, unread=isinstance(error, ConnectionResetError))
            return
        with self._lock:
            work = self._running.pop(worker, None)
            if answer[0] == BYE:
                # It left before it read this work, if there is any.
                self._drop_idle(worker)
                if work is not None:
                    self._queue.appendleft(work)
            else:
                self._idle.append(worker)
            self._hand_out()
        if answer[0] == BYE:
            idle_workers.end([worker])
        elif work is not None:
            work.settle(answer)

    def _lose(self, worker: Worker, unread: bool = False) -> None:
        """Tell the future of a worker's work that the worker has died; what it did not read goes to another one."""
        with self._lock:
            work = self._running.pop(worker, None)
            self._drop_idle(worker)
            if work is not None and unread and not self._killing and work.lost < _TRIES:
                work.lost += 1
                self._queue.appendleft(work)
                work = None
            self._hand_out()
        code = worker.exit_code(_GRACE_SECONDS)
        worker.hang_up()
        if work is not None:
            work.future.set_exception(WorkerDied(worker.pid, code))

    def _drop_idle(self, worker: Worker) -> None:
        if worker in self._idle:
            self._idle.remove(worker)


_open: weakref.WeakSet[ProcessExecutor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close(kill=True)


atexit.register(_close_all)  # after that of `kept`, so that it is called before
os.register_at_fork(after_in_child=_open.clear)


def _release(idle: list[Worker], bell: tuple[int, int], vocabulary: DefinitionTable) -> None:
    for end in bell:
        os.close(end)
    vocabulary.forget()
    idle_workers.give_back(idle)
