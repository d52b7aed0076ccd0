"""Copies of dumped values that equal what reading their files would give; used by `value_cache`.

A rule for each codec decides which values come back equal. It makes a private copy of the value, as reading would give
it; `Snapshot.get` copies that once more for each consumer. pandas and polars have cheaper ways, but their frames may
share memory with arrays that a task can still write to (``pd.DataFrame(array, copy=False)``,
``pl.DataFrame({"x": array})``, and pandas' ``frame.values`` once it is made writeable): a consumer would see what the
file does not hold.

Values that no rule knows are read. So are arrays, tables and frames in pickle files: reading one is a copy of memory.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kart_runtime.storage.codecs import Codec, DataFrameType
from kart_runtime.storage.codecs.libraries import library_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl


class Snapshot(NamedTuple):
    """A value as reading its file gives it: its approximate size in bytes, and a function that returns a fresh copy."""

    size: int
    get: Callable[[], Any]


_Rule = Callable[[Any, Any, Any, int], Snapshot | None]


def snapshot(value: Any, codec: Codec, as_type: Any, limit: int) -> Snapshot | None:
    """Return what reading would give for a dumped value, None when that is not known or larger than `limit` bytes."""
    rule = _rule_of(type(codec))
    return None if rule is None else rule(value, codec, as_type, limit)


def stored_bytes(content: bytes, codec: Codec, as_type: Any) -> Snapshot:
    """Return a snapshot that decodes the stored bytes: right for every value, and no faster than reading."""
    return Snapshot(sys.getsizeof(content), lambda: codec.load(io.BytesIO(content), as_type))


def _rule_of(cls: type[Any]) -> _Rule | None:
    """Return the rule of a codec class, or of the class from which it inherits `load` and `dump`."""
    for base in cls.__mro__:
        rule = _RULES.get(f"{base.__module__}:{base.__qualname__}")
        if rule is not None:
            own = cls.__module__.startswith("kart_runtime.")
            return rule if own and (cls.load, cls.dump) == (base.load, base.dump) else None  # type: ignore[attr-defined]
    return None


# -- text, bytes, arrays -------------------------------------------------------------------------------------------


def _pickled(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:  # noqa: ARG001 - as all rules
    return _unchangeable(value, limit) if type(value) in (str, bytes) else None


def _text(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:  # noqa: ARG001 - as all rules
    return _unchangeable(value, limit) if type(value) is str and as_type is str else None


def _binary(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:  # noqa: ARG001 - as all rules
    return _unchangeable(value, limit) if type(value) is bytes and as_type in (None, Any, bytes) else None


def _whole_text(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:  # noqa: ARG001 - as all rules
    return _unchangeable(value, limit) if type(value) is str and as_type in (None, Any, str) else None


def _unchangeable(value: str | bytes, limit: int) -> Snapshot | None:
    size = sys.getsizeof(value)
    return Snapshot(size, lambda: value) if size <= limit else None


def _array(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:  # noqa: ARG001 - as all rules
    import numpy as np

    if type(value) is not np.ndarray or value.nbytes > limit:
        return None
    plain = value.dtype.kind in "biufcmM" and value.dtype.metadata is None
    if not plain or not (value.flags.c_contiguous or value.flags.f_contiguous):
        return None
    copy = value.copy(order="K")
    return Snapshot(copy.nbytes, lambda: copy.copy(order="K"))


# -- frames ---------------------------------------------------------------------------------------------------------


def _parquet(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:
    library = _library(value, codec, as_type)
    if library == "polars":
        return _polars_frame(value, limit)
    return _pandas_frame(value, limit, "dropped") if library == "pandas" and codec.engine == "pyarrow" else None


def _feather(value: Any, codec: Any, as_type: Any, limit: int) -> Snapshot | None:
    if _library(value, codec, as_type) != "pandas":
        return None  # what polars writes is not compressed: reading it is a copy of memory
    return _pandas_frame(value, limit, "kept" if codec.store_index_in_feather else "row numbers")


def _library(value: Any, codec: Any, as_type: Any) -> DataFrameType | None:
    """Return the library whose frames are read, if the value is such a frame."""
    library: DataFrameType = codec.dataframe_type or library_of(as_type) or "pandas"
    return library if library == library_of(type(value)) else None


def _polars_frame(value: pl.DataFrame, limit: int) -> Snapshot | None:
    import polars as pl

    if type(value) is not pl.DataFrame or value.estimated_size() > limit:
        return None
    plain = {getattr(pl, name)() for name in _POLARS} | {pl.Datetime(unit) for unit in _UNITS}
    if not value.width or not plain.issuperset(value.dtypes):
        return None
    # Gathering copies, where `clone` and `rechunk` may share memory with an array, as text never does; and it takes off
    # the marks of sorted columns, which files do not have.
    copied = [column.name for column in value if column.dtype != pl.String or any(column.flags.values())]
    copy = value.with_columns(pl.col(copied).gather(pl.int_range(pl.len())))
    marked = any(any(column.flags.values()) for column in copy)
    return None if marked else Snapshot(int(copy.estimated_size()), copy.clone)  # a clone's changes are its own


class _PandasFrame:
    """A private frame. pandas copies its values and shares its labels, so the labels are created for each copy."""

    __slots__ = ("_frame", "_index", "_names")

    def __init__(self, columns: dict[Any, Any], index: pd.Index[Any] | None) -> None:
        import pandas as pd

        self._names = list(columns)
        self._frame = pd.DataFrame(columns, copy=True)
        self._index = index

    def get(self) -> pd.DataFrame:
        import pandas as pd

        frame = self._frame.copy()
        frame.columns = pd.Index(self._names)
        frame.index = pd.RangeIndex(len(frame)) if self._index is None else self._index.copy(deep=True)
        return frame


def _pandas_frame(value: pd.DataFrame, limit: int, index: Literal["dropped", "kept", "row numbers"]) -> Snapshot | None:
    import pandas as pd

    if type(value) is not pd.DataFrame or value.attrs or not value.flags.allows_duplicate_labels:
        return None
    if index == "row numbers" and not (len(value) and value.index.identical(pd.RangeIndex(len(value)))):
        return None  # with another name or start, even an index that is not kept may leave a trace
    text = pd.Index([""]).dtype  # what text is read as
    if not _are_plain_names(value.columns, text) or value.memory_usage(index=index == "kept").sum() > limit:
        return None
    columns = {name: _as_read(column, text) for name, column in value.items()}
    if any(column is None for column in columns.values()):
        return None
    labels = None
    if index == "kept" and not (columns and value.index.identical(pd.RangeIndex(len(value)))):
        labels = _labels(value.index, text)
        if labels is None:
            return None
    size = sum(map(_size, columns.values())) + (0 if labels is None else _size(labels.array))
    return Snapshot(size, _PandasFrame(columns, labels).get) if size <= limit else None


def _labels(index: pd.Index[Any], text: Any) -> pd.Index[Any] | None:
    """Return a copy of an index as it is read from a column, which knows no range; None if it has a frequency."""
    import pandas as pd

    if getattr(index, "freq", None) is not None:
        return None
    values = _as_read(index, text)
    named = index.name is None or type(index.name) is str
    return pd.Index(values, name=index.name, copy=True) if named and values is not None else None


def _are_plain_names(names: pd.Index[Any], text: Any) -> bool:
    plain = names.nlevels == 1 and names.dtype == text and names.name is None and set(map(type, names)) == {str}
    # Names that begin like this have a meaning for the codecs or for pandas.
    return plain and names.is_unique and not any(name.startswith("__") for name in names)


def _as_read(column: pd.Series[Any] | pd.Index[Any], text: Any) -> Any:
    """Return the values of a column as they are read, perhaps not copied; None if they may come back different."""
    import numpy as np

    dtype: Any = column.dtype
    if not isinstance(dtype, np.dtype):
        return column.array if dtype == text else None
    if dtype.kind == "O":
        return column.to_numpy() if dtype == text and set(map(type, column)) == {str} else None
    if not dtype.isnative:
        return None
    if dtype.kind in "iub" or (dtype.kind == "M" and np.datetime_data(dtype)[0] in _UNITS):
        return column.to_numpy()
    return _with_one_nan(column.to_numpy()) if dtype in (np.float32, np.float64) else None


def _with_one_nan(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return floats with NaN in its usual bits: files hold "missing" instead, and 0/0 has a sign."""
    import numpy as np

    missing = np.isnan(values)
    return np.where(missing, values.dtype.type("nan"), values) if missing.any() else values


def _size(values: Any) -> int:
    import numpy as np

    objects = values if isinstance(values, np.ndarray) and values.dtype.kind == "O" else ()
    return int(values.nbytes) + sum(map(sys.getsizeof, objects))


_UNITS: tuple[Literal["ms", "us", "ns"], ...] = ("ms", "us", "ns")
"""Resolutions of times that every format keeps."""

_POLARS = (
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
    *("Float32", "Float64", "Boolean", "String", "Date"),
)
"""Types of polars that every format keeps."""

_RULES: dict[str, _Rule] = {
    "kart_runtime.storage.codecs.pickles:Pickle": _pickled,
    "kart_runtime.storage.codecs.texts:Text": _text,
    "kart_runtime.storage.codecs.texts:Gzip": _text,
    "kart_runtime.storage.codecs.texts:Binary": _binary,
    "kart_runtime.storage.codecs.texts:WholeText": _whole_text,
    "kart_runtime.storage.codecs.figures:Png": _binary,
    "kart_runtime.storage.codecs.figures:Jpeg": _binary,
    "kart_runtime.storage.codecs.figures:Pdf": _binary,
    "kart_runtime.storage.codecs.figures:Svg": _whole_text,
    "kart_runtime.storage.codecs.figures:Html": _whole_text,
    "kart_runtime.storage.codecs.arrays:Npz": _array,
    "kart_runtime.storage.codecs.arrays:Npy": _array,
    "kart_runtime.storage.codecs.frames:Parquet": _parquet,
    "kart_runtime.storage.codecs.frames:Feather": _feather,
}
"""Import path of a codec class, which is not imported here, to its rule. csv and json come back as other values."""
