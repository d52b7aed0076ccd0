"""polars frames as JSON: a list of rows, or one row a line; called by `json_values`.

The schema is noted beside the rows (`json_beside`), so that nothing is guessed when they are read. Files without it are
read by their whole content. The frame is computed first: floats that JSON has no number for must be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.files import for_polars, seekable
from kart_runtime.storage.codecs.json_beside import beside, note_of
from kart_runtime.storage.codecs.polars_frames import dump as write
from kart_runtime.storage.codecs.polars_frames import empty, polars, scan_path

_PLAIN = frozenset(
    {"Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"}
    | {"Boolean", "String", "Date", "Time", "Categorical", "Null"}
)

_AS_LINES = frozenset({"Int64", "UInt64", "Float64", "Boolean", "String", "Date", "Datetime", "Null"})
"""Types that polars reads from lines; others are read as a list of rows."""


def dump(value: Any, file: BinaryIO, lines: bool) -> None:
    """Write a frame and its schema; `CannotEncode` names the column that JSON cannot hold."""
    pl = polars()
    frame = value.collect() if isinstance(value, pl.LazyFrame) else value
    note: dict[str, Any] = {"polars": [[name, _encoded(dtype, name)] for name, dtype in frame.schema.items()]}
    note["endless"] = _endless(frame)
    durations = [name for name, dtype in frame.schema.items() if dtype == pl.Duration]
    stored = frame.with_columns(pl.col(durations).to_physical()) if durations else frame
    if lines:
        write(stored, file, "ndjson")
    else:
        stored.write_json(file)
        file.write(b"\n")
    file.write(beside(note))


def _encoded(dtype: Any, column: str, nested: bool = False) -> Any:
    """Return a type of polars as JSON."""
    kind = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if kind in _PLAIN:
        return kind
    if kind == "Datetime":
        return [kind, dtype.time_unit, dtype.time_zone]
    if kind == "Duration" and not nested:
        return [kind, dtype.time_unit]
    if kind == "Decimal":
        return [kind, dtype.precision, dtype.scale]
    if kind == "Enum":
        return [kind, dtype.categories.to_list()]
    if kind == "List":
        return [kind, _encoded(dtype.inner, column, True)]
    if kind == "Array" and not nested and len(dtype.shape) == 1:
        return [kind, _encoded(dtype.inner, column, True), dtype.size]
    if kind == "Struct":
        return [kind, [[field.name, _encoded(field.dtype, column, True)] for field in dtype.fields]]
    raise CannotEncode("json", "columns that it gives back", f"column '{column}' of {dtype} (use .parquet)")


def _decoded(dtype: Any) -> Any:
    pl = polars()
    if isinstance(dtype, str):
        return getattr(pl, dtype)()
    kind, *parts = dtype
    if kind in ("List", "Array"):
        return getattr(pl, kind)(_decoded(parts[0]), *parts[1:])
    if kind == "Struct":
        return pl.Struct([pl.Field(name, _decoded(inner)) for name, inner in parts[0]])
    return getattr(pl, kind)(*parts)


def _endless(frame: Any) -> dict[str, list[list[int]]]:
    """Return the rows of NaN, inf and -inf by column, which polars writes as null; refuse them inside lists."""
    pl = polars()
    found = {}
    for column in frame:
        if column.dtype.is_nested() and any(map(_has_endless, _floats_inside(column))):
            what = f"column '{column.name}' with NaN or inf in its lists or structs (use .parquet)"
            raise CannotEncode("json", "columns that it gives back", what)
        if column.dtype.is_float() and _has_endless(column):
            masks = (column.is_nan(), column == float("inf"), column == -float("inf"))
            found[column.name] = [mask.fill_null(False).arg_true().to_list() for mask in masks]
    return found if pl else {}


def _has_endless(column: Any) -> bool:
    return bool((~column.is_finite()).any())


def _floats_inside(column: Any) -> Iterator[Any]:
    if column.dtype.is_float():
        yield column
    elif type(column.dtype).__name__ in ("List", "Array"):
        yield from _floats_inside(column.explode())
    elif type(column.dtype).__name__ == "Struct":
        for part in column.struct.unnest():
            yield from _floats_inside(part)


def load(file: BinaryIO, lines: bool, lazy: bool) -> Any:
    """Return the frame of a JSON file; an empty file gives an empty one."""
    pl = polars()
    source = seekable(file)
    start = source.tell()
    if not source.read(64).strip():
        note = note_of(_at(source, start))
        return _restored(pl.DataFrame(), note, lazy) if note and "polars" in note else empty(lazy)
    note = note_of(_at(source, start))
    if note is None or "polars" not in note:
        return _guessed(source, lines, lazy)
    stored = {name: _stored_type(dtype) for name, dtype in note["polars"]}
    path = scan_path(source) if lazy and lines else None
    plain = lines and all(_are_lines(dtype) for _, dtype in note["polars"])
    if path is not None and plain and not note["endless"]:
        return pl.scan_ndjson(path, schema=stored)
    if plain:
        frame = pl.read_ndjson(for_polars(source), schema=stored)
    else:
        content = source.read().rstrip()
        frame = pl.read_json(b"[" + content.replace(b"\n", b",") + b"]" if lines else content, schema=stored)
    return _restored(frame, note, lazy)


def _at(source: BinaryIO, start: int) -> BinaryIO:
    source.seek(start)
    return source


def _guessed(source: BinaryIO, lines: bool, lazy: bool) -> Any:
    """Read a file that says no types, by all of its rows."""
    pl = polars()
    path = scan_path(source) if lazy and lines else None
    if path is not None:
        return pl.scan_ndjson(path, infer_schema_length=None)
    frame = (pl.read_ndjson if lines else pl.read_json)(for_polars(source), infer_schema_length=None)
    return frame.lazy() if lazy else frame


def _are_lines(dtype: Any) -> bool:
    if isinstance(dtype, str):
        return dtype in _AS_LINES
    kind, *parts = dtype
    if kind == "Struct":
        return all(_are_lines(inner) for _, inner in parts[0])
    return _are_lines(parts[0]) if kind == "List" else kind in _AS_LINES


def _stored_type(dtype: Any) -> Any:
    pl = polars()
    if dtype[0] == "Duration":
        return pl.Int64()
    return pl.List(_decoded(dtype[1])) if dtype[0] == "Array" else _decoded(dtype)


def _restored(frame: Any, note: dict[str, Any], lazy: bool) -> Any:
    pl = polars()
    if not frame.width:
        frame = pl.DataFrame(schema={name: _stored_type(dtype) for name, dtype in note["polars"]})
    wanted = {name: _decoded(dtype) for name, dtype in note["polars"]}
    frame = frame.cast({name: dtype for name, dtype in wanted.items() if frame.schema[name] != dtype})
    for name, rows in note["endless"].items():
        column = frame[name]
        for number, at in zip((float("nan"), float("inf"), -float("inf")), rows, strict=True):
            column = column.scatter(at, number) if at else column
        frame = frame.with_columns(column)
    return frame.lazy() if lazy else frame
