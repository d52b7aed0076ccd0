"""Columns of Python objects in Arrow files: which of them Arrow gives back, and by which rule; used by `arrow_frames`.

Arrow stores objects of one type each column. pandas reads them as another type of column, lists as arrays, and every
missing value as one kind. A rule, which is stored in the file, says what they were. It is found by looking at the types
of the values, never by reading back.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import uuid
import zlib
from itertools import chain
from typing import Any

Rule = dict[str, Any]

_MISSING = ("NoneType", "float", "NAType", "NaTType")
"""Names of the types of missing values, by their number in a rule."""

_AS_READ = (str, bytes, bool, datetime.date, datetime.time, decimal.Decimal, uuid.UUID)
"""Types that pandas reads as objects, or as a type of which `astype(object)` gives the same objects."""

_NUMBERS = (int, float)

_NESTED = (str, bytes, bool, int, float, datetime.date, datetime.time)


class NotKept(Exception):
    """Raised for objects that Arrow would not give back; its text is the part of a sentence that says why."""


def rule_of(column: Any) -> tuple[Rule | None, Any]:
    """Return the rule by which a column of objects is restored, and the values to store if they are others."""
    values = column.to_numpy()
    kinds = set(map(type, values))
    missing = missing_kinds(values)
    if float in kinds and "float" in missing and all(_is_nan(value) for value in values if type(value) is float):
        kinds.discard(float)
    kinds = {kind for kind in kinds if kind.__name__ not in ("NoneType", "NAType", "NaTType")}
    rule, stored = _rule_of_known(column, values, kinds, bool(missing))
    if missing and missing != {"NoneType"}:
        rule["missing"] = packed(values, missing)
    return rule, stored


def missing_kinds(values: Any) -> set[str]:
    """Return the names of the types of the missing values among objects."""
    kinds = set(map(type, values))
    found = {kind.__name__ for kind in kinds} & {"NoneType", "NAType", "NaTType"}
    if float in kinds and any(map(_is_nan, values)):
        found.add("float")
    return found


def _is_nan(value: Any) -> bool:
    return type(value) is float and value != value  # noqa: PLR0124 - quicker than isnan


def _rule_of_known(column: Any, values: Any, kinds: set[type], missing: bool) -> tuple[Rule, Any]:
    if not kinds:
        return {"as": "object"}, None
    if len(kinds) > 1:
        raise NotKept(f"values of several types ({', '.join(sorted(kind.__name__ for kind in kinds))})")
    (kind,) = kinds
    module = kind.__module__.partition(".")[0]
    if kind in (datetime.datetime, datetime.time) and not all(map(_is_plain, values)):
        raise NotKept(f"{kind.__name__} values with a time zone or fold")
    if kind in _AS_READ or (kind in _NUMBERS and not missing):
        return {"as": "object"}, None
    if kind in _NUMBERS or kind in (datetime.timedelta, datetime.datetime):
        return {"as": "python"}, None
    if kind in (list, tuple, dict):
        return _nested_rule(values, kind)
    if module == "numpy":
        return _numpy_rule(values, kind)
    if module == "pandas" and kind.__name__ in ("Timestamp", "Timedelta"):
        stored = column.infer_objects()
        if stored.dtype != object:
            return {"as": "object"}, stored
    raise NotKept(f"values of type {kind.__name__}")


def _is_plain(value: Any) -> bool:
    """Return whether a time is one that Arrow has: without a zone, and not the second of two equal ones."""
    return getattr(value, "tzinfo", None) is None and not getattr(value, "fold", 0)


def _nested_rule(values: Any, kind: Any) -> tuple[Rule, Any]:
    import pandas as pd
    import pyarrow as pa

    known: list[Any] = [value for value in values if type(value) is kind]
    _check_nested([[*value] for value in known] if kind is tuple else known)
    # Not by pandas' rules, by which NaN inside a list is None.
    plain = [value if type(value) is kind else None for value in values]
    return {"as": "tuples" if kind is tuple else "python"}, pa.array(pd.Series(plain, dtype=object), from_pandas=False)


def _check_nested(values: list[Any]) -> None:
    """Raise `NotKept` unless all values have one type, down to the innermost."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        raise NotKept(f"lists or dicts of several types ({', '.join(sorted(kind.__name__ for kind in kinds))})")
    known = [value for value in values if value is not None]
    if kinds == {list}:
        _check_nested(list(chain.from_iterable(known)))
    elif kinds == {dict}:
        keys = set(map(tuple, known))
        if len(keys) > 1 or not all(type(key) is str for key in next(iter(keys))):
            raise NotKept("dicts that do not all have the same keys")
        for key in next(iter(keys)):
            _check_nested([value[key] for value in known])
    elif kinds and not kinds <= set(_NESTED):
        raise NotKept(f"lists or dicts of {next(iter(kinds)).__name__}")
    elif kinds == {datetime.time} and not all(map(_is_plain, known)):
        raise NotKept("lists or dicts of times with a time zone or fold")


def _numpy_rule(values: Any, kind: type) -> tuple[Rule, Any]:
    import numpy as np

    if kind is np.ndarray:
        arrays = [value for value in values if type(value) is kind]
        if len({(array.dtype, array.ndim) for array in arrays}) == 1 and arrays[0].ndim == 1:
            dtype = arrays[0].dtype
            if dtype.kind in "iufb" and dtype.isnative and not any(np.isnan(array).any() for array in arrays):
                return {"as": "read"}, None
            if dtype.kind == "f" and dtype.isnative:
                return {"as": "arrays", "dtype": dtype.str}, None
        raise NotKept("arrays of several types or dimensions")
    if issubclass(kind, np.number | np.bool_) and not issubclass(kind, np.complexfloating):
        return {"as": "numpy", "dtype": np.dtype(kind).str}, None
    raise NotKept(f"values of type numpy.{kind.__name__}")


def packed(values: Any, kinds: set[str]) -> Any:
    """Return the kind of the missing values, or of each of them in turn."""
    if len(kinds) == 1:
        return _MISSING.index(next(iter(kinds)))
    names = (type(value).__name__ for value in values)
    numbers = bytes(
        _MISSING.index(name)
        for name, value in zip(names, values, strict=True)
        if name in _MISSING and (name != "float" or _is_nan(value))
    )
    return base64.b64encode(zlib.compress(numbers)).decode()


def restored(column: Any, arrow: Any, rule: Rule) -> Any:
    """Return the objects of a column: from what pandas has read, or, where that differs, from the Arrow column."""
    import numpy as np

    if rule["as"] in ("object", "read"):
        values = column.astype(object).to_numpy(copy=True)
        missing = (
            where_missing(values) if rule["as"] == "object" else np.array([value is None for value in values], bool)
        )
    else:
        found = arrow().to_pylist()
        values = np.empty(len(found), dtype=object)
        values[:] = _converted(found, rule)
        missing = np.array([value is None for value in found], dtype=bool)
    values[missing] = unpacked(rule.get("missing", 0), int(missing.sum()))
    return values


def where_missing(values: Any) -> Any:
    """Return a mask of the missing values among objects."""
    import numpy as np

    names = ("NoneType", "NAType", "NaTType")
    return np.array([type(value).__name__ in names or _is_nan(value) for value in values], dtype=bool)


def _converted(found: list[Any], rule: Rule) -> list[Any]:
    import numpy as np

    if rule["as"] == "tuples":
        return [None if value is None else tuple(value) for value in found]
    if rule["as"] == "numpy":
        kind = np.dtype(rule["dtype"]).type
        return [None if value is None else kind(value) for value in found]
    if rule["as"] == "arrays":
        return [None if value is None else np.array(value, dtype=rule["dtype"]) for value in found]
    return found


def unpacked(packed: Any, count: int) -> Any:
    """Return the missing values that `packed` describes."""
    import numpy as np
    import pandas as pd

    kinds = np.array([None, float("nan"), pd.NA, pd.NaT], dtype=object)
    if isinstance(packed, int):
        return np.full(count, kinds[packed], dtype=object)
    return kinds[np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype="uint8")]
