"""What is a worker process on the program's side? A fresh interpreter, and the connection to it.

Fresh and not forked: threads of the program (of numpy, polars, redis ...) hold locks that a fork would copy for ever,
and a script needs no ``if __name__ == "__main__"``, because a worker never runs it. Made and ended by `kept` and
`processes`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from multiprocessing import spawn
from multiprocessing.connection import Connection
from typing import Any

from kart_runtime.execution.executors.program_state import search_path

_START = """
import gc, signal, sys
gc.disable()
signal.signal(signal.SIGINT, lambda *_: None)
from multiprocessing.connection import Connection
connection = Connection({fd})
sys.path[:] = connection.recv()
from kart_runtime.execution.executors.processes.worker import serve
serve(connection)
"""
# A handler and not SIG_IGN for SIGINT: what the work starts (subprocess) would inherit that it is ignored.

Specs = Mapping[str, ModuleSpec]


class Worker:
    """A worker process.

    Parameters
    ----------
    specs
        The modules that are loaded in the program, to see later whether one has been loaded again.

    Attributes
    ----------
    pid
        Its process.
    connection
        To it.
    build
        The mark of the executor whose settings it has.
    told
        How many definitions of that executor it has.
    specs, outputs
        What the program had loaded, and where it wrote, when this began.
    """

    def __init__(self, specs: Specs) -> None:
        ours, its = socket.socketpair()
        with its:
            command = [
                _text(spawn.get_executable()),
                *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
                "-c",
                _START.format(fd=its.fileno()),
            ]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    command, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()]
                )
            except BaseException:
                ours.close()
                raise
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        self.pid = self._process.pid
        self.build: object = None
        self.told = 0
        self.specs = dict(specs)
        self.outputs = outputs()
        with contextlib.suppress(OSError):  # it died at once; whoever gives it work will see that
            self.connection.send_bytes(pickle.dumps(search_path()))

    def send(self, parcel: Any) -> None:
        """Send a parcel, described in `worker`.

        Raises
        ------
        OSError
            When the process is gone.
        """
        self.connection.send_bytes(pickle.dumps(parcel))

    def receive(self) -> Any:
        """Return an answer, waiting for it.

        Raises
        ------
        EOFError, OSError
            When the process is gone.
        """
        return pickle.loads(self.connection.recv_bytes())

    def is_silent(self) -> bool:
        """Return whether an idle worker is as it should be: it has neither died nor said that it leaves."""
        try:
            return not self.connection.poll(0) and self._process.poll() is None
        except OSError:
            return False

    def is_gone(self) -> bool:
        """Return whether the process has ended and everything it said has been read."""
        return self._process.poll() is not None and not self.connection.poll(0)

    def hang_up(self) -> None:
        """Close the connection, which ends the worker."""
        self.connection.close()

    def terminate(self) -> None:
        """Interrupt its work and end it."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def exit_code(self, seconds: float) -> int | None:
        """Return how it ended, as `subprocess` does; after a time it is killed.

        Parameters
        ----------
        seconds
            How long to wait.

        Returns
        -------
        None when it had to be killed.
        """
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None


def loaded_specs() -> dict[str, ModuleSpec]:
    """Return the specs of all modules of this process; loading a module again gives it a new one."""
    specs = ((name, getattr(module, "__spec__", None)) for name, module in list(sys.modules.items()))
    return {name: spec for name, spec in specs if spec is not None}


def outputs() -> tuple[tuple[int, int], ...]:
    """Return which files standard output and error are, as far as they are open; workers inherit them."""
    found = []
    for number in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            found.append((status.st_dev, status.st_ino))
    return tuple(found)


def _text(path: str | bytes | None) -> str:
    return path.decode() if isinstance(path, bytes) else path or sys.executable
