"""Locks of the operating system on files of the workspace, for processes that share a disk.

`filelock` has the call for each system. Its `FileLock` objects are not used: they cannot tell who holds the lock, and
take a hundred times as long as its two functions for descriptors (decision 24).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kart_runtime.errors import ConfigError, LockLost, LockTimeout
from kart_runtime.execution.locks.lease import holder_id
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.workspace import Workspace

_FIRST_PAUSE, _LAST_PAUSE = 0.005, 0.5
"""Seconds between two tries at a lock that another process holds."""


class FileLocks:
    """Locks on files of a workspace; tasks that have a workspace of their own are locked there.

    The system releases such a lock when its process ends, however it ends, and not before. The files stay, since they
    cost nothing. A holder whose file was removed notices before it writes.
    """

    shared = True

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def check(self) -> None:
        """Raise `ConfigError` if this system cannot lock files."""
        from filelock import FileLock, SoftFileLock

        if issubclass(FileLock, SoftFileLock):
            raise ConfigError("this system cannot lock files", key="run.locks", expected="none or redis://HOST:PORT")

    @contextlib.contextmanager
    def hold(self, name: str, workspace: str | None, wait: float) -> Iterator[_FileLock]:
        """Hold a name; try with growing pauses for at most `wait` seconds."""
        from filelock import unlock_descriptor

        folder = local_folder(workspace or self.workspace)
        descriptor = _acquire(Path(split_url(Workspace(folder).lock(name))[1]), name, wait)
        holder = os.getpid()
        try:
            os.ftruncate(descriptor, 0)
            # On Windows other processes cannot read the first byte, on which the lock is.
            os.write(descriptor, f" {holder_id()}".encode())
            yield _FileLock(descriptor, name)
        finally:
            # Closing alone would leave the lock to a process that the task has forked, which has the file open, too;
            # and that one must not release what is not its own.
            if os.getpid() == holder:
                unlock_descriptor(descriptor)
            os.close(descriptor)


class _FileLock:
    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self._name = descriptor, name

    def check(self) -> None:
        if _is_removed(self._descriptor):
            raise LockLost(self._name, "its lock file was removed, so another process could create a new one")


def local_folder(workspace: str) -> str:
    """Return a workspace that lies on a disk; raise `ConfigError` for another one."""
    if not Workspace(workspace).is_local:
        message = f"{workspace} is not on a disk, so it cannot hold lock files"
        raise ConfigError(message, key="run.locks", expected="workspace, for locks in the object store itself")
    return workspace


def _acquire(path: Path, name: str, wait: float) -> int:
    """Return the descriptor of a lock file, locked."""
    started, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        descriptor = _open(path)
        try:
            holder = _lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if holder is None:
            return descriptor
        os.close(descriptor)
        waited = time.monotonic() - started
        if waited >= wait:
            raise LockTimeout(name, waited, holder)
        time.sleep(min(pause, wait - waited))
        pause = min(pause * 1.5, _LAST_PAUSE)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _lock(descriptor: int) -> str | None:
    """Lock a file and return None; return who holds it if another process does."""
    from filelock import lock_descriptor

    if not lock_descriptor(descriptor, blocking=False):
        os.lseek(descriptor, 1, os.SEEK_SET)
        return os.read(descriptor, 400).decode(errors="replace") or "another process"
    # Somebody may have removed the file since it was opened, so that others lock a new one.
    return "another process" if _is_removed(descriptor) else None


def _is_removed(descriptor: int) -> bool:
    return os.fstat(descriptor).st_nlink == 0
