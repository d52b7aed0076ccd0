"""What can this open file do? Codecs ask here before they seek, or open it once more by its name.

They are given binary files by `targets`; text files come from code written for gokart, which opens them itself.
"""

from __future__ import annotations

import io
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
