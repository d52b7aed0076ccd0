"""Worker process as the program sees it: a new interpreter, and a connection to it.

New and not forked: threads of the program (of numpy, polars, redis ...) hold locks that a fork would copy for ever, and
a script needs no ``if __name__ == "__main__"``, because a worker never runs it. The connection is the worker's standard
input, which is the one handle that `subprocess` passes on every system.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from multiprocessing import Pipe, spawn
from typing import Any

from kart_runtime.execution.executors.base import Report
from kart_runtime.execution.executors.calls import PROGRESS, Answer
from kart_runtime.execution.executors.program_state import search_path

_START = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import gc, os, signal
gc.disable()
signal.signal(signal.SIGINT, lambda *_: None)
from multiprocessing import connection
number = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if sys.platform == "win32":
    import msvcrt
    link = connection.PipeConnection(msvcrt.get_osfhandle(number))
else:
    link = connection.Connection(number)
sys.path[:] = link.recv()
from kart_runtime.execution.executors.processes.worker import serve
serve(link)
"""
# First the empty entry of the path goes, with which `python -c` would import a random.py of the current folder.
# A handler and not SIG_IGN for SIGINT: what the call starts (subprocess) would inherit that it is ignored.

_POLL_SECONDS = 5.0
"""How often to look whether a busy worker lives: a process that its call started may hold the connection open."""

Specs = Mapping[str, ModuleSpec]


class WorkerProcess:
    """A worker process.

    `table` and `n_definitions` say what it has: the table of the executor whose settings are in force there, and how
    many of its definitions. `specs` and `streams` are the modules that the program had loaded, and the files that it
    wrote to, when the worker started. `is_new` says that it has had no call yet, and `gpus` what kart chose as
    ``CUDA_VISIBLE_DEVICES`` of its calls: libraries look at that once in the life of a process.
    """

    def __init__(self, specs: Specs) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            try:
                self._process = subprocess.Popen(_command(), stdin=_file_number(theirs))  # noqa: S603 - our interpreter
            except BaseException:
                self._connection.close()
                raise
        self.pid = self._process.pid
        self.table: object = None
        self.n_definitions = 0
        self.is_new = True
        self.gpus: str | None = None
        self.specs = dict(specs)
        self.streams = standard_streams()
        with contextlib.suppress(OSError):  # it died at once, which whoever sends it a call will see
            self._connection.send(search_path())

    def send(self, message: Any) -> None:
        """Send a message as described in `worker`; raise OSError when the process has ended."""
        self._connection.send_bytes(pickle.dumps(message))

    def receive(
        self,
        report: Report | None = None,
        check: Callable[[], object] | None = None,
        seconds: float = _POLL_SECONDS,
    ) -> Answer:
        """Wait for an answer, calling `check` at intervals; raise EOFError or OSError when the process has ended.

        `report` is called with what the call reports meanwhile.
        """
        while True:
            while not self._connection.poll(seconds):
                if check is not None:
                    check()
                if self._process.poll() is not None and not self._connection.poll(0):
                    raise EOFError
            answer: Answer = pickle.loads(self._connection.recv_bytes())
            if answer[0] != PROGRESS:
                return answer
            if report is not None:
                report(*pickle.loads(answer[1]))

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
