"""Columns of pandas frames as JSON texts, and back by rules that are stored beside them; used by `json_frames`.

Numbers have all their digits. Times are whole numbers since 1970, as pandas writes them, in the unit that they need.
"""

from __future__ import annotations

import datetime
import json
import re
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import csv_writer, frame_labels, object_columns
from kart_runtime.storage.codecs.plain_json import NotJson, inspected

Rule = dict[str, Any]

_PARTS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_MISSING_TIME = -(2**63)


class NotKept(Exception):
    """Raised for columns that cannot be given back; its text is the part of a sentence that says what they hold."""


def encoded(column: Any) -> tuple[Rule, Any]:
    """Return the rule of a column, and its values as an Arrow array of JSON texts."""
    import numpy as np
    import pandas as pd

    dtype = column.dtype
    if dtype == object:  # noqa: E721 - a dtype
        return _encoded_objects(column)
    if isinstance(dtype, pd.StringDtype):
        rule = {} if dtype == pd.Index([""]).dtype else {"string": dtype.storage, "nan": dtype.na_value is not pd.NA}
        return rule, _texts(column)
    if isinstance(dtype, pd.CategoricalDtype):
        return _encoded_category(column)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _encoded_times(column, dtype.unit, {"zone": _zone(dtype.tz)})
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return _encoded_times(column, np.datetime_data(dtype)[0], {"kind": dtype.kind})
    if isinstance(dtype, np.dtype) and dtype.isnative and dtype.kind in "iubf":
        return {"dtype": str(dtype)}, _floats(column.to_numpy()) if dtype.kind == "f" else _numbers(column)
    return _encoded_array(column)


def _encoded_array(column: Any) -> tuple[Rule, Any]:
    """Return rule and texts of a nullable column."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        if re.fullmatch(r"(u?int\d+|double|float|bool)\[pyarrow\]", dtype.name):
            return {"array": dtype.name}, _numbers(column)
    elif re.fullmatch(r"U?Int\d+|boolean", str(dtype)):
        return {"array": dtype.name}, _numbers(column)
    elif re.fullmatch(r"Float(32|64)", str(dtype)):
        return {"array": dtype.name}, _floats(_without_masked(column))
    raise NotKept(f"values of {dtype}")


def _zone(zone: Any) -> str:
    try:
        return frame_labels.zone_name(zone, "json")
    except CannotEncode as error:
        raise NotKept(f"times of {zone!r}") from error


def _kernels() -> Any:
    import pyarrow.compute

    return pyarrow.compute


def _or_null(texts: Any) -> Any:
    return texts.fill_null("null") if texts.null_count else texts


def _numbers(column: Any) -> Any:
    import pyarrow as pa

    array: Any = pa.array(column.array)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    text = pa.large_string()
    if pa.types.is_boolean(array.type):
        return _or_null(_kernels().if_else(array, pa.scalar("true", text), pa.scalar("false", text)))
    if pa.types.is_floating(array.type):
        return _floats(array.to_numpy(zero_copy_only=False))
    return _or_null(array.cast(text))


def _without_masked(column: Any) -> Any:
    import numpy as np

    values = column.array.to_numpy(dtype=column.dtype.numpy_dtype, na_value=np.nan)
    mask = getattr(column.array, "_mask", None)
    if mask is not None and (np.isnan(values) & ~mask).any():
        raise NotKept("NaN beside NA")
    return values


def _floats(values: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if values.dtype.itemsize == 2:
        values = values.astype("float32")
    elif values.dtype.itemsize > 8:
        raise NotKept(f"values of {values.dtype}")
    texts = _or_null(pa.array(values, from_pandas=True).cast(pa.large_string()))
    with np.errstate(invalid="ignore"):  # some NaNs are signals
        whole = (values == np.floor(values)) & (np.abs(values) < 1e6)  # larger ones may have an exponent
    if whole.any():
        texts = _kernels().if_else(whole, csv_writer.joined(texts, ".0", ""), texts)
    endless = np.isinf(values)
    if endless.any():  # a number of JSON that every reader takes as infinite
        signs = np.where(values[endless] > 0, "1e999", "-1e999")
        texts = _kernels().replace_with_mask(texts, endless, pa.array(signs.astype(object), pa.large_string()))
    return texts


def _encoded_times(column: Any, unit: str, rule: Rule) -> tuple[Rule, Any]:
    import numpy as np
    import pyarrow as pa

    whole = column.array.asi8
    missing = whole == _MISSING_TIME
    written = unit if unit in ("us", "ns") else "ms"
    for coarse in ("ms", "us"):
        if _PARTS[written] > _PARTS[coarse] and not (whole[~missing] % (_PARTS[unit] // _PARTS[coarse])).any():
            written = coarse
    if _PARTS[written] < _PARTS[unit]:
        whole = whole // (_PARTS[unit] // _PARTS[written])
    elif _PARTS[written] > _PARTS[unit]:
        factor = _PARTS[written] // _PARTS[unit]
        if np.abs(whole[~missing]).max(initial=0) > 2**63 // factor:
            written = unit
        else:
            whole = whole * factor
    texts = pa.array(whole, mask=missing).cast(pa.large_string())
    return {"unit": unit, "in": written, **rule}, _or_null(texts)


def _encoded_category(column: Any) -> tuple[Rule, Any]:
    import pandas as pd

    categories = column.cat.categories
    try:
        labels = frame_labels.encoded(categories, "json")
    except CannotEncode as error:
        raise NotKept(error.found) from error
    if not (categories.dtype == pd.Index([""]).dtype or categories.dtype.kind in "iufbM"):
        categories = categories.map(str)  # of intervals, periods and objects
    if not categories.is_unique:
        raise NotKept("categories that have the same text")
    codes = column.cat.codes
    of, texts = encoded(pd.Series(categories))
    taken = texts.take(codes.clip(lower=0).to_numpy()) if len(categories) else _strings(["null"] * len(column))
    missing = (codes < 0).to_numpy()
    if missing.any():
        texts = _kernels().if_else(~missing, taken, "null")
    return {"category": labels, "ordered": bool(column.cat.ordered), "of": of}, texts if missing.any() else taken


def _texts(column: Any) -> Any:
    """Return the texts of a column as JSON texts; one by one only if some character needs it."""
    import pyarrow as pa

    try:
        array: Any = pa.array(column.array, pa.large_string(), from_pandas=True)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape
        return _strings([encode_basestring_ascii(value) if isinstance(value, str) else "null" for value in column])
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if re.search(rb'[\x00-\x1f"\\]', memoryview(csv_writer.content_of(array))):
        return _strings([encode_basestring(value) if isinstance(value, str) else "null" for value in column])
    return _or_null(csv_writer.joined(pa.scalar('"', pa.large_string()), array, '"', "", nulls=True))


def _strings(texts: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(texts, pa.large_string())


# -- objects --------------------------------------------------------------------------------------------------------


def _encoded_objects(column: Any) -> tuple[Rule, Any]:
    values = column.to_numpy()
    rule: Rule = {"objects": True}
    missing = object_columns.missing_kinds(values)
    if missing and missing != {"NoneType"}:
        rule["missing"] = object_columns.packed(values, missing)
        values = values.copy()
        values[object_columns.where_missing(values)] = None
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {datetime.date}:
        return {**rule, "dates": True}, _strings([_days(value) for value in values])
    try:
        found = inspected(list(values))
        changed = found.plainer + found.tuples + ["dicts with whole numbers as keys"] * len(found.levels)
        if changed:
            raise NotKept(f"values of type {', '.join(changed)}")
        return rule, _strings([_json(value) for value in values])
    except (NotJson, TypeError, ValueError) as error:
        raise NotKept(str(error)) from error


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if text.isascii() or _is_unicode(text) else json.dumps(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _days(value: Any) -> str:
    return "null" if value is None else str((value.toordinal() - 719_163) * 86_400_000)


# -- reading --------------------------------------------------------------------------------------------------------


def decoded(values: Any, rule: Rule) -> Any:
    """Return the array of a column's values as they were before `encoded`."""
    import numpy as np
    import pandas as pd

    if "objects" in rule:
        return _decoded_objects(values, rule)
    if "category" in rule:
        return _decoded_category(values, rule)
    if "unit" in rule:
        return _decoded_times(values, rule)
    if "array" in rule:
        return pd.array(values, dtype=rule["array"])
    if "dtype" in rule:
        return np.array(values, dtype=rule["dtype"])
    if "string" in rule:
        return pd.array(values, dtype=pd.StringDtype(rule["string"], **({"na_value": np.nan} if rule["nan"] else {})))
    return pd.Index(values, dtype=pd.Index([""]).dtype).array


def _decoded_category(values: list[Any], rule: Rule) -> Any:
    import numpy as np
    import pandas as pd

    dtype = pd.CategoricalDtype(frame_labels.decoded(rule["category"]), rule["ordered"])
    known = pd.Index(decoded([value for value in values if value is not None], rule["of"]))
    labels = dtype.categories if dtype.categories.dtype == known.dtype else dtype.categories.map(str)
    codes = np.full(len(values), -1)
    codes[[value is not None for value in values]] = labels.get_indexer(known)
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _decoded_times(values: Any, rule: Rule) -> Any:
    import numpy as np
    import pandas as pd

    if not isinstance(values, np.ndarray):
        values = [_MISSING_TIME if value is None else value for value in values]
    whole = np.array(values, dtype="int64")
    missing = whole == _MISSING_TIME
    parts, stored = _PARTS[rule["unit"]], _PARTS[rule["in"]]
    whole = whole * (parts // stored) if parts >= stored else whole // (stored // parts)
    whole[missing] = _MISSING_TIME
    times: Any = whole.view(f"{rule.get('kind', 'M')}8[{rule['unit']}]")
    if "zone" in rule:
        return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(rule["zone"]).array
    return times


def _decoded_objects(values: list[Any], rule: Rule) -> Any:
    import numpy as np

    if "dates" in rule:
        day = datetime.date.fromordinal
        values = [None if value is None else day(value // 86_400_000 + 719_163) for value in values]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    missing = np.array([value is None for value in values], dtype=bool)
    array[missing] = object_columns.unpacked(rule.get("missing", 0), int(missing.sum()))
    return array
