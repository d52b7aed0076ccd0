"""Columns of numbers, times and text in the JSON files of `json_frames`, read by pyarrow without a Python object each.

Whatever pyarrow does not take is left to the caller, who reads it by the standard library.
"""

from __future__ import annotations

import io
from typing import Any

from kart_runtime.storage.codecs.json_columns import Rule

_NAMES = ("key", "value")


def _type_of(rule: Rule) -> Any:
    """Return the Arrow type of a column's values in the file, None for others than numbers and times."""
    import numpy as np
    import pyarrow as pa

    if "unit" in rule:
        return pa.int64()
    if "dtype" not in rule:
        return None
    return pa.float64() if rule["dtype"].startswith("float") else pa.from_numpy_dtype(np.dtype(rule["dtype"]))


def _values(column: Any, rule: Rule) -> Any:
    if "unit" in rule:
        return column.fill_null(-(2**63)).to_numpy()
    return column.to_numpy() if "dtype" in rule else column.to_pylist()


def keyed_values(content: bytes, rule: Rule) -> Any:
    """Return the values of ``"0":1.5,"1":2.5``; None if pyarrow does not read them."""
    import pyarrow as pa
    from pyarrow import csv

    kind = _type_of(rule)
    if kind is None or not content:
        return None
    rows = io.BytesIO(content.replace(b",", b"\n"))
    convert = csv.ConvertOptions(column_types={"value": kind}, include_columns=["value"], null_values=["null"])
    try:
        table = csv.read_csv(rows, csv.ReadOptions(column_names=_NAMES), csv.ParseOptions(delimiter=":"), convert)
    except pa.ArrowInvalid:  # such as infinite floats
        return None
    return _values(table.column(0), rule)


def values_of_rows(data: bytes, names: list[str], rules: list[Rule]) -> list[Any] | None:
    """Return the values by column of rows as JSON, one a line; None if pyarrow does not read them."""
    import pyarrow as pa
    from pyarrow import json

    texts = [not rule or "string" in rule or rule.get("of") == {} for rule in rules]
    kinds = [pa.string() if text else _type_of(rule) for text, rule in zip(texts, rules, strict=True)]
    if None in kinds or not data.strip():
        return None
    options = json.ParseOptions(
        explicit_schema=pa.schema(zip(names, kinds, strict=True)), unexpected_field_behavior="error"
    )
    try:
        table = json.read_json(io.BytesIO(data), parse_options=options)
    except pa.ArrowInvalid:
        return None
    return [_values(table.column(at), rule) for at, rule in enumerate(rules)]
