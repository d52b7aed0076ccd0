"""Worker process: receives calls from the program, runs one at a time, answers each.

`process` starts it. A message is `(settings, definitions, choices, call, environ, timeout)`; the first three are empty
unless they have changed since the last message, `environ` are environment variables for this call alone, and `timeout`
its time in seconds, if that is limited. The worker ends when its connection closes. SIGTERM interrupts the call as
Ctrl-C does, so that locks are released and half-written files removed; SIGINT is for the program alone.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from kart_runtime.execution.executors.calls import LEAVING, PROGRESS, RESULT, STARTED, Answer, error_answer
from kart_runtime.execution.executors.pickling import DefinitionTable, loads
from kart_runtime.execution.executors.program_state import Choices, Settings
from kart_runtime.execution.memory import kill_rest, measure_attempts, process_tree
from kart_runtime.execution.time_limit import ThreadClock, remote_clock
from kart_runtime.storage.staging import active_run
from kart_runtime.task.progress import remote_report
from kart_runtime.task.state import TaskRun

Message = tuple[bytes, Sequence[tuple[tuple[int, ...], bytes]], bytes, bytes, Mapping[str, str], float | None]

IDLE_SECONDS = 300
"""A worker without calls ends after this time, so that a forgotten notebook holds no memory."""

_POLL_SECONDS = 1


class _Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the call stands."""


class _Worker:
    def __init__(self) -> None:
        self._table = DefinitionTable(defines=False)
        self._unusable: BaseException | None = None

    def answer(self, message: Message) -> Answer:
        settings, definitions, choices, call, environ, _ = message
        try:
            self._prepare(settings, definitions, choices)
            function, args, kwargs = loads(call)
            name = getattr(function, "__qualname__", type(function).__qualname__)
            with _environment(environ):
                return RESULT, self._table.dumps(function(*args, **kwargs), f"the result of {name}"), ""
        except _Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit: it ends the call, and not the worker
            return error_answer(error, f"In worker process {os.getpid()}", self._table)

    def _prepare(self, settings: bytes, definitions: Sequence[tuple[tuple[int, ...], bytes]], choices: bytes) -> None:
        if settings:
            self._table.forget()
            self._unusable = RuntimeError("The program's settings could not be applied in the worker process.")
            new_settings: Settings = pickle.loads(settings)
            new_settings.apply()
        for numbers, code in definitions:
            self._table.learn(numbers, code)
        if choices:
            try:
                new_choices: Choices = loads(choices)
                new_choices.apply()
                self._unusable = None
            except Exception as error:
                self._unusable = error
                raise
        if self._unusable is not None:
            raise self._unusable


class _Reports:
    """Sends what a call reports while it runs; after its answer nothing is sent."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._is_running = False

    def begin(self) -> None:
        self._is_running = True

    def answer(self, answer: Answer) -> None:
        with self._lock:
            self._is_running = False
            self._connection.send_bytes(pickle.dumps(answer))

    def start(self) -> None:
        """Say that the time of the call begins."""
        with self._lock:
            self._connection.send_bytes(pickle.dumps((STARTED, pickle.dumps(threading.get_ident()), "")))

    def report(self, done: float | None, text: str) -> None:
        if self._lock.acquire(blocking=False):
            try:
                if self._is_running:
                    self._connection.send_bytes(pickle.dumps((PROGRESS, pickle.dumps((done, text)), "")))
            finally:
                self._lock.release()


class _Clock(ThreadClock):
    """Clock of a call: at the end of its time, `faulthandler` writes where all threads stand, also in compiled code."""

    def __init__(self, seconds: float, reports: _Reports, stacks: int | None) -> None:
        super().__init__(seconds)
        self._reports, self._stacks = reports, stacks

    def start(self) -> None:
        self._reports.start()
        super().start()
        if self._stacks is not None:
            faulthandler.dump_traceback_later(self.seconds, file=self._stacks)

    def stop(self) -> None:
        super().stop()
        if self._stacks is not None:
            faulthandler.cancel_dump_traceback_later()


def serve(connection: Connection[Any, Any], stacks: int | None = None) -> None:
    """Run calls until the program closes the connection; `stacks` is where to write where a call stands."""
    if stacks is not None:
        os.set_inheritable(stacks, False)
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.suppress(Exception):  # no standard error to write to
        faulthandler.enable()
    try:
        threading.Thread(target=_end_with_program, daemon=True).start()
        import_module("kart_runtime.execution.attempt")  # nearly every call needs it
        measure_attempts()
        gc.freeze()  # what was imported stays; `process` has disabled the collection for as long as that took
        gc.enable()
        worker, reports = _Worker(), _Reports(connection)
        remote_report.set(reports.report)
        while connection.poll(IDLE_SECONDS):
            message = pickle.loads(connection.recv_bytes())
            reports.begin()
            remote_clock.set(None if message[-1] is None else _Clock(message[-1], reports, stacks))
            answer = worker.answer(message)
            _flush()
            reports.answer(answer)
            if _terminated:
                raise _terminated[0]
        connection.send_bytes(pickle.dumps((LEAVING, b"", "")))
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except (EOFError, OSError):
        pass  # the program has ended, or needs no more calls
    # Leave without taking the interpreter apart: that takes longer than most tasks.
    atexit._run_exitfuncs()
    _flush()
    os._exit(0)


@contextlib.contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    """Set some variables of the environment for a while."""
    before = {name: os.environ.get(name) for name in environ}
    os.environ.update(environ)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the call may have closed or replaced it
            stream.flush()


_terminated: list[_Terminated] = []
"""SIGTERM that came while outputs became visible: the process ends when it has answered."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    run: TaskRun | None = active_run.get()  # type: ignore[assignment]
    error = _Terminated()
    if run is not None and not run.give_up(error):
        _terminated.append(error)
    else:
        raise error


def _end_with_program() -> None:
    """End the process soon after the program has gone, also in the middle of a call.

    A worker without a call sees its connection close. On Windows, where the number of the parent stays, so does one
    that is busy, when its call has ended.
    """
    if hasattr(signal, "pthread_sigmask"):
        # A signal that this thread took would not wake the main thread, which answers it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    rest = process_tree(os.getpid())
    del rest[os.getpid()]
    kill_rest(rest)
    os._exit(1)
