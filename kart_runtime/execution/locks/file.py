"""Locks of the operating system in the lock file of a workspace, for processes that share a disk."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from kart_runtime.errors import ConfigError, LockTimeout, warn
from kart_runtime.execution.locks import lock_file
from kart_runtime.execution.locks.base import LockHandle, Locks, NoLocks
from kart_runtime.execution.locks.lock_file import Busy, LockFile, drop, give_back, look_at, open_lock_file
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.workspace import LOCKS, Workspace

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.005, 0.5
"""Seconds between two tries at a lock that another process holds."""

_SHARED = frozenset({errno.EACCES, errno.EROFS, errno.EPERM})
"""Reasons without a lock that the outputs share, which say it themselves, unless it is only the lock file's."""

_NO_SYSTEM = "this system cannot lock files"
_WITHOUT = (
    "%s has no locks on files (%s), so other processes may run the same tasks at once. To lock them, set run.locks to "
    "redis://HOST:PORT; to hide this warning, to none."
)

_NO_LOCK = NoLocks()
_opening = threading.Lock()


class FileLocks(Locks):
    """Locks on ranges of one file of a workspace; tasks that have a workspace of their own are locked there.

    The system releases such a lock when its process ends, however it ends, and not before. A holder whose file was
    removed notices before it writes. If `optional`, a workspace that has no locks is used without.
    """

    shared = True

    def __init__(self, workspace: str, *, optional: bool = False) -> None:
        self.workspace, self.optional = workspace, optional
        self._files: dict[str, LockFile | None] = {}
        self._seen: bytes | None = None
        self._is_open = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: it opens the files itself."""
        without = {workspace: None for workspace, file in self._files.items() if file is None}
        return {**self.__dict__, "_files": without, "_seen": None, "_is_open": False}

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Look, before the plan is made, whether others use the workspace; close the files at the end of the build."""
        if Workspace(self.workspace).is_local:
            self._seen = look_at(_path(self.workspace))
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            for file in filter(None, {id(file): file for file in self._files.values()}.values()):
                give_back(file)
            self._files.clear()

    def check(self) -> None:
        """Raise `ConfigError` if the workspace has no locks, unless they are optional."""
        if self.workspace not in self._files:
            self._open(self.workspace)

    def acquire(self, name: str, workspace: str | None, wait: float) -> LockHandle:
        """Lock a name; try with growing pauses for at most `wait` seconds."""
        workspace = workspace or self.workspace
        started, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            file = self._files[workspace] if workspace in self._files else self._open(workspace)
            if file is None:
                return _NO_LOCK
            try:
                held = file.acquire(name)
            except OSError as error:
                self._refused(workspace, error)
                continue
            if held is None:
                self._forget(file)
                continue
            if not isinstance(held, Busy):
                return held
            waited = time.monotonic() - started
            if waited >= wait:
                raise LockTimeout(name, waited, held.holder, is_suspended=held.is_suspended)
            time.sleep(min(pause, wait - waited))
            pause = min(pause * 1.5, _LAST_PAUSE)

    def _open(self, workspace: str) -> LockFile | None:
        """Return the lock file of a workspace; None if it has none, and needs none."""
        if self.optional and not Workspace(workspace).is_local:
            self._files[workspace] = None
            return None
        path = _path(local_folder(workspace))
        with _opening:
            file = next((file for file in self._files.values() if file is not None and file.path == path), None)
            try:
                file = file or self._opened_file(path)
            except (OSError, ImportError) as error:
                self._refused(workspace, error)
                return None
            if self._is_open:
                self._files[workspace] = file
        return file

    def _opened_file(self, path: str) -> LockFile:
        is_own = self._seen is not None and path == _path(self.workspace)
        file = open_lock_file(path, self._seen if is_own else None)
        if self._is_open:
            file.users += 1
        return file

    def _forget(self, file: LockFile) -> None:
        """Open a file anew that was removed, or closed by the program."""
        self._seen = None
        for workspace in [workspace for workspace, known in self._files.items() if known is file]:
            del self._files[workspace]
        drop(file)

    def _refused(self, workspace: str, error: OSError | ImportError) -> None:
        """Go on without locks where they are optional."""
        path = _path(workspace)
        if os.path.islink(path):  # noqa: PTH114
            message = f"{path} is a link, which is not followed: whoever has made it could switch locks off. Delete it"
            raise ConfigError(message, key="run.locks") from error
        owner = _other_owner(error)
        reason = f"{workspace} has no locks on files: {error}{owner}" if isinstance(error, OSError) else _NO_SYSTEM
        if not self.optional:
            raise ConfigError(reason, key="run.locks", expected="none or redis://HOST:PORT") from error
        self._files[workspace] = None
        if isinstance(error, OSError) and (error.errno not in _SHARED or os.access(workspace, os.W_OK)):
            warn(logger, _WITHOUT, workspace, f"{error.strerror or error}{owner}")


def _other_owner(error: Exception) -> str:
    """Return whose the lock file is that this user may not write to, and what to do; "" if it is not that."""
    path = getattr(error, "filename", None)
    if not isinstance(error, PermissionError) or not isinstance(path, str) or not hasattr(os, "geteuid"):
        return ""
    with contextlib.suppress(OSError):
        owner = os.stat(path).st_uid  # noqa: PTH116
        if owner != os.geteuid():
            advice = "give the workspace to a common group, run chmod g+w on the file, and work with umask 002"
            return f": {path} belongs to {_user_name(owner)}; {advice}"
    return ""


def _user_name(number: int) -> str:
    try:
        import pwd

        return f"user {pwd.getpwuid(number).pw_name}"
    except (ImportError, KeyError):
        return f"user {number}"


def local_folder(workspace: str) -> str:
    """Return a workspace that lies on a disk; raise `ConfigError` for another one."""
    if not Workspace(workspace).is_local:
        message = f"{workspace} is not on a disk, so it cannot hold lock files"
        raise ConfigError(message, key="run.locks", expected="workspace, for locks in the object store itself")
    return workspace


def _path(workspace: str) -> str:
    """Return the path of the lock file of a workspace."""
    key: str = store_for(Workspace(workspace).join(f"{LOCKS}/{lock_file.NAME}"))[1]
    return os.path.abspath(key)  # noqa: PTH100 - links are followed by the system alone
