"""What does a worker process do? It takes parcels from its connection, one at a time, and answers each.

Started by `process`; nothing else calls this. A parcel is what `processes` makes of one submitted call:

    (settings, definitions, choices, work)

where all but the work is empty unless it has changed since the last parcel. An answer is (tag, pickle, text).

The worker ends when its connection closes: at once when it is idle or the program was killed. SIGTERM ends the work as
Ctrl-C does, so that locks are given back and half-written files removed; SIGINT is the program's business.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from kart_runtime.execution.executors.pickling import DefinitionTable, loads
from kart_runtime.execution.executors.program_state import Choices, Settings

RESULT, ERROR, BYE = "result", "error", "bye"
Answer = tuple[str, bytes, str]
Parcel = tuple[bytes, Sequence[tuple[tuple[int, ...], bytes]], bytes, bytes]

IDLE_SECONDS = 300
"""A worker without work ends after this time, so that a forgotten notebook holds no memory."""

_LOOK_SECONDS = 5
_LAST_SECONDS = 5


class _Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the work stands."""


class _Worker:
    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._vocabulary = DefinitionTable(defines=False)
        self._unusable: BaseException | None = None
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self.busy = False

    def turn(self) -> bool:
        """Do one piece of work; return whether there may be more."""
        if not self._poll.poll(IDLE_SECONDS * 1000):
            self._connection.send_bytes(pickle.dumps((BYE, b"", "")))
            return False
        parcel: Parcel = pickle.loads(self._connection.recv_bytes())
        self.busy = True
        answer = self._answer(parcel)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the work may have closed or replaced it
                stream.flush()
        self.busy = False
        self._connection.send_bytes(pickle.dumps(answer))
        return True

    def _answer(self, parcel: Parcel) -> Answer:
        settings, definitions, choices, work = parcel
        try:
            self._prepare(settings, definitions, choices)
            function, args, kwargs = loads(work)
            value = function(*args, **kwargs)
            return RESULT, self._vocabulary.dumps(value, f"the result of {_name(function)}"), ""
        except _Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit: it ends the work, and not the worker
            return self._failure(error)

    def _prepare(self, settings: bytes, definitions: Sequence[tuple[tuple[int, ...], bytes]], choices: bytes) -> None:
        if settings:
            self._vocabulary.forget()
            self._unusable = RuntimeError("the settings of the program could not be taken over")
            taken: Settings = pickle.loads(settings)
            taken.apply()
        for numbers, code in definitions:
            self._vocabulary.learn(numbers, code)
        if choices:
            try:
                chosen: Choices = loads(choices)
                chosen.apply()
                self._unusable = None
            except Exception as error:
                self._unusable = error
                raise
        if self._unusable is not None:
            raise self._unusable

    def _failure(self, error: BaseException) -> Answer:
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(Exception):
            error.add_note(f"In worker process {os.getpid()}:\n{text}")
        try:
            return ERROR, self._vocabulary.dumps(error, "the error"), text
        except Exception:  # noqa: BLE001 - whatever its class does when it is pickled; its text arrives
            return ERROR, b"", text


def serve(connection: Connection[Any, Any]) -> None:
    """Work until the program closes the connection.

    Parameters
    ----------
    connection
        To the program.
    """
    signal.signal(signal.SIGTERM, _terminate)
    with contextlib.suppress(Exception):  # no standard error to write to
        faulthandler.enable()
    try:
        worker = _Worker(connection)
        threading.Thread(target=_watch, args=(worker, connection.fileno()), daemon=True).start()
        import_module("kart_runtime.execution.attempt")  # nearly all work needs it
        gc.freeze()  # what was imported stays; `process` has stopped the collection for as long as that took
        gc.enable()
        while worker.turn():
            pass
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except (EOFError, OSError):
        pass  # the program is gone, or needs no more work
    _leave()


def _leave() -> None:
    """End in order, except that the interpreter is not taken apart: that takes longer than most tasks."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _watch(worker: _Worker, connection: int) -> None:
    """End the process when the program has gone, also in the middle of work.

    The other end of the connection may live on in a fork of the program, hence the second question.
    """
    # A signal that this thread took would not wake the main thread, which answers it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    parent = os.getppid()
    poll = select.poll()
    poll.register(connection, 0)  # only that it was hung up, not that something has come
    while not poll.poll(_LOOK_SECONDS * 1000) and os.getppid() == parent:
        pass
    if not worker.busy:
        time.sleep(_LAST_SECONDS)  # the main thread sees it, too, and leaves in order
    os._exit(1)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
