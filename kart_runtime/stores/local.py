"""How are bytes kept on a file system? A key is a path; a file appears by a rename, so it is whole or absent.

The temporary file lies beside the target, because a rename is atomic only inside one file system. Its name holds the
process id and a counter, not random numbers: `random` may be seeded alike in two processes that write the same file.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from kart_runtime.errors import ObjectMissing
from kart_runtime.stores import Stat

TEMPORARY_PREFIX = ".kart-"
"""Every temporary file's name starts with this; such files are no objects."""

_counter = itertools.count()
_host = socket.gethostname()


class LocalStore:
    """Files of this machine, or of a disk that it mounts."""

    def stat(self, key: str) -> Stat | None:
        """Return what is known of a file, None when there is none."""
        try:
            found = os.stat(key)  # noqa: PTH116 - one system call; a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(key, found.st_size, found.st_mtime)

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading.

        Raises
        ------
        ObjectMissing
            When there is none.
        """
        try:
            return open(key, "rb")  # noqa: PTH123 - the caller closes it
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissing(key) from error

    def write(self, key: str) -> _Write:
        """Open a file for writing; it appears whole when the block ends."""
        return _Write(key)

    def delete(self, key: str) -> bool:
        """Remove a file; return whether there was one."""
        try:
            os.unlink(key)  # noqa: PTH108
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[Stat]:
        """Go through the files below a folder, sorted by path; temporary files are left out."""
        for folder, folders, files in os.walk(prefix):
            folders.sort()
            for name in sorted(files):
                if not name.startswith(TEMPORARY_PREFIX):
                    found = self.stat(str(Path(folder) / name))
                    if found is not None:  # it may have been removed since the listing
                        yield found


class _Write:
    """The ``with`` block of one write."""

    __slots__ = ("_file", "_key", "_temporary")

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> BinaryIO:
        folder, name = os.path.split(self._key)
        self._temporary = os.path.join(  # noqa: PTH118
            folder, f"{TEMPORARY_PREFIX}{_host}-{os.getpid()}-{next(_counter)}-{name[-100:]}"
        )
        try:
            self._file = open(self._temporary, "xb")  # noqa: PTH123 - closed by __exit__
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            self._file = open(self._temporary, "xb")  # noqa: PTH123
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # the last bytes are written here, so here too the disk may turn out to be full
            if kind is None:
                os.replace(self._temporary, self._key)  # noqa: PTH105
                return
        except OSError:
            os.unlink(self._temporary)  # noqa: PTH108
            raise
        os.unlink(self._temporary)  # noqa: PTH108
