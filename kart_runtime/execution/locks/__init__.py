"""Whose turn is it? A lock round one attempt, so that several processes on one workspace do not do the same work.

Writes are atomic, so a lock saves work and is not needed for correctness: a lost lock costs a computation, never data.
Of three kinds, this module has the one for processes that share a disk, and chooses between them::

    FileLocks       on a disk          locks of the operating system; nothing to renew
    StoreLocks      store_locks        an object in the store of the workspace, renewed
    RedisLocks      redis_locks        a key on a redis server, renewed

Made by `builder`, held by `attempt`; the names are checked by `project`, too.
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

from kart_runtime.errors import ConfigError, LockLost, LockTimeout, closest_match
from kart_runtime.execution.locks import redis_server
from kart_runtime.execution.locks.lease import holder_id
from kart_runtime.execution.locks.object_store import StoreLocks, conditional_store
from kart_runtime.execution.locks.redis_server import RedisLocks
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.workspace import Workspace

KINDS = ("none", "file", "workspace", redis_server.FORM)


class LockHandle(Protocol):
    """What holding a lock gives."""

    def check(self) -> None:
        """Return when it is still this process's turn; raise `LockLost` when another process may have it."""
        ...


class Locks(Protocol):
    """Something that gives turns."""

    shared: bool
    """Whether another process may have done the work meanwhile, so that completeness is asked again inside."""

    def check(self) -> None:
        """Raise `ConfigError` if the locks cannot be used, for example because no server answers."""
        ...

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[LockHandle]:
        """Hold a name of a workspace inside a ``with`` block.

        It is waited for up to `wait` seconds; then `LockTimeout` is raised. Without a workspace it is that of the
        build.
        """
        ...


class NoLocks:
    """Everybody may run at once."""

    shared = False

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[NoLocks]:  # noqa: ARG002 - the protocol's form
        """Do nothing."""
        return contextlib.nullcontext(self)

    def check(self) -> None:
        """Do nothing."""


class FileLocks:
    """Locks of the operating system on files of the workspace: for processes of one machine.

    The system lets go of such a lock when its process ends, however it ends, and not before. The files stay, since it
    costs nothing. When somebody removes one, its holder notices before it writes.

    Parameters
    ----------
    workspace
        The workspace of tasks that have none of their own.
    """

    shared = True

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def check(self) -> None:
        """Return: a folder needs no server."""

    @contextlib.contextmanager
    def hold(self, name: str, workspace: str | None, wait: float) -> Iterator[LockHandle]:
        """Hold a name; poll with growing pauses for at most `wait` seconds."""
        folder = _checked_folder(workspace or self.workspace)
        descriptor = _locked(Path(split_url(Workspace(folder).lock(name))[1]), name, wait)
        holder = os.getpid()
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, holder_id().encode(), 0)
            yield _FileTurn(descriptor, name)
        finally:
            # Closing alone would leave the lock to a process that the task has forked, which has the file open, too;
            # and that one must not give back what is not its own.
            if os.getpid() == holder:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


class _FileTurn:
    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self._name = descriptor, name

    def check(self) -> None:
        if _is_removed(self._descriptor):
            raise LockLost(self._name, "its lock file was removed, so that another process could make a new one")


def _locked(path: Path, name: str, wait: float) -> int:
    """Return the descriptor of a lock file, locked."""
    started, pause = time.monotonic(), 0.005
    while True:
        descriptor = _opened(path)
        try:
            holder = _holder(descriptor)
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
        pause = min(pause * 1.5, 0.5)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _holder(descriptor: int) -> str | None:
    """Lock a file; return None then, else who holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 400, 0).decode(errors="replace") or "another process"
    # Somebody may have removed it since it was opened, and others lock a new one.
    return "another process" if _is_removed(descriptor) else None


def _is_removed(descriptor: int) -> bool:
    return os.fstat(descriptor).st_nlink == 0


class WorkspaceLocks:
    """Locks in the workspace itself, wherever it is: files in a folder, objects in an object store.

    Parameters
    ----------
    workspace
        The workspace of tasks that have none of their own.
    """

    shared = True

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def check(self) -> None:
        """Return: a folder needs no server."""

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[LockHandle]:
        """Hold a name, as `FileLocks` or `StoreLocks`."""
        workspace = workspace or self.workspace
        locks: Locks = FileLocks(workspace) if Workspace(workspace).is_local else StoreLocks(workspace)
        return locks.hold(name, workspace, wait)


def checked_kind(text: str) -> str:
    """Return a kind of locks as it is written, when there is such a kind.

    Parameters
    ----------
    text
        One of `KINDS`, the last of them with a host and a port.

    Raises
    ------
    ValueError
        When it is anything else; the message says what was expected. It does not hold a password.
    """
    scheme, _, _ = text.partition("://")
    if scheme in ("redis", "rediss"):
        return redis_server.checked_url(text)
    if text in KINDS[:-1]:
        return text
    shown = redis_server.without_password(text)
    guess = closest_match(shown, [*KINDS[:-1], "redis"])
    meant = redis_server.FORM if guess == "redis" else guess
    hint = f"; did you mean '{meant}'?" if meant else ""
    raise ValueError(f"expected one of {', '.join(KINDS)}, got '{shown}'{hint}")


def make_locks(kind: str, workspace: str) -> Locks:
    """Return the locks of a kind.

    Parameters
    ----------
    kind
        "none"; "file"; "workspace"; or the url of a redis server, "redis://HOST:PORT".
    workspace
        The workspace of the build. A task that has another one is locked there.

    Raises
    ------
    ConfigError
        For another kind, and when the workspace cannot have locks of this kind.
    ExtraMissing
        When the redis client is not installed.
    """
    try:
        checked_kind(kind)
    except ValueError as error:
        raise ConfigError(str(error), key="run.locks") from None
    if kind == "none":
        return NoLocks()
    if kind == "file":
        return FileLocks(_checked_folder(workspace))
    if kind == "workspace":
        if not Workspace(workspace).is_local:
            conditional_store(workspace)
        return WorkspaceLocks(workspace)
    redis_server.require_client()
    return RedisLocks(kind, workspace)


def _checked_folder(workspace: str) -> str:
    if not Workspace(workspace).is_local:
        message = f"{workspace} is not on a disk, so that no files in it can be locked"
        raise ConfigError(message, key="run.locks", expected="workspace, for locks in the object store itself")
    return workspace
