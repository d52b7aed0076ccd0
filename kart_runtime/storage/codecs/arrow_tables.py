"""Tables of pyarrow, pandas Series in Arrow's formats, and ORC files; used by `frames`.

A Series is a frame of one column with its index, and metadata that says so: other readers see the frame.
"""

from __future__ import annotations

import io
import json
from typing import Any, BinaryIO, Literal

from kart_runtime.errors import CannotEncode, how_to_add
from kart_runtime.storage.codecs import arrow_frames, frame_labels
from kart_runtime.storage.codecs.libraries import is_arrow_table, library_of
from kart_runtime.storage.codecs.losses import declared, warn_of_loss

Format = Literal["parquet", "feather"]

_SERIES = b"kart_series"


def arrow(format: str) -> Any:  # noqa: A002 - the field's word
    """Return the module pyarrow; ImportError says how to install it."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(f"{format} files need pyarrow. {how_to_add('pandas')}") from error
    return pa


def checked(table: Any, format: str) -> Any:  # noqa: A002 - the field's word
    """Return a table that comes back with its types; warn if the task does not declare that it stores one."""
    pa = arrow(format)
    write, read = {"parquet": (_write_parquet, _read_parquet), "orc": (_write_orc, _read_orc)}.get(
        format, (_write_feather, _read_feather)
    )
    buffer = io.BytesIO()
    try:
        write(table.schema.empty_table(), buffer)
        schema = read(io.BytesIO(buffer.getvalue())).schema
    except (pa.ArrowException, TypeError, OSError) as error:
        raise CannotEncode(format, "columns of types that it knows", f"another type ({error})") from error
    for field, other in zip(table.schema, schema, strict=True):
        if field.type != other.type:
            found = f"column '{field.name}' of {field.type}, which comes back as {other.type} (cast it, or use .arrow)"
            raise CannotEncode(format, "columns that it gives back unchanged", found)
    if library_of(declared.get()) is None and not is_arrow_table(declared.get()):
        warn_of_loss(format, "gives a pyarrow Table back as a DataFrame", "Declare TaskOnKart[pa.Table]")
    return table


def load_table(source: Any, format: str) -> Any:  # noqa: A002 - the field's word
    """Return the table of an open file, without the notes of kart."""
    return {"parquet": _read_parquet, "orc": _read_orc}.get(format, _read_feather)(source)


def _write_parquet(table: Any, file: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file)


def _read_parquet(source: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(source)


def _write_feather(table: Any, file: Any) -> None:
    from pyarrow import feather

    feather.write_feather(table, file)


def _read_feather(source: Any) -> Any:
    from pyarrow import feather

    return feather.read_table(source)


# -- Series -----------------------------------------------------------------------------------------------------------


def table_of_series(series: Any, format: Format) -> Any:  # noqa: A002 - the field's word
    """Return a Series as an Arrow table, with its index."""
    named = series.name is not None
    table = arrow_frames.table_of(series.to_frame(series.name if named else "values"), format, with_index=True)
    note = json.dumps({"named": named}).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _SERIES: note})


def series_note(source: Any, format: Format) -> dict[str, Any] | None:  # noqa: A002 - the field's word
    """Return what a file says of the Series that it holds, None for a frame; the position in the file stays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = source.tell()
    metadata = (pq.read_metadata(source) if format == "parquet" else pa.ipc.open_file(source).schema).metadata or {}
    source.seek(start)
    return json.loads(metadata[_SERIES]) if _SERIES in metadata else None


def load_series(source: Any, format: Format, note: dict[str, Any] | None) -> Any:  # noqa: A002
    """Return the Series of an open file; of a frame its only column."""
    frame = arrow_frames.read(source, format, with_index=True)
    if frame.shape[1] != 1:
        raise ValueError(f"the task declares a Series, and the file holds a frame of {frame.shape[1]} columns")
    series = frame.iloc[:, 0]
    if note is not None and not note["named"]:
        series.name = None
    return series


# -- ORC --------------------------------------------------------------------------------------------------------------


def _orc() -> Any:
    arrow("orc")
    from pyarrow import orc

    return orc


def _write_orc(table: Any, file: Any) -> None:
    _orc().write_table(table, file)


def _read_orc(source: Any) -> Any:
    return _orc().ORCFile(source).read()


def dump_orc(value: Any, file: BinaryIO) -> None:
    """Write a frame or table; `CannotEncode` names a column that would come back changed."""
    pa = arrow("orc")
    library = library_of(type(value))
    frame = value.collect() if library == "polars-lazy" else value
    try:
        table = _table_for_orc(frame, library)
        buffer = io.BytesIO()
        _write_orc(table, buffer)
        read = _read_orc(io.BytesIO(buffer.getvalue()))
        changed = _changed(frame, load_orc_as(read, library), library)
    except (pa.ArrowException, TypeError, OSError, ValueError, OverflowError) as error:
        found = f"another type ({str(error).partition(chr(10))[0]})"
        raise CannotEncode("orc", "columns of types that it knows", found) from error
    if changed:
        raise CannotEncode("orc", "columns that it gives back unchanged", f"{changed} (use .parquet)")
    file.write(buffer.getbuffer())


def _table_for_orc(frame: Any, library: str | None) -> Any:
    if library == "pandas":
        if not len(frame.columns) or not frame_labels.are_plain(frame.columns):
            raise CannotEncode("orc", "columns with texts as names", "a frame with others, or none (use .parquet)")
        if frame.attrs:
            warn_of_loss("orc", "does not store the attrs of this frame", "Use .parquet to keep them")
        return arrow("orc").Table.from_pandas(frame, preserve_index=False)
    return frame.to_arrow() if library else checked(frame, "orc")


def load_orc_as(table: Any, library: str | None) -> Any:
    """Return a table of ORC as a frame of a library; itself without one."""
    if library in ("polars", "polars-lazy"):
        import polars as pl

        return pl.from_arrow(table)
    return table.to_pandas() if library == "pandas" else table


def _changed(frame: Any, read: Any, library: str | None) -> str | None:
    if library is None:
        return None
    if list(frame.columns) != list(read.columns):
        return "names of columns"
    for position, name in enumerate(frame.columns):
        before, after = (
            (one.iloc[:, position].reset_index(drop=True) if library == "pandas" else one.to_series(position))
            for one in (frame, read)
        )
        if before.dtype != after.dtype or not before.equals(after):
            return f"column '{name}' of {before.dtype}"
    return None
