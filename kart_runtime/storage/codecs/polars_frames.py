"""polars frames as csv, parquet and feather; called by `frames`, and for JSON by `polars_json`.

A LazyFrame is written as it is computed. One that is read stays lazy if its file can be opened by path.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Literal

from kart_runtime.errors import CannotEncode, how_to_add
from kart_runtime.storage.codecs.files import for_polars, local_path

_UTF8 = ("utf-8", "utf8")


def polars() -> Any:
    """Return the module polars; ImportError says how to install it."""
    try:
        import polars as pl
    except ImportError as error:
        raise ImportError(f"The task stores polars frames. {how_to_add('polars')}") from error
    return pl


def empty(lazy: bool) -> Any:
    """Return a frame without columns."""
    pl = polars()
    return pl.LazyFrame() if lazy else pl.DataFrame()


def dump(
    value: Any,
    file: BinaryIO,
    format: Literal["csv", "ndjson", "parquet", "ipc"],  # noqa: A002 - the field's word
    **options: Any,
) -> None:
    """Write a frame in polars' name of a format (ipc is feather), with polars' own options."""
    pl = polars()
    _check_types(value, format)
    if isinstance(value, pl.LazyFrame):
        getattr(value, f"sink_{format}")(_OpenFile(file), **options)
    else:
        getattr(value, f"write_{format}")(file, **options)


def _check_types(value: Any, format: str) -> None:  # noqa: A002 - the field's word
    """Raise `CannotEncode` for columns of types that polars does not write, or writes so that nothing can read them."""
    for name, dtype in value.collect_schema().items():
        kind = dtype.base_type().__name__
        in_csv = format == "csv" and kind in ("List", "Array", "Struct", "Binary", "Duration")
        if kind == "Object" or in_csv:
            name_of_format = "feather" if format == "ipc" else format
            found = f"column '{name}' of {dtype} ({'use .parquet' if in_csv else 'use .pkl with a pandas frame'})"
            raise CannotEncode(name_of_format, "columns that it can give back", found)


class _OpenFile:
    """A file that stays open when polars closes it."""

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


def scan_path(file: BinaryIO) -> str | None:
    """Return the path from which polars may read lazily, None when there is none or polars takes it for a pattern."""
    path = local_path(file)
    return None if path is None or any(character in path for character in "*?[") else path


def dump_csv(value: Any, file: BinaryIO, separator: str, encoding: str) -> None:
    """Write a frame as csv; polars itself writes UTF-8 only."""
    if encoding.lower() in _UTF8:
        dump(value, file, "csv", separator=separator)
        return
    buffer = io.BytesIO()
    dump(value, buffer, "csv", separator=separator)
    file.write(buffer.getvalue().decode().encode(encoding))


def load_csv(file: BinaryIO, separator: str, encoding: str, lazy: bool) -> Any:
    """Return the frame of a csv file; an empty file gives an empty one."""
    pl = polars()
    utf8 = encoding.lower() in _UTF8
    path = scan_path(file) if lazy and utf8 else None
    try:
        if path is not None:
            frame = pl.scan_csv(path, separator=separator, infer_schema_length=None)
            frame.collect_schema()  # an empty file raises here instead of at the user's collect()
            return frame
        source = for_polars(file) if utf8 else file.read().decode(encoding).encode()
        frame = _read_csv(source, separator)
    except pl.exceptions.NoDataError:
        return empty(lazy)
    return frame.lazy() if lazy else frame


_FIRST = 100
"""Rows by which polars decides about the types of columns."""


def _read_csv(source: Any, separator: str) -> Any:
    """Read with the types that fit all rows; by the first ones, if those turn out to fit the others."""
    pl = polars()
    start = 0 if isinstance(source, bytes) else source.tell()
    try:
        frame = pl.read_csv(source, separator=separator, infer_schema_length=_FIRST)
    except pl.exceptions.ComputeError:
        frame = None
    if frame is not None:
        texts = [column for column in frame.head(_FIRST) if column.dtype == pl.String]
        # Of a column that begins with nothing polars makes text, whatever follows.
        if len(frame) <= _FIRST or not any(column.null_count() == len(column) for column in texts):
            return frame
    if not isinstance(source, bytes):
        source.seek(start)
    return pl.read_csv(source, separator=separator, infer_schema_length=None)


def load_arrow(file: BinaryIO, format: Literal["parquet", "ipc"], lazy: bool) -> Any:  # noqa: A002
    """Return the frame of a parquet or feather (Arrow IPC) file."""
    pl = polars()
    path = scan_path(file) if lazy else None
    if path is not None:
        return getattr(pl, f"scan_{format}")(path)
    frame = getattr(pl, f"read_{format}")(for_polars(file))
    return frame.lazy() if lazy else frame
