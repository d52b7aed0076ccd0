"""Size and checksum of what is written, computed as it passes, so that no byte is read back.

xxh3_128 hashes about 10 GB a second, several times faster than a disk writes, so it needs no thread. Used by `target`.
"""

from __future__ import annotations

import io
import json
import os
from typing import Any, BinaryIO

ALGORITHM = "xxh3_128"
"""Begins each checksum, so that records stay readable when the algorithm changes."""

FOLDER = "folder"
"""Algorithm of a folder's list of files: the checksum covers names and contents, and not times or where they lie."""

_BLOCK = 1 << 18
"""Bytes to write and hash at a time: what has just been written is still in the processor's cache, which makes hashing
several times cheaper."""


_FIRST = 1 << 16
"""Bytes to read at first."""

_SMALL = 1 << 20
"""Bytes of a file that is read into memory at once."""


class ChecksumFile:
    """A file open for writing that counts the bytes written (`size`) and computes their checksum."""

    __slots__ = ("_file", "_hash", "size")
    mode = "wb"  # pandas looks here to know that text has to be encoded

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = _new_hash()
        self.size = 0

    def write(self, data: Any) -> int:
        """Write all of the data and return its size."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if size <= _BLOCK:
            self._write_block(data)
        else:
            view = memoryview(data).cast("B")
            for start in range(0, size, _BLOCK):
                self._write_block(view[start : start + _BLOCK])
        self.size += size
        return size

    def _write_block(self, data: Any) -> None:
        self._file.write(data)
        self._hash.update(data)

    def checksum(self) -> str:
        """Return the checksum of everything written, as ``algorithm:hexadecimal digits``."""
        return f"{ALGORITHM}:{self._hash.hexdigest()}"

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False: after a seek the checksum would no longer be that of the file."""
        return False

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def close(self) -> None:
        """Leave the file open: the store closes it, and only then does it become visible."""


def checksum_of(file: BinaryIO, algorithm: str = ALGORITHM) -> str:
    """Return the checksum of the rest of a file, in the form that `ChecksumFile.checksum` gives."""
    hasher = _new_hash(algorithm)
    while block := file.read(_BLOCK):
        hasher.update(block)
    return f"{algorithm}:{hasher.hexdigest()}"


def measured(file: BinaryIO, algorithm: str = "") -> tuple[BinaryIO, int, str]:
    """Return a file with the bytes of another one, at its start, and their size and checksum.

    A small file is read once, into memory; in a large one reading starts again.
    """
    algorithm = algorithm or ALGORITHM
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= _SMALL:
        data = file.read()
        hasher = _new_hash(algorithm)
        hasher.update(data)
        return io.BytesIO(data), len(data), f"{algorithm}:{hasher.hexdigest()}"
    checksum = checksum_of(file, algorithm)
    size = file.tell()
    file.seek(0)
    return file, size, checksum


def algorithm_of(checksum: str) -> str:
    """Return the algorithm of a checksum; empty if this version does not know it."""
    algorithm = checksum.partition(":")[0]
    return algorithm if algorithm in _ALGORITHMS else ""


def usual_algorithm(path: str) -> str:
    """Return the algorithm for what lies at a path if no record names another one."""
    return FOLDER if path.endswith(".folder") else ALGORITHM


_ALGORITHMS = (ALGORITHM, "sha256", FOLDER)
"""That of this version, that of earlier ones, and that of folders."""


class _FolderHash:
    """Hash of a folder's list of files, by its part that is equal for equal folders."""

    def __init__(self) -> None:
        self._data = bytearray()

    def update(self, data: Any) -> None:
        self._data += data

    def hexdigest(self) -> str:
        hasher = _new_hash()
        try:
            content = json.loads(self._data)["content"]
        except (ValueError, KeyError, TypeError):  # damaged: no other list has this checksum
            hasher.update(self._data)
        else:
            hasher.update(json.dumps(content, sort_keys=True).encode())
        return str(hasher.hexdigest())


def _new_hash(algorithm: str = ALGORITHM) -> Any:
    if algorithm == "sha256":
        import hashlib

        return hashlib.sha256()
    if algorithm == FOLDER:
        return _FolderHash()
    import xxhash  # here, because most commands write nothing

    return xxhash.xxh3_128()
