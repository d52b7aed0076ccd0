"""Locks that keep two processes from running the same task at once.

Writes are atomic, so a lock saves work and is not needed for correctness: a lost lock costs a computation, never data::

    FileLocks       file             locks of the operating system on files of the workspace
    StoreLocks      object_store     an object in the store of the workspace, renewed
    RedisLocks      redis_server     a key on a redis server, renewed
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Protocol

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.execution.locks import redis_server
from kart_runtime.execution.locks.file import FileLocks, local_folder
from kart_runtime.execution.locks.object_store import StoreLocks, conditional_store
from kart_runtime.execution.locks.redis_server import RedisLocks
from kart_runtime.storage.workspace import Workspace

__all__ = ["FileLocks", "LockHandle", "Locks", "NoLocks", "RedisLocks", "StoreLocks", "WorkspaceLocks", "make_locks"]

KINDS = ("none", "file", "workspace", redis_server.FORM)


class LockHandle(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Return if the lock is still held; raise `LockLost` if another process may have it."""
        ...


class Locks(Protocol):
    """Locks of one kind."""

    shared: bool
    """Whether another process may have run the task meanwhile, so that completeness is checked again under the lock."""

    def check(self) -> None:
        """Raise `ConfigError` if the locks cannot be used, for example because no server answers."""
        ...

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[LockHandle]:
        """Hold a name of a workspace (by default that of the build) inside a ``with`` block.

        Raise `LockTimeout` if another process holds it for `wait` seconds.
        """
        ...


class NoLocks:
    """No locks: any number of processes may run a task at once."""

    shared = False

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[NoLocks]:  # noqa: ARG002 - the protocol's form
        """Do nothing."""
        return contextlib.nullcontext(self)

    def check(self) -> None:
        """Do nothing."""


class WorkspaceLocks:
    """Locks in the workspace itself: files in a folder, objects in an object store."""

    shared = True

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def check(self) -> None:
        """Raise `ConfigError` if the system cannot lock files; `make_locks` has checked an object store."""
        if Workspace(self.workspace).is_local:
            FileLocks(self.workspace).check()

    def hold(self, name: str, workspace: str | None, wait: float) -> AbstractContextManager[LockHandle]:
        """Hold a name, as `FileLocks` or `StoreLocks`."""
        workspace = workspace or self.workspace
        locks: Locks = FileLocks(workspace) if Workspace(workspace).is_local else StoreLocks(workspace)
        return locks.hold(name, workspace, wait)


def checked_kind(text: str) -> str:
    """Return a kind of locks as written; raise `ValueError` for an unknown one, without showing a password."""
    scheme, _, _ = text.partition("://")
    if scheme in ("redis", "rediss"):
        return redis_server.checked_url(text)
    if text in KINDS[:-1]:
        return text
    shown = redis_server.without_password(text)
    guess = closest_match(shown, [*KINDS[:-1], "redis"])
    suggestion = redis_server.FORM if guess == "redis" else guess
    hint = f"; did you mean '{suggestion}'?" if suggestion else ""
    raise ValueError(f"expected one of {', '.join(KINDS)}, got '{shown}'{hint}")


def make_locks(kind: str, workspace: str) -> Locks:
    """Return the locks of a kind for a build; raise `ConfigError` if its workspace cannot have them."""
    try:
        checked_kind(kind)
    except ValueError as error:
        raise ConfigError(str(error), key="run.locks") from None
    if kind == "none":
        return NoLocks()
    if kind == "file":
        return FileLocks(local_folder(workspace))
    if kind == "workspace":
        if not Workspace(workspace).is_local:
            conditional_store(workspace)
        return WorkspaceLocks(workspace)
    redis_server.require_client()
    return RedisLocks(kind, workspace)
