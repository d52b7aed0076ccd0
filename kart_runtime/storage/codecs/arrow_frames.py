"""pandas frames as Arrow tables, which give the frame back: types, labels, missing values; used by `frames`.

What Arrow and pandas restore by themselves is left to them. For the rest, rules are stored beside the metadata of
pandas, under a key of kart's: other readers ignore it, and read what they always did. What no rule restores is refused.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Literal

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import frame_labels, object_columns
from kart_runtime.storage.codecs.losses import warn_of_loss

Format = Literal["parquet", "feather"]

_KEY = b"kart"


INDEX_COLUMN = "__feather_gokart_index__"
"""Prefix of the column that holds the index; the index's name follows. gokart's feather files use the same."""


def table_of(frame: Any, format: Format, with_index: bool = False) -> Any:  # noqa: A002
    """Return a frame as an Arrow table, with its index or with the numbers of its rows; `CannotEncode` says why not."""
    import pandas as pd
    import pyarrow as pa

    rules: dict[str, Any] = {}
    stored = frame
    if not frame_labels.are_plain(frame.columns):
        _check_names(frame.columns, format)
        rules["columns"] = frame_labels.encoded(frame.columns, format)
    if with_index and not _is_row_numbers(frame):
        stored, rules["index"] = _index_as_column(frame, format)
    elif not _has_default_index(frame):
        stored = frame.copy(deep=False)
        stored.index = pd.RangeIndex(len(frame))
    if format == "parquet" and not len(frame.columns):
        rules["rows"] = len(frame)
    rules["values"], arrays, stored = _rules_of_values(stored, format)
    if not _are_arrow_names(stored.columns):
        stored = stored.set_axis(pd.Index(list(map(str, stored.columns))), axis=1)
    _add_attrs(frame, format, rules)
    try:
        table = pa.Table.from_pandas(stored, preserve_index=None)
        for position, array in arrays.items():
            table = table.set_column(position, table.field(position).name, array)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise CannotEncode(format, "columns of one type that Arrow knows", _first_line(error)) from error
    if not any(rules.values()):
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(rules).encode()})


def _are_arrow_names(names: Any) -> bool:
    """Return whether pandas reads names of columns again, at least as numbers or times."""
    import numpy as np

    plain = names.nlevels == 1 and isinstance(names.dtype, np.dtype) and names.dtype.kind in "iufM"
    return frame_labels.are_plain(names.rename(None) if names.nlevels == 1 else names) or plain


def _check_names(names: Any, format: Format) -> None:  # noqa: A002
    texts = names.map(str)
    if not texts.is_unique:
        twice = texts[texts.duplicated()][0]
        raise CannotEncode(format, "columns of different names", f"a frame with several columns '{twice}'")


def _has_default_index(frame: Any) -> bool:
    import pandas as pd

    index = frame.index
    plain = isinstance(index, pd.RangeIndex) and index.name is None
    return bool(plain and (index.start, index.step) == (0, 1))


def _is_row_numbers(frame: Any) -> bool:
    """Return whether a frame has the index that reading gives if none is stored."""
    # Without columns nothing would say how many rows there are.
    return bool(_has_default_index(frame) and len(frame.columns)) and not any(
        str(name).startswith(INDEX_COLUMN) for name in frame.columns
    )


def _index_as_column(frame: Any, format: Format) -> tuple[Any, dict[str, Any]]:  # noqa: A002
    """Return the frame with its index as last column, and what a column does not say of the index."""
    import pandas as pd

    index = frame.index
    column = f"{INDEX_COLUMN}{index.name}"
    if index.nlevels > 1:
        raise CannotEncode(format, "frames with one index level", f"{index.nlevels} levels; reset_index()")
    if index.name == "None" or column in frame.columns:
        raise CannotEncode(format, "frames whose index is not called 'None'", f"an index '{index.name}'")
    stored = frame.reset_index(drop=True)
    stored.columns = pd.Index(list(map(str, stored.columns)), dtype=pd.Index([""]).dtype)
    stored[column] = pd.Series(index.array, dtype=index.dtype)
    rule: dict[str, Any] = {}
    if index.name is not None and type(index.name) is not str:
        rule["name"] = frame_labels.encoded_label(index.name, format)
    if getattr(index, "freq", None) is not None and not isinstance(index, pd.PeriodIndex):
        rule["freq"] = index.freqstr
    if index.dtype == object:
        rule["exact"] = True
    return stored, rule


def _column_as_index(frame: Any, rule: dict[str, Any]) -> Any:
    import pandas as pd

    column = next((name for name in reversed(frame.columns) if str(name).startswith(INDEX_COLUMN)), None)
    if column is None:
        return frame
    text = column.removeprefix(INDEX_COLUMN)
    name = frame_labels.decoded_label(rule["name"]) if "name" in rule else None if text == "None" else text
    # Only files that say what their objects were tell text from objects.
    index: Any = pd.Index(frame[column].array, name=name, dtype=frame[column].dtype if rule.get("exact") else None)
    if "freq" in rule:
        index.freq = rule["freq"]
    return frame.drop(columns=[column]).set_axis(index, axis=0)


def _first_line(error: BaseException) -> str:
    parts = error.args if len(error.args) > 1 else (str(error),)
    return "; ".join(str(part).partition("\n")[0] for part in parts)


def _add_attrs(frame: Any, format: Format, rules: dict[str, Any]) -> None:  # noqa: A002
    if not frame.attrs:
        return
    try:
        kept = json.loads(json.dumps(frame.attrs)) == frame.attrs
    except (TypeError, ValueError):
        kept = False
    if kept:
        rules["attrs"] = frame.attrs
    else:
        warn_of_loss(format, "does not store the attrs of this frame, which are not all JSON", "Use .pkl to keep them")


def _rules_of_values(frame: Any, format: Format) -> tuple[list[Any], dict[int, Any], Any]:  # noqa: A002
    """Return the rules by position, the columns to store as Arrow arrays, and the frame to store."""
    import pandas as pd

    rules: list[Any] = []
    arrays: dict[int, Any] = {}
    replaced: dict[int, Any] = {}
    for position, dtype in enumerate(frame.dtypes):
        if dtype == object:  # noqa: E721 - a dtype
            rule, stored = _object_rule(frame.iloc[:, position], format)
            if type(stored).__module__.partition(".")[0] == "pyarrow":
                arrays[position] = stored
                stored = stored.to_pandas()
                stored.index = frame.index
            if stored is not None:
                replaced[position] = stored
        elif isinstance(dtype, pd.CategoricalDtype):
            rule, stored = _category_rule(frame.iloc[:, position], format)
            if stored is not None:
                replaced[position] = stored
        else:
            rule = _rule_of_type(dtype, frame, position, format)
        if rule is not None:
            rules.append([position, rule])
    if replaced:
        frame = frame.copy(deep=False)
        for position, stored in replaced.items():
            frame.isetitem(position, stored)
    return rules, arrays, frame


def _object_rule(column: Any, format: Format) -> tuple[Any, Any]:  # noqa: A002
    try:
        return object_columns.rule_of(column)
    except object_columns.NotKept as error:
        raise _refused(format, column.name, str(error)) from error


def _refused(format: Format, name: Any, found: str) -> CannotEncode:  # noqa: A002
    found = f"column '{name}' with {found} (convert it, for example by astype(), or use .pkl)"
    return CannotEncode(format, "columns that it gives back unchanged", found)


def _rule_of_type(dtype: Any, frame: Any, position: int, format: Format) -> Any:  # noqa: A002
    """Return how a column of a type is restored, None if pandas does it."""
    import numpy as np
    import pandas as pd

    name = frame.columns[position]
    if isinstance(dtype, np.dtype):
        if not dtype.isnative or dtype.kind == "c" or (dtype.kind == "f" and dtype.itemsize > 8):
            raise _refused(format, name, f"values of {dtype}")
        return {"astype": str(dtype)} if format == "parquet" and _in_seconds(dtype) else None
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = frame_labels.zone_name(dtype.tz, format)
        return {"astype": f"datetime64[s, {zone}]"} if format == "parquet" and dtype.unit == "s" else None
    if isinstance(dtype, pd.StringDtype):
        return None if dtype in (pd.StringDtype(), pd.Index([""]).dtype) else _string_rule(dtype)
    if isinstance(dtype, pd.SparseDtype):
        raise _refused(format, name, f"values of {dtype}")
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow_rule(dtype, name, format)
    if dtype.kind == "f":
        _warn_of_nan(frame.iloc[:, position], name, format)
    return None


def _in_seconds(dtype: Any) -> bool:
    return str(dtype) in ("datetime64[s]", "timedelta64[s]")


def _string_rule(dtype: Any) -> dict[str, Any]:
    import pandas as pd

    return {"string": dtype.storage, "nan": dtype.na_value is not pd.NA}


def _category_rule(column: Any, format: Format) -> tuple[Any, Any]:  # noqa: A002
    """Return how a categorical column is restored, and the column to store if it is another one."""
    import numpy as np
    import pandas as pd

    categories = column.cat.categories
    of, ordered = categories.dtype, bool(column.cat.ordered)
    known = isinstance(of, np.dtype) and of.kind in "iufbM"
    used = bool((column.cat.codes >= 0).any())  # else Arrow stores no categories
    if used and (of == pd.Index([""]).dtype or (format == "feather" and known)):
        return None, None
    labels = frame_labels.encoded(categories, format)
    if known or of == pd.Index([""]).dtype or isinstance(of, pd.DatetimeTZDtype):
        return {"category": labels, "ordered": ordered}, None
    texts = categories.map(str)
    if not texts.is_unique:
        raise _refused(format, column.name, "categories that have the same text")
    return {"renamed": labels, "ordered": ordered}, column.cat.rename_categories(list(texts))


def _arrow_rule(dtype: Any, name: Any, format: Format) -> Any:  # noqa: A002
    import pyarrow as pa

    kind = dtype.pyarrow_dtype
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        raise _refused(format, name, f"values of {dtype}, which pandas cannot read")
    by_pandas = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return None if by_pandas else {"arrow": True}


def _warn_of_nan(column: Any, name: Any, format: Format) -> None:  # noqa: A002
    import numpy as np

    mask = getattr(column.array, "_mask", None)
    data = getattr(column.array, "_data", None)
    if mask is not None and data is not None and (np.isnan(data) & ~mask).any():
        warn_of_loss(format, f"reads NaN in the nullable column '{name}' as NA", "Replace it before the dump")


# -- reading --------------------------------------------------------------------------------------------------------


def read(source: Any, format: Format, with_index: bool = False) -> Any:  # noqa: A002
    """Return the frame of an open file, which can seek."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = source.tell()
    metadata = (pq.read_metadata(source) if format == "parquet" else pa.ipc.open_file(source).schema).metadata or {}
    source.seek(start)
    frame = (pd.read_parquet if format == "parquet" else pd.read_feather)(source)
    rules = json.loads(metadata[_KEY]) if _KEY in metadata else {}
    arrow = _ArrowColumns(source, start, format)
    for position, rule in rules.get("values", ()):
        frame.isetitem(position, _restored_column(frame.iloc[:, position], partial(arrow, position), rule))
    if with_index:
        frame = _column_as_index(frame, rules.get("index", {}))
    if "rows" in rules:
        frame.index = pd.RangeIndex(rules["rows"])
    if "columns" in rules:
        frame.columns = frame_labels.decoded(rules["columns"])
    frame.attrs = rules.get("attrs", frame.attrs)
    return frame


class _ArrowColumns:
    """The columns of an open file as Arrow holds them, read when one is needed."""

    def __init__(self, source: Any, start: int, format: Format) -> None:  # noqa: A002
        self._source, self._start, self._format = source, start, format
        self._table: Any = None

    def __call__(self, position: int) -> Any:
        import pyarrow.parquet as pq
        from pyarrow import feather

        if self._table is None:
            self._source.seek(self._start)
            self._table = (pq.read_table if self._format == "parquet" else feather.read_table)(self._source)
        return self._table.column(position)


def _restored_column(column: Any, arrow: Any, rule: dict[str, Any]) -> Any:
    import pandas as pd

    if "as" in rule:
        return pd.Series(object_columns.restored(column, arrow, rule), index=column.index, dtype=object)
    if "astype" in rule:
        return column.astype(rule["astype"])
    if "string" in rule:
        options = {"na_value": float("nan")} if rule["nan"] else {}
        return column.astype(pd.StringDtype(rule["string"], **options))
    if "category" in rule:
        return column.astype(pd.CategoricalDtype(frame_labels.decoded(rule["category"]), rule["ordered"]))
    if "renamed" in rule:
        categories = frame_labels.decoded(rule["renamed"])
        codes = column.cat.codes if len(categories) else [-1] * len(column)
        restored = pd.Categorical.from_codes(codes, categories, ordered=rule["ordered"])
        return pd.Series(restored, index=column.index)
    return pd.Series(pd.arrays.ArrowExtensionArray(arrow()), index=column.index)
