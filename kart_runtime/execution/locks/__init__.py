"""Locks that keep two processes from running the same task at once.

Writes are atomic, so a lock saves work and is not needed for correctness: a lost lock costs a computation, never data::

    FileLocks       file             locks of the operating system in one file of the workspace
    StoreLocks      object_store     an object in the store of the workspace, renewed
    RedisLocks      redis_server     a key on a redis server, renewed
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.execution.locks import redis_server
from kart_runtime.execution.locks.base import LockHandle, Locks, NoLocks
from kart_runtime.execution.locks.file import FileLocks, local_folder
from kart_runtime.execution.locks.object_store import StoreLocks, conditional_store
from kart_runtime.execution.locks.redis_server import RedisLocks
from kart_runtime.storage.workspace import Workspace

__all__ = ["FileLocks", "LockHandle", "Locks", "NoLocks", "RedisLocks", "StoreLocks", "WorkspaceLocks", "make_locks"]

KINDS = ("auto", "none", "file", "workspace", redis_server.FORM)


class WorkspaceLocks(Locks):
    """Locks in the workspace itself: ranges of a file in a folder, objects in an object store."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self._files, self._objects = FileLocks(workspace), StoreLocks(workspace)

    def opened(self) -> AbstractContextManager[None]:
        """Return the block of a build."""
        return self._files.opened()

    def check(self) -> None:
        """Raise `ConfigError` if the workspace cannot have locks."""
        self._of(self.workspace).check()

    def check_from_afar(self) -> None:
        """Raise `ConfigError` if an object store cannot hold locks; a folder may be another one there."""
        if not Workspace(self.workspace).is_local:
            self._objects.check()

    def acquire(self, name: str, workspace: str | None, wait: float) -> LockHandle:
        """Lock a name, as `FileLocks` or `StoreLocks`."""
        workspace = workspace or self.workspace
        return self._of(workspace).acquire(name, workspace, wait)

    def _of(self, workspace: str) -> Locks:
        return self._files if Workspace(workspace).is_local else self._objects


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
    if kind == "auto":
        return FileLocks(workspace, optional=True)
    if kind == "file":
        return FileLocks(local_folder(workspace))
    if kind == "workspace":
        if not Workspace(workspace).is_local:
            conditional_store(workspace)
        return WorkspaceLocks(workspace)
    redis_server.require_client()
    return RedisLocks(kind, workspace)
