"""Worker process as the program sees it: a new interpreter, and a connection to it.

New and not forked: threads of the program (of numpy, polars, redis ...) hold locks that a fork would copy for ever, and
a script needs no ``if __name__ == "__main__"``, because a worker never runs it. The connection is the worker's standard
input, which is the one handle that `subprocess` passes on every system.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from multiprocessing import Pipe, spawn
from pathlib import Path
from typing import Any, Protocol

import luigi

from kart_runtime.errors import warn
from kart_runtime.execution.executors.base import Report
from kart_runtime.execution.executors.calls import PROGRESS, STARTED, Answer
from kart_runtime.execution.executors.program_state import search_path
from kart_runtime.task.naming import display_name

_START = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import gc, os, signal
gc.disable()
signal.signal(signal.SIGINT, lambda *_: None)
from multiprocessing import connection
stacks = int(sys.argv.pop()) if sys.argv[1:] else None
number = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if sys.platform == "win32":
    import msvcrt
    link = connection.PipeConnection(msvcrt.get_osfhandle(number))
else:
    link = connection.Connection(number)
sys.path[:] = link.recv()
from kart_runtime.execution.executors.processes.worker import serve
serve(link, stacks)
"""
# First the empty entry of the path goes, with which `python -c` would import a random.py of the current folder.
# A handler and not SIG_IGN for SIGINT: what the call starts (subprocess) would inherit that it is ignored.

_POLL_SECONDS = 5.0
"""How often to look whether a busy worker lives: a process that its call started may hold the connection open."""

_BUFFER = 1 << 16 if sys.platform == "linux" else 1 << 12
"""Bytes that the system takes at once, although nobody reads them."""

_END_SECONDS = 1.0
"""How long to wait until a thread notices that the process has ended to which it sends."""

_STACK_SECONDS = 0.01
"""How often to look whether a worker has written where it stands."""

_LAST_LOOKS = 5
"""Looks without anything new after which it has written all."""

logger = logging.getLogger(__name__)

Specs = Mapping[str, ModuleSpec]


class Watch(Protocol):
    """What watches over a call while it runs."""

    def pause(self) -> float:
        """Return the seconds until the next look."""
        ...

    def started(self, thread: int) -> None:
        """Hear that the time of the call begins."""
        ...

    def check(self) -> Answer | None:
        """Look; raise an error after the worker was ended, or return what it has answered at the last moment."""
        ...


class WorkerProcess:
    """A worker process.

    `table` and `n_definitions` say what it has: the table of the executor whose settings are in force there, and how
    many of its definitions. `specs` and `streams` are the modules that the program had loaded, and the files that it
    wrote to, when the worker started. `is_new` says that it has had no call yet, and `gpus` what kart chose as
    ``CUDA_VISIBLE_DEVICES`` of its calls: libraries look at that once in the life of a process. `is_ending` says
    that it was told to end, although it has still answered, and `idle_since` when it had its last call.
    """

    def __init__(self, specs: Specs) -> None:
        self._connection, theirs = Pipe()
        self._stacks, number = _stack_pipe()
        numbers = () if number is None else (number,)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our interpreter
                    [*_command(), *map(str, numbers)], stdin=_file_number(theirs), pass_fds=numbers
                )
            except BaseException:
                self.disconnect()
                raise
            finally:
                for each in numbers:
                    os.close(each)
        self.pid = self._process.pid
        self.table: object = None
        self.n_definitions = 0
        self.is_new = True
        self.gpus: str | None = None
        self.is_ending = False
        self.idle_since = time.monotonic()
        self._sender: threading.Thread | None = None
        self._has_sent = True
        self.specs = dict(specs)
        self.streams = standard_streams()
        with contextlib.suppress(OSError):  # it died at once, which whoever sends it a call will see
            self._connection.send(search_path())

    def send(self, message: Any) -> None:
        """Send a message as described in `worker`; raise OSError when the process has ended.

        A message that the system might not take at once is sent by a thread: `receive` watches over that, too.
        """
        data = pickle.dumps(message)
        if len(data) <= _BUFFER:
            self._connection.send_bytes(data)
            return
        self._sender = threading.Thread(target=self._send_slowly, args=(data,), name="kart-send", daemon=True)
        self._has_sent = False
        self._sender.start()

    def _send_slowly(self, data: bytes) -> None:
        with contextlib.suppress(Exception):  # the process has ended, or the connection was closed
            self._connection.send_bytes(data)
            self._has_sent = True

    def has_read(self) -> bool:
        """Return whether a process that has ended may have read all of the last message."""
        if self._sender is not None:
            self._sender.join(_END_SECONDS)
        return self._has_sent

    def receive(self, report: Report | None = None, watches: Sequence[Watch] = (), task: object = None) -> Answer:
        """Wait for an answer, while others watch; raise EOFError or OSError when the process has ended.

        `report` is called with what the call reports meanwhile; `task` is whose call it is.
        """
        was_stopped = False
        while True:
            pause = min([_POLL_SECONDS, *(watch.pause() for watch in watches)])
            if self._connection.poll(pause):
                answer: Answer = pickle.loads(self._connection.recv_bytes())
                if answer[0] not in (PROGRESS, STARTED):
                    return answer
                _pass_on(answer, report, watches)
            elif self._process.poll() is not None and not self._connection.poll(0):
                raise EOFError
            elif pause == _POLL_SECONDS:
                was_stopped = self._warn_if_stopped(was_stopped, task)
            for watch in watches:
                late = watch.check()
                if late is not None:
                    return late

    def _warn_if_stopped(self, was_stopped: bool, task: object) -> bool:
        is_stopped = self.is_stopped()
        if is_stopped and not was_stopped:
            text = (
                "Worker process %s, which runs %s, is stopped (SIGSTOP, or a debugger); `kill -CONT %s` continues it."
            )
            name = display_name(task) if isinstance(task, luigi.Task) else task
            warn(logger, text, self.pid, name, self.pid)
        return is_stopped

    def answer_within(self, seconds: float) -> Answer | None:
        """Return an answer that comes at the last moment, from a process that was told to end."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(EOFError, OSError):
            while (left := deadline - time.monotonic()) > 0 and self._connection.poll(left):
                answer: Answer = pickle.loads(self._connection.recv_bytes())
                if answer[0] not in (PROGRESS, STARTED):
                    return answer
        return None

    def stack_text(self, seconds: float) -> str:
        """Return what `faulthandler` has written in the process about its threads, after `seconds` at the latest."""
        deadline, text, silent = time.monotonic() + seconds, b"", 0
        # It writes line by line, and does not say which line is the last one.
        while self._stacks is not None and time.monotonic() < deadline and not (text and silent > _LAST_LOOKS):
            try:
                part = os.read(self._stacks, 1 << 16)
            except BlockingIOError:
                silent += 1
                time.sleep(_STACK_SECONDS)
                continue
            if not part:  # it has ended
                break
            text, silent = text + part, 0
        return text.decode(errors="replace")

    def forget_stacks(self) -> None:
        """Drop what was written about an earlier call."""
        with contextlib.suppress(OSError, TypeError):
            while self._stacks is not None and os.read(self._stacks, 1 << 16):
                pass

    def is_stopped(self) -> bool:
        """Return whether the process was stopped by a signal, and does not run."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            psutil = sys.modules.get("psutil")
            with contextlib.suppress(Exception):
                return psutil is not None and psutil.Process(self.pid).status() == "stopped"
            return False
        return status.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])

    def is_idle(self) -> bool:
        """Return whether a worker without a call can take one: it has neither died nor sent that it leaves."""
        try:
            return not self._connection.poll(0) and self._process.poll() is None
        except OSError:
            return False

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def disconnect(self) -> None:
        """Close the connection, which ends an idle worker."""
        self._connection.close()
        number, self._stacks = self._stacks, None
        if number is not None:
            os.close(number)

    def terminate(self) -> None:
        """Interrupt its call and end it."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def exit_code(self, seconds: float) -> int | None:
        """Return how it ended, as `subprocess` does; after `seconds`, kill it and return None."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None


def _pass_on(answer: Answer, report: Report | None, watches: Sequence[Watch]) -> None:
    """Pass on what a worker says while its call runs."""
    if answer[0] == STARTED:
        for watch in watches:
            watch.started(pickle.loads(answer[1]))
    elif report is not None:
        report(*pickle.loads(answer[1]))


def _stack_pipe() -> tuple[int | None, int | None]:
    """Return the two ends of a pipe for where the threads of a worker stand; none on Windows, which cannot pass it."""
    if os.name == "nt":
        return None, None
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


def loaded_specs() -> dict[str, ModuleSpec]:
    """Return the specs of all modules of this process; loading a module again gives it a new one."""
    specs = ((name, getattr(module, "__spec__", None)) for name, module in sys.modules.copy().items())
    return {name: spec for name, spec in specs if spec is not None}


def standard_streams() -> tuple[tuple[int, int], ...]:
    """Return which files standard output and error are, if they are open; workers inherit them."""
    streams = []
    for number in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            streams.append((status.st_dev, status.st_ino))
    return tuple(streams)


def _command() -> list[str]:
    executable = os.fsdecode(spawn.get_executable() or sys.executable)
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [executable, *flags, "-c", _START]


def _file_number(connection: Any) -> int:
    """Return a number that `subprocess` takes for a stream; Windows makes it from the handle of a pipe."""
    handle: int = connection.fileno()
    if os.name != "nt":
        return handle
    open_handle: Callable[[int, int], int] = vars(import_module("msvcrt"))["open_osfhandle"]
    return open_handle(handle, os.O_RDWR)
