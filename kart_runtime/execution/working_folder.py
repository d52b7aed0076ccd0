"""Working folder of this process while tasks run: relative paths keep their meaning, whatever a `run()` changes.

A build, and an attempt in another process, fix the folder that relative workspaces lie in. The folder is restored after
each attempt. It belongs to the whole process: of attempts in several threads, the last one to end restores it.
"""

from __future__ import annotations

import contextlib
import os
import threading

from kart_runtime.storage import registry
from kart_runtime.storage.system import after_fork


class _Users:
    """Number of builds and attempts of this process, and the folder in which the first of them began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.builds = self.attempts = 0
        self.home: str | None = None

    def enter(self, builds: int, attempts: int) -> None:
        with self.lock:
            if not (self.builds or self.attempts):
                self.home = registry.relative_to.folder = current_folder()
            self.builds += builds
            self.attempts += attempts

    def restore(self) -> None:
        """Return to the folder, and give it up if nobody needs it any more."""
        home = self.home
        if home is not None and current_folder() != home:
            with contextlib.suppress(OSError):  # it is gone
                os.chdir(home)
        if not self.builds:
            registry.relative_to.folder = None


_users = _Users()
after_fork(lambda: setattr(_users, "lock", threading.Lock()))


def current_folder() -> str | None:
    """Return the working folder; None if it has been deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - as text: this is called for each task
    except OSError:
        return None


class FixedFolder:
    """The ``with`` block of a build: relative workspaces lie in the folder in which it began."""

    def __enter__(self) -> None:
        _users.enter(1, 0)

    def __exit__(self, *_error: object) -> None:
        with _users.lock:
            _users.builds -= 1
            if not (_users.builds or _users.attempts):
                registry.relative_to.folder = None


class RestoredFolder:
    """The ``with`` block of an attempt, after which the working folder is what it was before.

    `leave` does the same earlier, when the attempt is given up; its thread then leaves the folder of others alone.
    """

    __slots__ = ("_is_left",)

    def __init__(self) -> None:
        self._is_left = False

    def __enter__(self) -> None:
        with _users.lock:
            if _users.builds or _users.attempts:
                _users.attempts += 1
                return
        _users.enter(0, 1)

    def __exit__(self, *_error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """End the block, unless it has ended."""
        with _users.lock:
            if self._is_left:
                return
            self._is_left = True
            _users.attempts -= 1
            if not _users.attempts:
                _users.restore()
