"""Capabilities of open files: whether codecs may seek in them, or reopen them by path.

`target` passes binary files to codecs; text files come from code written for gokart, which opens them itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast


def as_binary(file: Any) -> BinaryIO:
    """Return the binary file below a text file; a binary file itself."""
    if isinstance(file, io.TextIOWrapper):
        file.flush()
        return cast("BinaryIO", file.buffer)
    return cast("BinaryIO", file)


def seekable(file: BinaryIO) -> BinaryIO:
    """Return the file if it is seekable, otherwise its content in memory."""
    is_seekable = getattr(file, "seekable", None)
    return file if is_seekable is not None and is_seekable() else io.BytesIO(file.read())


def local_path(file: Any) -> str | None:
    """Return the absolute path by which an open file can be reopened, None if there is none."""
    name = getattr(file, "name", None)  # a number when the file was opened from a descriptor
    return str(Path(name).absolute()) if isinstance(name, str) and Path(name).is_file() else None


def whole_path(file: Any) -> str | None:
    """Return the path by which a library may read an open file, None if that would not give the same bytes.

    It would not if the file decompresses, is not at its start, or has been replaced since it was opened.
    """
    path = local_path(file)
    if path is None or not isinstance(getattr(file, "raw", None), io.FileIO) or file.tell() != 0:
        return None
    try:
        return path if os.path.samestat(os.fstat(file.fileno()), os.stat(path)) else None  # noqa: PTH116
    except FileNotFoundError:
        return None


def for_polars(file: BinaryIO) -> Any:
    """Return the source that polars reads fastest: a local file, which it reads without Python, or else the bytes."""
    # Some versions of polars map the file into memory, and Windows does not let a mapped file be replaced.
    return file if os.name != "nt" and whole_path(file) is not None else file.read()


@contextmanager
def decoding() -> Iterator[None]:
    """Raise ValueError for bytes that pyarrow cannot decode, which it tells by an OSError without a number."""
    try:
        yield
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            raise ValueError(str(error)) from error
        raise


@contextmanager
def for_arrow(file: BinaryIO) -> Iterator[Any]:
    """Yield the source that pyarrow reads fastest: for a local file one of pyarrow's, which it reads without Python.

    It is not a memory map: the frame could refer to it, and truncating the file would then kill the process.
    """
    path = whole_path(file)
    if path is None:
        yield seekable(file)
        return
    import pyarrow as pa

    with pa.OSFile(path) as opened:
        yield opened
