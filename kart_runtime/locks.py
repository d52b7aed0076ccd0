"""Whose turn is it? A lock round one attempt, so that several processes on one workspace do not do the same work.

Writes are atomic, so a lock saves work and is not needed for correctness: a lost lock costs a computation, never data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kart_runtime.errors import ConfigError, LockTimeout, nearest

KINDS = ("none", "file")


class Locks(Protocol):
    """Something that gives turns."""

    shared: bool
    """Whether another process may have done the work meanwhile, so that completeness is asked again inside."""

    def hold(self, name: str, wait: float) -> AbstractContextManager[None]:
        """Hold a name inside a ``with`` block; wait for it up to `wait` seconds, then raise `LockTimeout`."""
        ...


class NoLocks:
    """Everybody may run at once."""

    shared = False

    def hold(self, name: str, wait: float) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's form
        """Do nothing."""
        return contextlib.nullcontext()


class FileLocks:
    """Locks of the operating system on files of a folder: for processes of one machine.

    The system lets go of such a lock when its process ends, however it ends, so none is ever left behind. The files
    stay: removing one while another process opens it would let both hold "the" lock.

    Parameters
    ----------
    folder
        Where the lock files lie.
    """

    shared = True

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @contextlib.contextmanager
    def hold(self, name: str, wait: float) -> Iterator[None]:
        """Hold a name; poll with growing pauses for at most `wait` seconds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(descriptor, path, wait)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} since {time.strftime('%Y-%m-%dT%H:%M:%S%z')}".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _flock(descriptor: int, path: Path, wait: float) -> None:
    started, pause = time.monotonic(), 0.005
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited >= wait:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace")
                raise LockTimeout(path.stem, waited, holder or "another process") from None
            time.sleep(min(pause, wait - waited))
            pause = min(pause * 1.5, 0.5)
        else:
            return


def make_locks(kind: str, workspace: str) -> Locks:
    """Return the locks of a kind.

    Parameters
    ----------
    kind
        "none" or "file".
    workspace
        The folder of the workspace; lock files lie in its ``log/locks``.

    Raises
    ------
    ConfigError
        For another kind.
    """
    if kind == "none":
        return NoLocks()
    if kind == "file":
        return FileLocks(str(Path(workspace) / "log" / "locks"))
    raise ConfigError(
        f"unknown kind of locks '{kind}'", key="run.locks", expected=" or ".join(KINDS), nearest=nearest(kind, KINDS)
    )
