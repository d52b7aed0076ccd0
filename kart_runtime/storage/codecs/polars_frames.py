"""How are polars frames written? csv, json, parquet and feather; called by `frames` and `json_values`.

A LazyFrame is written as it is computed. One that is read stays lazy where the file can be opened by its path.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from kart_runtime.storage.codecs.files import local_path, seekable

_UTF8 = ("utf-8", "utf8")


def _polars() -> Any:
    try:
        import polars as pl
    except ImportError as error:
        raise ImportError("The task stores polars frames: pip install 'kart-runtime[polars]'") from error
    return pl


def _empty(lazy: bool) -> Any:
    pl = _polars()
    return pl.LazyFrame() if lazy else pl.DataFrame()


def _write(value: Any, file: BinaryIO, format: str, **options: Any) -> None:  # noqa: A002 - the field's word
    pl = _polars()
    if isinstance(value, pl.LazyFrame):
        getattr(value, f"sink_{format}")(_KeptOpen(file), **options)
    else:
        getattr(value, f"write_{format}")(file, **options)


class _KeptOpen:
    """A file that is left open by those who write to it."""

    mode = "wb"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def dump_csv(value: Any, file: BinaryIO, separator: str, encoding: str) -> None:
    """Write a frame as csv.

    Parameters
    ----------
    value
        A DataFrame or LazyFrame.
    file
        A binary file.
    separator
        What stands between two values.
    encoding
        Python's name of the encoding; polars itself writes UTF-8 only.
    """
    if encoding.lower() in _UTF8:
        _write(value, file, "csv", separator=separator)
        return
    buffer = io.BytesIO()
    _write(value, buffer, "csv", separator=separator)
    file.write(buffer.getvalue().decode().encode(encoding))


def load_csv(file: BinaryIO, separator: str, encoding: str, lazy: bool) -> Any:
    """Return the frame of a csv file; an empty file gives an empty one.

    Parameters
    ----------
    file
        A binary file.
    separator, encoding
        As written.
    lazy
        Whether to give a LazyFrame.
    """
    pl = _polars()
    path = local_path(file) if lazy and encoding.lower() in _UTF8 else None
    try:
        if path is not None:
            frame = pl.scan_csv(path, separator=separator)
            frame.collect_schema()  # here, and not at the user's collect(), an empty file shows
            return frame
        data = file.read()
        text = data if encoding.lower() in _UTF8 else data.decode(encoding).encode()
        read = pl.read_csv(text, separator=separator)
    except pl.exceptions.NoDataError:
        return _empty(lazy)
    return read.lazy() if lazy else read


def dump_json(value: Any, file: BinaryIO, lines: bool) -> None:
    """Write a frame as a JSON list of rows, or one row a line.

    Parameters
    ----------
    value
        A DataFrame or LazyFrame.
    file
        A binary file.
    lines
        Whether each row gets a line.
    """
    if lines:
        _write(value, file, "ndjson")
        return
    frame = value.collect() if isinstance(value, _polars().LazyFrame) else value
    frame.write_json(file)


def load_json(file: BinaryIO, lines: bool, lazy: bool) -> Any:
    """Return the frame of a JSON file; an empty file gives an empty one.

    Parameters
    ----------
    file
        A binary file.
    lines
        Whether each row has a line.
    lazy
        Whether to give a LazyFrame.
    """
    pl = _polars()
    source = seekable(file)
    start = source.tell()
    if not source.read(64).strip():
        return _empty(lazy)
    source.seek(start)
    path = local_path(source) if lazy and lines else None
    if path is not None:
        return pl.scan_ndjson(path)
    data = source.read()
    read = pl.read_ndjson(data) if lines else pl.read_json(data)
    return read.lazy() if lazy else read


def dump_parquet(value: Any, file: BinaryIO, compression: str | None) -> None:
    """Write a frame as parquet.

    Parameters
    ----------
    value
        A DataFrame or LazyFrame.
    file
        A binary file.
    compression
        Its name; None: not compressed.
    """
    _write(value, file, "parquet", compression=compression or "uncompressed")


def dump_feather(value: Any, file: BinaryIO) -> None:
    """Write a frame as feather (Arrow IPC).

    Parameters
    ----------
    value
        A DataFrame or LazyFrame.
    file
        A binary file.
    """
    _write(value, file, "ipc")


def load_arrow(file: BinaryIO, format: str, lazy: bool) -> Any:  # noqa: A002 - the field's word
    """Return the frame of a parquet or feather file.

    Parameters
    ----------
    file
        A binary file.
    format
        "parquet" or "feather".
    lazy
        Whether to give a LazyFrame.
    """
    pl = _polars()
    path = local_path(file)
    if lazy and path is not None:
        return pl.scan_parquet(path) if format == "parquet" else pl.scan_ipc(path)
    data = io.BytesIO(file.read())
    read = pl.read_parquet(data) if format == "parquet" else pl.read_ipc(data)
    return read.lazy() if lazy else read
