"""Locks of the operating system on ranges of bytes of an open file, which need not have these bytes.

Linux ties such locks to the open file, so that nothing else in the process that opens and closes the same file drops
them. Other POSIX systems tie them to the process: there a `LockFile` is open once and closed only when nothing is
locked. Windows ties them to the open file, and cannot tell who has locked a range.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from typing import Any, NamedTuple, Protocol

NO_LOCKS = frozenset(
    number
    for name in ("ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EINVAL", "EOVERFLOW", "EPERM", "EROFS")
    if (number := getattr(errno, name, None)) is not None
)
"""Answers of file systems that have no locks, or are not for writing."""


class Locked(NamedTuple):
    """A range that another process has locked; `pid` is -1 where the system does not tell."""

    start: int
    length: int
    pid: int


class Ranges(Protocol):
    """What a system offers."""

    locks_all: bool
    """Whether one call can lock more than a few gigabytes, and another one release a part of them."""

    def lock(self, descriptor: int, start: int, length: int) -> bool:
        """Lock a range; return False if another process has locked a part of it."""
        ...

    def unlock(self, descriptor: int, start: int, length: int) -> None:
        """Unlock a range."""
        ...

    def find(self, descriptor: int, start: int, length: int) -> Locked | None:
        """Return a lock of another process inside a range, None if there is none."""
        ...


class OpenFileRanges:
    """Locks of an open file, as Linux has them (`man fcntl`, open file description locks)."""

    locks_all = True

    def __init__(self) -> None:
        import fcntl

        linux: Any = fcntl  # the constants are unknown where the type checker runs for another system
        self._call, self._set, self._get = fcntl.fcntl, linux.F_OFD_SETLK, linux.F_OFD_GETLK
        self._write, self._none = fcntl.F_WRLCK, fcntl.F_UNLCK
        # struct flock: type, whence, start, length, process; with the alignment of the machine.
        self._form = struct.Struct("@hhqqi4x")
        self._pack = self._form.pack

    def lock(self, descriptor: int, start: int, length: int) -> bool:
        """Lock a range."""
        try:
            self._call(descriptor, self._set, self._pack(self._write, 0, start, length, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, descriptor: int, start: int, length: int) -> None:
        """Unlock a range."""
        self._call(descriptor, self._set, self._pack(self._none, 0, start, length, 0))

    def find(self, descriptor: int, start: int, length: int) -> Locked | None:
        """Return a lock of another process."""
        answer: bytes = self._call(descriptor, self._get, self._pack(self._write, 0, start, length, 0))
        kind, _, first, size, pid = self._form.unpack(answer)
        return None if kind == self._none else Locked(first, size, pid)


class _ProcessRanges:
    """Locks of the process on a file, as POSIX has them."""

    locks_all = True

    def __init__(self) -> None:
        import fcntl

        self._fcntl: Any = fcntl
        if sys.platform.startswith("linux"):
            self._form, self._order = struct.Struct("@hhqqi4x"), (0, 1, 2, 3, 4)
        else:  # start, length, process, type, whence
            self._form, self._order = struct.Struct("@qqihh8x"), (3, 4, 0, 1, 2)

    def lock(self, descriptor: int, start: int, length: int) -> bool:
        try:
            self._fcntl.lockf(descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB, length, start, os.SEEK_SET)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, descriptor: int, start: int, length: int) -> None:
        self._fcntl.lockf(descriptor, self._fcntl.LOCK_UN, length, start, os.SEEK_SET)

    def find(self, descriptor: int, start: int, length: int) -> Locked | None:
        values = [0] * 5
        for place, value in zip(self._order, (self._fcntl.F_WRLCK, 0, start, length, 0), strict=True):
            values[place] = value
        answer = self._fcntl.fcntl(descriptor, self._fcntl.F_GETLK, self._form.pack(*values))
        found = self._form.unpack(answer)
        kind, _, first, size, pid = (found[place] for place in self._order)
        return None if kind == self._fcntl.F_UNLCK else Locked(first, size, pid)


class _WindowsRanges:
    """Locks of an open file on Windows. Others cannot even read what is locked, so ranges lie behind the file's end."""

    locks_all = False

    def __init__(self) -> None:
        import msvcrt

        self._msvcrt: Any = msvcrt

    def lock(self, descriptor: int, start: int, length: int) -> bool:
        os.lseek(descriptor, start, os.SEEK_SET)
        try:
            self._msvcrt.locking(descriptor, self._msvcrt.LK_NBLCK, length)
        except PermissionError:
            return False
        return True

    def unlock(self, descriptor: int, start: int, length: int) -> None:
        os.lseek(descriptor, start, os.SEEK_SET)
        with contextlib.suppress(OSError):
            self._msvcrt.locking(descriptor, self._msvcrt.LK_UNLCK, length)

    def find(self, descriptor: int, start: int, length: int) -> Locked | None:
        if not self.lock(descriptor, start, length):
            return Locked(start, 0, -1)
        self.unlock(descriptor, start, length)
        return None


def system_ranges() -> Ranges:
    """Return the locks of this system; raise `ImportError` if it has none."""
    try:
        return OpenFileRanges()
    except ImportError:
        return _WindowsRanges()
    except AttributeError:
        return _ProcessRanges()


def process_ranges() -> Ranges:
    """Return locks of the process, for a kernel that has no others."""
    return _ProcessRanges()
