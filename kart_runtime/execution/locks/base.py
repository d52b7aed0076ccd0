"""What all kinds of locks have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class LockHandle(Protocol):
    """A lock that is held."""

    @property
    def is_lease(self) -> bool:
        """Whether a server holds it, which may not answer."""
        ...

    @property
    def alone(self) -> bool:
        """Whether no other process can have run the task since the plan was made: its outputs need no second look."""
        ...

    def check(self) -> None:
        """Return if the lock is still held; raise `LockLost` if another process may have it."""
        ...

    def check_again(self) -> None:
        """Check it shortly after it was checked."""
        ...

    def suspend(self) -> None:
        """Tell others that the task waits for what its `run()` has yielded."""
        ...

    def release(self) -> None:
        """Release the lock, as far as it is held."""
        ...


class Locks:
    """Locks of one kind."""

    shared: bool = True
    """Whether processes share these locks."""

    def opened(self) -> AbstractContextManager[None]:
        """Return the block of one build, entered before its plan is made."""
        return contextlib.nullcontext()

    def check(self) -> None:
        """Raise `ConfigError` if the locks cannot be used, for example because no server answers."""

    def check_from_afar(self) -> None:
        """Check what can be checked where the tasks run on other machines."""

    def acquire(self, name: str, workspace: str | None, wait: float) -> LockHandle:
        """Lock a name of a workspace, by default that of the build.

        Raise `LockTimeout` if another process holds it for `wait` seconds.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def hold(self, name: str, workspace: str | None, wait: float) -> Iterator[LockHandle]:
        """Hold a name inside a ``with`` block; see `acquire`."""
        lock = self.acquire(name, workspace, wait)
        try:
            yield lock
        finally:
            lock.release()


class NoLocks(Locks):
    """No locks: any number of processes may run a task at once."""

    shared = False
    alone = True
    is_lease = False

    def acquire(self, name: str, workspace: str | None, wait: float) -> LockHandle:  # noqa: ARG002
        """Return the lock of nothing."""
        return self

    def check(self) -> None:
        """Do nothing."""

    def check_again(self) -> None:
        """Do nothing."""

    def suspend(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""
