"""What can this open file do? Codecs ask here before they seek, or open it once more by its name.

They are given binary files by `targets`; text files come from code written for gokart, which opens them itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast


def as_binary(file: Any) -> BinaryIO:
    """Return the bytes below a text file; a binary file as it is.

    Parameters
    ----------
    file
        Any open file.
    """
    if isinstance(file, io.TextIOWrapper):
        file.flush()
        return cast("BinaryIO", file.buffer)
    return cast("BinaryIO", file)


def seekable(file: BinaryIO) -> BinaryIO:
    """Return the file when it can seek, or else its content in memory.

    Parameters
    ----------
    file
        A file open for reading.
    """
    able = getattr(file, "seekable", None)
    return file if able is not None and able() else io.BytesIO(file.read())


def local_path(file: Any) -> str | None:
    """Return the absolute path by which the file can be opened once more, None when there is none.

    Parameters
    ----------
    file
        Any open file.
    """
    name = getattr(file, "name", None)  # a number when the file was opened from a descriptor
    return str(Path(name).absolute()) if isinstance(name, str) and Path(name).is_file() else None


def whole_path(file: Any) -> str | None:
    """Return the path by which a library may read the file instead, from its start; None when that is not the same.

    Parameters
    ----------
    file
        A file open for reading. One that decompresses, stands elsewhere, or has been replaced since is not the same.
    """
    path = local_path(file)
    if path is None or not isinstance(getattr(file, "raw", None), io.FileIO) or file.tell() != 0:
        return None
    try:
        return path if os.path.samestat(os.fstat(file.fileno()), os.stat(path)) else None  # noqa: PTH116
    except FileNotFoundError:
        return None


def for_polars(file: BinaryIO) -> Any:
    """Return what polars reads fastest: a local file itself, which it reads without Python, or else the bytes."""
    # Some versions of polars map the file into memory, and Windows does not let a mapped file be replaced.
    return file if os.name != "nt" and whole_path(file) is not None else file.read()


@contextmanager
def for_arrow(file: BinaryIO) -> Iterator[Any]:
    """Give what pyarrow reads fastest: a local file as one of its own, which it reads without Python.

    Not as a memory map: the frame could refer to it, and a file that somebody cuts short would end the process.

    Parameters
    ----------
    file
        A file open for reading; it stays open.
    """
    path = whole_path(file)
    if path is None:
        yield seekable(file)
        return
    import pyarrow as pa

    with pa.OSFile(path) as opened:
        yield opened
