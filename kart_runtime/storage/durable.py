"""Durable writes: files and folders that are flushed to the disk before they count, so that they outlast a power cut.

Off by default: a flush costs more than a small task. A build switches it on for its process (`durable_writes`), and so
does each worker. What is off is found afterwards (`history.restarts`).
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar

_NO_FLUSH = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EISDIR})
"""Refusals that only mean that this file system cannot flush a folder."""


class _Switch:
    """Number of builds in this process that want durable writes, and the folders whose own entries are on the disk."""

    wanted: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()
    known: ClassVar[set[str]] = set()


def is_on() -> bool:
    """Return whether writes of this process are to be durable."""
    return _Switch.wanted > 0


def durable_writes(wanted: bool) -> AbstractContextManager[None]:
    """Make the writes of this process durable until the block ends, if that is wanted."""
    return _switched_on() if wanted else nullcontext()


@contextmanager
def _switched_on() -> Iterator[None]:
    with _Switch.lock:
        if not _Switch.wanted:
            _Switch.known.clear()  # folders may have been deleted and made again since
        _Switch.wanted += 1
    try:
        yield
    finally:
        with _Switch.lock:
            _Switch.wanted -= 1


def flush_file(descriptor: int) -> None:
    """Flush the bytes of an open file to the disk; an error means that they may be lost, and must not be tried again.

    macOS leaves them in the cache of the drive unless it is asked for more.
    """
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_FLUSH:  # a network drive has none
                raise
        else:
            return
    os.fsync(descriptor)


def flush_folder(path: str) -> None:
    """Flush the entries of a folder to the disk, that is which files are in it; Windows does so by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(path or ".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        flush_file(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def flush_entry(path: str) -> None:
    """Flush the entry of a file, and once a build those of the folders above it, which may be new."""
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - for each output
    flush_folder(folder)
    while folder not in _Switch.known:
        parent = os.path.dirname(folder)  # noqa: PTH120
        if parent == folder or os.path.ismount(folder):
            break
        try:
            flush_folder(parent)
        except PermissionError:  # a folder that this user cannot list is none that a build has made
            break
        _Switch.known.add(folder)
        folder = parent


def forget_folder(path: str) -> None:
    """Flush the entries of a folder and of those below it again, because they are new."""
    folder = os.path.abspath(path)  # noqa: PTH100
    while folder in _Switch.known:
        _Switch.known.discard(folder)
        folder = os.path.dirname(folder)  # noqa: PTH120


def flush_tree(root: str) -> None:
    """Flush all the files below a folder, the folders and its own entry."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _flush_path(os.path.join(folder, name))  # noqa: PTH118
        flush_folder(folder)
    flush_folder(os.path.dirname(root))  # noqa: PTH120


def _flush_path(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        flush_file(descriptor)
    finally:
        os.close(descriptor)
