"""Time limits of single tries: the error, where a thread stands, and how it is made to stop.

A try is ended where it can be: a worker process is killed. A thread cannot be: `interrupt` raises an error where its
Python code stands, which a call that waits in C reaches only when it returns, and not where it may hold a lock that the
error would leave taken. Such a thread goes on, and nothing of its run is stored any more.
"""

from __future__ import annotations

import ctypes
import dis
import logging
import queue
import re
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from kart_runtime.errors import KartError, add_note

_ENGINE = str(Path(__file__).parents[1])
_MOST_FRAMES = 3
"""Calls that the message of an error names; a note has all."""

_MOMENT_SECONDS = 0.5
"""How long to look for a moment at which a thread can be interrupted."""

_LOOK_SECONDS = 0.001
"""How often to look."""

_ENTERING = frozenset({"__enter__", "__exit__"})
_LOCKING = _ENTERING | {"acquire", "release"}
"""Functions of any lock that is written in Python, or wrapped in it."""

_LOCKS_INSIDE = frozenset({threading.__file__, queue.__file__})
_FIRST_CALLS = frozenset({"_bootstrap", "_bootstrap_inner", "run"})
"""With them a thread begins."""

_WAITING = frozenset({"wait", "wait_for", "join", "_wait_for_tstate_lock"})
"""Functions of `threading` that leave no lock taken whenever an error comes."""

Stack = Sequence[tuple[str, int, str]]
"""File, line and function of each call, the innermost last."""


class TaskTimeout(KartError, TimeoutError):
    """A try of a task took longer than it may, and was ended or given up.

    Parameters
    ----------
    task
        The task, as text.
    seconds
        The limit.
    where
        Where it stood, innermost call last: file, line and function.
    how
        What became of it, as the end of a sentence.
    """

    def __init__(self, task: str, seconds: float, where: Stack = (), how: str = "was ended") -> None:
        self.task, self.seconds, self.where, self.how = task, seconds, tuple(where), how
        calls = _shown(where)
        at = ", called by ".join(f"{name} ({Path(file).name}:{line})" for file, line, name in calls)
        place = f" It was in {at}." if at else ""
        super().__init__(
            f"{task} ran longer than timeout = {seconds:g} s and {how}.{place} Raise the timeout of its class, or "
            "run.timeout (--timeout), if it needs more."
        )
        if where:
            lines = "".join(traceback.format_list([(file, line, name, None) for file, line, name in where]))
            add_note(self, f"Where it was at that moment:\n{lines.rstrip()}")


class Interrupted(BaseException):
    """The error that `interrupt` raises in a thread; no `except Exception` of a task takes it."""


def stack_of(thread: int) -> Stack:
    """Return where a thread of this process stands, without the engine's calls above the task's own."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ()
    calls = [(each.filename, each.lineno or 0, each.name) for each in traceback.extract_stack(frame, limit=None)]
    return _below_engine(calls)


_DUMPED = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


def dumped_stack(text: str, thread: int) -> Stack:
    """Return the stack of a thread from what `faulthandler` has written, the innermost call first."""
    parts = re.split(r"^(?:Current )?[Tt]hread 0x([0-9a-f]+)[^\n]*\n", text, flags=re.MULTILINE)
    stacks = {int(number, 16): lines for number, lines in zip(parts[1::2], parts[2::2], strict=False)}
    found = [_DUMPED.match(line) for line in stacks.get(thread, "").splitlines()]
    return _below_engine([(match[1], int(match[2]), match[3]) for match in found if match is not None][::-1])


def _below_engine(calls: list[tuple[str, int, str]]) -> Stack:
    """Leave out the calls that led to the task's own code; all of them stay if there is none of it."""
    first = next((n for n, (file, _, name) in enumerate(calls) if name == "_advance" and file.startswith(_ENGINE)), -1)
    return calls[first + 1 :] or calls


def _shown(where: Stack) -> Stack:
    """Return the innermost call, and those of the program's own code above it, the innermost first."""
    last = len(where) - 1
    return [call for n, call in enumerate(where) if n == last or not call[0].startswith(_foreign())][::-1][
        :_MOST_FRAMES
    ]


@lru_cache(maxsize=1)
def _foreign() -> tuple[str, ...]:
    """Return where the code lies that is not the program's own: kart's, Python's and installed libraries."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (_ENGINE, "<frozen", *(sysconfig.get_path(name) for name in names))


def interrupt(thread: int) -> None:
    """Raise `Interrupted` where the Python code of a thread stands, or when it returns to it.

    Where it may hold a lock that this would leave taken, or imports a module, it is left alone; after a while for good.
    """
    set_error: Callable[..., int] = ctypes.pythonapi.PyThreadState_SetAsyncExc
    number, error = ctypes.c_ulong(thread), ctypes.py_object(Interrupted)
    deadline = time.monotonic() + _MOMENT_SECONDS
    while True:
        frame = sys._current_frames().get(thread)
        if frame is None:
            return
        if not _may_leave_lock(frame):
            set_error(number, error)
            return
        if time.monotonic() > deadline:
            return
        # After a pause, no other thread gets the interpreter for 5 ms: the thread does not move after the look.
        del frame
        time.sleep(_LOOK_SECONDS)


def _may_leave_lock(frame: FrameType) -> bool:
    """Return whether an error where a thread stands might leave a lock taken, or a module half imported.

    Most locks are safe: ``with lock:`` has no moment between taking it and the block. Locks written in Python have.
    """
    file, name = _place(frame)
    caller = frame.f_back
    if name in _LOCKING or (caller is not None and _place(caller)[1] in _ENTERING):
        return True
    if file == logging.__file__ and name != "emit" and not _has_handler(frame):  # `emit` is called where one has it
        return True
    is_waiting = file == threading.__file__ and name in _WAITING
    each: FrameType | None = frame
    while each is not None:
        file, name = _place(each)
        if file.startswith("<frozen importlib"):
            return True
        if not is_waiting and file in _LOCKS_INSIDE and (each is frame or name not in _FIRST_CALLS):
            return True
        if name == "_advance" and file.startswith(_ENGINE):
            return False  # above it is the engine
        each = each.f_back
    return False


def _has_handler(frame: FrameType) -> bool:
    """Return whether a function stands inside of a ``try`` or ``with``, which ends as it should after an error."""
    entries: Sequence[Any] = vars(dis.Bytecode(frame.f_code)).get("exception_entries", ())
    return any(entry.start <= frame.f_lasti < entry.end for entry in entries)


def _place(frame: FrameType) -> tuple[str, str]:
    return frame.f_code.co_filename, frame.f_code.co_name


def withdraw_interrupt(thread: int) -> None:
    """Take back an `interrupt` that has not come yet."""
    set_error: Callable[..., int] = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_error(ctypes.c_ulong(thread), None)


class Clock(Protocol):
    """What is told when a try begins, or goes on, and when it stands still."""

    def start(self) -> None:
        """Go on."""
        ...

    def stop(self) -> None:
        """Stand still."""
        ...

    def check(self, task: str) -> None:
        """Raise `TaskTimeout` if the time is over, and nobody could end the task before."""
        ...


remote_clock: ContextVar[Clock | None] = ContextVar("remote_clock", default=None)
"""Clock of the call that a worker runs here, if its time is limited."""


class ThreadClock:
    """Time that a try has taken in a thread of this process, without that in which it waited for others."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.thread = 0
        self._used = 0.0
        self._began: float | None = None

    def start(self) -> None:
        """Go on."""
        self.thread, self._began = threading.get_ident(), time.monotonic()

    def stop(self) -> None:
        """Stand still."""
        if self._began is not None:
            self._used += time.monotonic() - self._began
            self._began = None

    def check(self, task: str) -> None:
        """Raise `TaskTimeout` if the time is over, and nobody could end the task before."""
        left = self.left()
        if left is not None and left <= 0:
            took = self.seconds - left
            how = f"came back after {took:.3g} s: nothing could end it before, and nothing of it is stored"
            raise TaskTimeout(task, self.seconds, (), how)

    def left(self) -> float | None:
        """Return the seconds that are left; None while it stands still."""
        began = self._began
        return None if began is None else self.seconds - self._used - (time.monotonic() - began)
