"""Store of files on a file system: a key is a path, and a file appears by a rename, so writes are atomic.

The temporary file is next to the target, because a rename is atomic only inside one file system. Its name holds the
token of its process (`processes`) and a counter, so no other process has the same one, and the next build knows which
ones a killed process has left (`leftovers`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from kart_runtime.errors import ObjectMissing, WriteFailed
from kart_runtime.storage import durable
from kart_runtime.storage.stores import Stat
from kart_runtime.storage.temporary import TEMPORARY_PREFIX, is_own, temporary_name

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change ends of lines
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_NAMELESS = os.O_WRONLY | os.O_TMPFILE if hasattr(os, "O_TMPFILE") else 0  # Linux

_without_nameless: set[str] = set()
"""Folders on whose disk no file can be made without a name."""


def version_of(status: os.stat_result) -> str:
    """Return the version of a file; a rename keeps it."""
    return f"{status.st_mtime_ns}-{status.st_ino}"


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe to which nobody writes is empty, and keeps nobody waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class LocalStore:
    """Files of this machine, or of a file system that it mounts."""

    def stat(self, key: str) -> Stat | None:
        """Return size and time of a file, None if there is none."""
        try:
            status = os.stat(key)  # noqa: PTH116 - one system call; a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(key, status.st_size, status.st_mtime, version_of(status))

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading; raise `ObjectMissing` if there is none."""
        try:
            return open(key, "rb", opener=_without_waiting)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissing(key) from error

    def write(self, key: str) -> _Write:
        """Open a file for writing; it becomes visible when the block ends, and not at all if the block raises."""
        return _Write(key)

    def put(self, key: str, data: bytes) -> None:
        """Write a small file: whole or not at all, however the process ends."""
        if not _NAMELESS or not _put_nameless(key, data):
            with self.write(key) as file:
                file.write(data)

    def copy(self, source: str, key: str) -> str:
        """Copy a file, of which the file system shares the blocks if it can; return the version of the copy."""
        write = self.write(key)
        with self.open(source) as file, write as sink:
            try:
                _copy_by_system(file.fileno(), sink.fileno())
            except OSError as error:
                raise WriteFailed(key, error.strerror or str(error)) from error
        return write.version

    def delete(self, key: str) -> bool:
        """Delete a file; return whether it existed."""
        try:
            os.unlink(key)  # noqa: PTH108
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[Stat]:
        """Iterate over the files below a folder, sorted by path, without temporary files."""
        for folder, folders, files in os.walk(prefix):
            folders.sort()
            for name in sorted(files):
                if not name.startswith(TEMPORARY_PREFIX):
                    stat = self.stat(str(Path(folder) / name))
                    if stat is not None:  # it may have been deleted since the listing
                        yield stat


def _put_nameless(key: str, data: bytes) -> bool:
    """Write a file that has no name until it is whole, so that nothing is left of it before; return whether it worked.

    It costs one system call more than writing in place; a temporary name and a rename would cost twice as much.
    """
    folder = key[: key.rfind("/") + 1] or "."
    if folder in _without_nameless:
        return False
    try:
        try:
            descriptor = os.open(folder, _NAMELESS, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            descriptor = os.open(folder, _NAMELESS, 0o666)
    except OSError as error:
        if error.errno in _NO_NAMELESS:
            _without_nameless.add(folder)
        return False
    try:
        if os.write(descriptor, data) != len(data):  # a full disk; writing the rest reports it
            return False
        _give_name(descriptor, key, folder)
    except OSError:  # among others: no `/proc`
        return False
    finally:
        os.close(descriptor)
    return True


def _give_name(descriptor: int, key: str, folder: str) -> None:
    """Give a file without a name one, from which any other file is removed."""
    source = f"/proc/self/fd/{descriptor}"
    try:
        os.link(source, key, src_dir_fd=descriptor, follow_symlinks=True)
        return
    except FileExistsError:
        temporary = f"{folder}/{temporary_name()}"
    os.link(source, temporary, src_dir_fd=descriptor, follow_symlinks=True)
    try:
        os.rename(temporary, key)  # noqa: PTH104
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise


_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
"""Refusals of a file without a name that only mean that a kernel or file system has none."""


def flush_entry(key: str) -> None:
    """Flush the entry of a file that has just appeared; one that may be lost again is deleted, and counts as failed."""
    try:
        durable.flush_entry(key)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(key)  # noqa: PTH108
        raise WriteFailed(key, f"the disk did not take its name: {error.strerror or error}") from error


_COPY_BLOCK = 1 << 24
"""Bytes that are read and written at a time where the system cannot copy by itself."""

_NO_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.EBADF, errno.ENOTSUP})
"""Refusals of `copy_file_range` that only mean that a kernel or file system has none."""


def _copy_by_system(source: int, target: int) -> None:
    """Copy the rest of a file to another one, inside the kernel if it can."""
    copy_range = getattr(os, "copy_file_range", None)  # Linux
    try:
        while copy_range is not None:
            if not copy_range(source, target, 1 << 30):
                break
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
    while data := os.read(source, _COPY_BLOCK):  # nothing is left after the kernel's copy
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]


class _Write:
    """The ``with`` block of one write, and the file inside it.

    It uses a descriptor instead of Python's file objects, which make four more system calls for each file: for a small
    file that is most of the cost. Between `seal` and `commit` nothing but the temporary file exists.
    """

    __slots__ = ("_descriptor", "_key", "temporary", "version")

    def __init__(self, key: str) -> None:
        self._key = key
        self._descriptor = -1
        self.temporary = ""
        self.version = ""

    def __enter__(self) -> BinaryIO:
        folder = self._key[: max(self._key.rfind("/"), self._key.rfind(os.sep)) + 1]
        temporary = f"{folder}{temporary_name()}"
        try:
            try:
                self._descriptor = os.open(temporary, _CREATE, 0o666)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                durable.forget_folder(folder)
                self._descriptor = os.open(temporary, _CREATE, 0o666)
        except OSError as error:
            raise WriteFailed(self._key, error.strerror or str(error)) from error
        self.temporary = temporary
        return cast("BinaryIO", self)

    def write(self, data: Any) -> int:
        """Write all the bytes; one system call takes at most 2 GiB of them."""
        total: int = data.nbytes if isinstance(data, memoryview) else len(data)
        try:
            size = os.write(self._descriptor, data)
            if size < total:
                view = memoryview(data).cast("B")
                while size < total:
                    size += os.write(self._descriptor, view[size:])
        except OSError as error:
            raise WriteFailed(self._key, error.strerror or str(error)) from error
        return total

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    @property
    def closed(self) -> bool:
        """Whether writing has ended."""
        return self._descriptor < 0

    def seal(self) -> None:
        """Close the temporary file; a durable one is on the disk then."""
        if durable.is_on():
            try:
                durable.flush_file(self._descriptor)
            except OSError as error:
                raise WriteFailed(self._key, f"the disk did not take it: {error.strerror or error}") from error
        self.version = version_of(os.fstat(self._descriptor))
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self) -> BinaryIO:
        """Open what was written, for reading."""
        return open(self.temporary, "rb")  # noqa: PTH123 - the caller closes it

    def commit(self) -> None:
        """Rename the temporary file to its key."""
        os.replace(self.temporary, self._key)  # noqa: PTH105
        self.temporary = ""
        if durable.is_on():
            flush_entry(self._key)

    def discard(self) -> None:
        """Delete the temporary file."""
        temporary, self.temporary = self.temporary, ""
        try:
            self._close()
        finally:
            if temporary:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)  # noqa: PTH108

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.seal()
            self.commit()
        except BaseException:
            self.discard()
            raise

    def __del__(self) -> None:
        # Of a run that was given up. A forked process has a copy of it, and must not delete its parent's file.
        if self.temporary and is_own(self.temporary):
            with contextlib.suppress(OSError):
                self.discard()
