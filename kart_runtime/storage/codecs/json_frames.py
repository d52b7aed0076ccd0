"""pandas frames as JSON that gives them back, in the layouts of pandas: by columns, or one row a line.

All digits are written, and the types and labels are noted beside the value (`json_beside`), where other readers do not
see them. `json_values` leaves frames to pandas that this module does not take, and files without a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import csv_writer, frame_labels, json_arrow, json_columns
from kart_runtime.storage.codecs.json_beside import beside
from kart_runtime.storage.codecs.json_columns import NotKept

_ROWS = 100_000
"""Rows that are written at a time."""


def encoded(value: Any, lines: bool) -> tuple[dict[str, Any], list[Any]]:
    """Return the note of a frame or series, and its columns as JSON texts; `NotKept` names what would change."""
    import pandas as pd

    note: dict[str, Any] = {"pandas": 1}
    frame = value
    if isinstance(value, pd.Series):
        note["series"] = frame_labels.encoded_label(value.name, "json")
        frame = value.to_frame(name="value")
    elif not frame_labels.are_plain(frame.columns) or (lines and not len(frame)):
        note["columns"] = frame_labels.encoded(frame.columns, "json")
    if lines and frame is value:
        frame_labels.warn_of_index(frame, "ndjson")
    if not lines:
        note["index"] = _index_note(frame.index, keyed=len(frame.columns) > 0)
    if lines and not len(frame.columns):
        note["index"] = {"labels": frame_labels.encoded(pd.RangeIndex(len(frame)), "json")}
    if value.attrs:
        note["attrs"] = _attrs(value.attrs)
    texts = []
    note["values"] = []
    for position, name in enumerate(frame.columns):
        try:
            rule, text = json_columns.encoded(frame.iloc[:, position])
        except NotKept as error:
            raise NotKept(f"column '{name}' with {error}") from error
        note["values"].append(rule)
        texts.append(text)
    return note, texts


def _attrs(attrs: Any) -> Any:
    try:
        kept = json.loads(json.dumps(attrs)) == attrs
    except (TypeError, ValueError):
        kept = False
    if not kept:
        raise NotKept("attrs that are not all JSON")
    return attrs


def _index_note(index: Any, keyed: bool) -> dict[str, Any]:
    """Return how the index is restored: from the keys of the file, if it has any, or from labels in the note."""
    import pandas as pd

    if not index.is_unique:
        raise CannotEncode("json", "frames whose index has no label twice", "one with equal labels (reset_index())")
    note: dict[str, Any] = {} if index.name is None else {"name": frame_labels.encoded_label(index.name, "json")}
    if isinstance(index, pd.RangeIndex):
        return {**note, "range": [index.start, index.stop, index.step]}
    if not keyed:
        return {"labels": frame_labels.encoded(index, "json")}
    if index.nlevels == 1 and index.dtype.kind in "iu" and str(index.dtype).islower():
        return {**note, "keys": "number", "dtype": str(index.dtype)}
    if index.nlevels == 1 and frame_labels.are_plain(index.rename(None)):
        return {**note, "keys": "text"}
    return {"labels": frame_labels.encoded(index, "json")}


def write(value: Any, file: BinaryIO, lines: bool, note: dict[str, Any], texts: list[Any]) -> None:
    """Write a frame or series that `encoded` has encoded."""
    names = ["value"] if "series" in note else list(map(key_text, value.columns))
    if len(set(names)) < len(names):
        raise CannotEncode("json", "columns of different names", "a frame with two columns of one name")
    parts = _rows(names, texts, "series" in note) if lines else _columns(names, texts, _keys(value.index, note), note)
    for part in parts:
        _ = file.write(part)  # not every file has writelines()
    if lines and "columns" not in note and "series" not in note:
        note["names"] = list(value.columns)
    file.write(b"" if lines else b"\n")
    file.write(beside(note))


def key_text(label: Any) -> str:
    """Return a label as a JSON text, as pandas writes it."""
    import pandas as pd

    if isinstance(label, pd.Timestamp):
        return f'"{int(label.value // 10**6)}"'
    text = str(label)
    return encode_basestring(text) if text.isprintable() else json.dumps(text)


def _keys(index: Any, note: dict[str, Any]) -> Any:
    """Return the keys of the rows, with quotes and a colon, as an Arrow array."""
    import numpy as np
    import pyarrow as pa

    how = note["index"]
    if "range" in how or how.get("keys") == "number":
        numbers = pa.array(index.to_numpy()).cast(pa.large_string())
        return csv_writer.joined('"', numbers, '":', "")
    if how.get("keys") == "text":
        return pa.array([f"{key_text(label)}:" for label in index], pa.large_string())
    texts = [key_text(label) for label in index]
    if len(set(texts)) < len(texts):
        texts = [f'"{number}"' for number in np.arange(len(index))]
    return pa.array([f"{text}:" for text in texts], pa.large_string())


def _columns(names: list[str], texts: list[Any], keys: Any, note: dict[str, Any]) -> Iterator[Any]:
    """Yield the file by columns, and add to the note where the values of each begin and end."""
    series = "series" in note
    at = 0 if series else 1
    note["at"] = []
    yield b"" if series else b"{"
    for number, (name, column) in enumerate(zip(names, texts, strict=True)):
        head = b"{" if series else f"{',' if number else ''}{name}:{{".encode()
        yield head
        begin = at = at + len(head)
        for start in range(0, len(column), _ROWS):
            rows = csv_writer.joined(keys.slice(start, _ROWS), column.slice(start, _ROWS), ",", "")
            last = start + _ROWS >= len(column)
            content = memoryview(csv_writer.content_of(rows))
            content = content[:-1] if last else content
            at += len(content)
            yield content
        note["at"].append([begin, at])
        at += 1
        yield b"}"
    yield b"" if series else b"}"


def _rows(names: list[str], texts: list[Any], series: bool) -> Iterator[Any]:
    if not texts:
        return
    for start in range(0, len(texts[0]), _ROWS):
        parts: list[Any] = []
        for number, (name, column) in enumerate(zip(names, texts, strict=True)):
            parts += [] if series else [f"{',' if number else '{'}{name}:"]
            parts.append(column.slice(start, _ROWS))
        rows = csv_writer.joined(*parts, "\n" if series else "}\n", "")
        yield memoryview(csv_writer.content_of(rows))


# -- reading --------------------------------------------------------------------------------------------------------


def read(data: bytes, lines: bool, note: dict[str, Any]) -> Any:
    """Return the frame or series of a file's JSON and its note."""
    import pandas as pd

    columns, keys, names = _by_rows(data, note) if lines else _by_columns(data, note)
    arrays = [json_columns.decoded(values, rule) for values, rule in zip(columns, note["values"], strict=True)]
    rows = len(arrays[0]) if arrays else 0
    index = _index(note["index"], keys) if "index" in note else pd.RangeIndex(rows)
    frame = pd.DataFrame({at: pd.Series(array, index, dtype=array.dtype) for at, array in enumerate(arrays)}, index)
    result: Any = frame
    if "series" in note:
        result = frame[0].rename(frame_labels.decoded_label(note["series"]))
    else:
        plain = pd.Index(names, dtype=pd.Index([""]).dtype)
        result.columns = frame_labels.decoded(note["columns"]) if "columns" in note else plain
    result.attrs = note.get("attrs", {})
    return result


_Read = tuple[list[list[Any]], list[str], list[str]]
"""Values by column, keys of the rows, and names of the columns."""


def _by_columns(data: bytes, note: dict[str, Any]) -> _Read:
    if "series" not in note and "range" in note["index"]:  # the keys say nothing, so the columns can be read one by one
        columns: list[Any] = []
        for (begin, end), rule in zip(note["at"], note["values"], strict=True):
            values = json_arrow.keyed_values(data[begin:end], rule)
            columns.append(list(json.loads(data[begin - 1 : end + 1]).values()) if values is None else values)
        return columns, [], _names_of(data, note)
    plain = json.loads(data)
    found = [plain] if "series" in note else list(plain.values())
    return [list(column.values()) for column in found], list(found[0]) if found else [], list(plain)


def _names_of(data: bytes, note: dict[str, Any]) -> list[str]:
    """Return the names of the columns, from the file without their values."""
    parts, last = [], 0
    for begin, end in note["at"]:
        parts.append(data[last:begin])
        last = end
    return list(json.loads(b"".join(parts) + data[last:]))


def _by_rows(data: bytes, note: dict[str, Any]) -> _Read:
    if "series" in note:
        return [json.loads(b"[" + data.rstrip().replace(b"\n", b",") + b"]")], [], []
    names: list[str] = note.get("names", [])
    quick = json_arrow.values_of_rows(data, names, note["values"]) if names else None
    if quick is not None:
        return quick, [], names
    rows = json.loads(b"[" + data.rstrip().replace(b"\n", b",") + b"]")
    if not rows:
        return [[] for _ in note["values"]], [], []
    return [list(values) for values in zip(*(row.values() for row in rows), strict=True)], [], list(rows[0])


def _index(note: dict[str, Any], keys: list[str]) -> Any:
    import numpy as np
    import pandas as pd

    if "labels" in note:
        return frame_labels.decoded(note["labels"])
    name = frame_labels.decoded_label(note.get("name"))
    if "range" in note:
        start, stop, step = note["range"]
        return pd.RangeIndex(start, stop, step, name=name)
    if note["keys"] == "number":
        return pd.Index(np.array(list(map(int, keys)), dtype=note["dtype"]), name=name)
    return pd.Index(keys, dtype=pd.Index([""]).dtype, name=name)
