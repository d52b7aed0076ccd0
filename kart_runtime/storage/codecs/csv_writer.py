"""pandas frames as csv, written by pyarrow with the bytes that pandas would write; called by `frames.Csv`.

pandas makes a Python object of every value, which pyarrow need not. `can_write` decides by the types of the columns
whether a frame is written here. Rows with values that only pandas knows how to write go through pandas.
"""

from __future__ import annotations

import csv
import re
from typing import Any, BinaryIO, Literal

from kart_runtime.storage.codecs.libraries import optional

SEPARATORS = frozenset(",;\t|")
"""Characters that no number and no time contains."""

FEW = 2_000
"""Cells below which pandas is done before pyarrow has begun."""

_CELLS = 100_000
"""Cells that pandas writes at a time. The format of a time depends on the other times that are written with it."""

_ROWS, _COLUMNS = 500, 2_000
"""With fewer rows at a time pyarrow is slower than pandas; with more columns the rows take too much memory."""

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Resolution of times to its parts of a second."""


class _OnlyPandas(Exception):
    """Raised for values whose text only pandas knows."""


def can_write(frame: Any, sep: str, encoding: str) -> bool:
    """Return whether `write_csv` takes a pandas frame, and is faster than pandas."""
    fits = sep in SEPARATORS and encoding.lower() in ("utf-8", "utf8") and frame.columns.nlevels == 1
    unchanged = type(frame).to_csv.__module__.partition(".")[0] == "pandas"
    if not (fits and unchanged and frame.size >= FEW and optional("pyarrow.compute") is not None):
        return False
    return frame.shape[1] <= _COLUMNS and _rows_at_a_time(frame) >= _ROWS and all(map(_is_fast, frame.dtypes))


def _is_fast(dtype: Any) -> bool:
    import numpy as np
    import pandas as pd

    if isinstance(dtype, np.dtype):
        return dtype.isnative and (dtype.kind in "iubMO" or dtype in (np.float32, np.float64))
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype.categories.inferred_type == "string"
    if isinstance(dtype, pd.DatetimeTZDtype):
        return str(dtype.tz) == "UTC"
    # Of these, not of all nullable types, it is known that pandas writes them value by value.
    return isinstance(dtype, pd.StringDtype | pd.BooleanDtype) or bool(re.fullmatch(r"U?Int\d+", dtype.name))


def _rows_at_a_time(frame: Any) -> int:
    rows: int = _CELLS // frame.shape[1]
    return rows if any(dtype.kind == "M" for dtype in frame.dtypes) else max(rows, _CELLS // 50)


def write_csv(frame: Any, file: BinaryIO, sep: str) -> None:
    """Write a header and the rows of a frame that `can_write` takes, without the index."""
    import pyarrow as pa

    file.write(_by_pandas(frame.iloc[:0], sep, header=True))
    step = _rows_at_a_time(frame)
    for start in range(0, len(frame), step):
        rows = frame.iloc[start : start + step]
        try:
            lines = _lines([_text(rows.iloc[:, number]) for number in range(rows.shape[1])], sep)
        except (_OnlyPandas, pa.ArrowException):
            lines = _by_pandas(rows, sep)
        file.write(lines)


def _by_pandas(rows: Any, sep: str, header: bool = False) -> Any:
    return rows.to_csv(index=False, header=header, sep=sep, lineterminator="\n", quoting=quoting(rows)).encode()


def quoting(frame: Any) -> Literal[0, 2]:
    """Return how pandas must quote a frame: all text if some has a carriage return, which would end a row."""
    if any("\r" in str(name) for name in frame.columns):
        return csv.QUOTE_NONNUMERIC
    columns = (frame.iloc[:, at] for at, dtype in enumerate(frame.dtypes) if dtype.kind == "O")
    return csv.QUOTE_NONNUMERIC if any(map(_has_return, columns)) else csv.QUOTE_MINIMAL


def _has_return(column: Any) -> bool:
    values = column.cat.categories if hasattr(column, "cat") else column
    return any(isinstance(value, str) and "\r" in value for value in values)


def _kernels() -> Any:
    """Return pyarrow's functions; they are created when it is loaded, so that no type checker knows them."""
    import pyarrow.compute

    return pyarrow.compute


def _lines(columns: list[Any], sep: str) -> memoryview:
    pc = _kernels()
    columns = [_quoted(column, sep) for column in columns]
    if len(columns) == 1:  # an empty line would not be read back
        columns = [pc.if_else(pc.equal(pc.fill_null(columns[0], ""), ""), '""', columns[0])]
    columns[-1] = joined(columns[-1], "\n", "")
    return memoryview(content_of(joined(*columns, sep)))


def joined(*parts: Any, nulls: bool = False) -> Any:
    """Join the parts of each row; the last part separates the others. A missing part is empty, or makes the row so."""
    import pyarrow as pa

    scalars = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    handling = "emit_null" if nulls else "replace"
    return _kernels().binary_join_element_wise(*scalars, null_handling=handling, null_replacement="")


def content_of(column: Any) -> Any:
    """Return the text of all values, one after the other, as it lies in memory."""
    _, ends, text = column.buffers()
    ends = memoryview(ends).cast("q")
    first, last = ends[column.offset], ends[column.offset + len(column)]
    return text.slice(first, last - first) if text is not None else b""


def _quoted(column: Any, sep: str) -> Any:
    """Put quotes around the values that need them."""
    pc = _kernels()
    text = bytes(content_of(column))
    if b"\r" in text or b"\0" in text:  # the versions of Python write them differently
        raise _OnlyPandas
    if not (b'"' in text or b"\n" in text or sep.encode() in text):
        return column
    needs = pc.match_substring_regex(column, f'["\n{re.escape(sep)}]')
    return pc.if_else(needs, joined('"', pc.replace_substring(column, '"', '""'), '"', ""), column)


def _text(column: Any) -> Any:
    """Return the values of a pandas Series as an Arrow array of text; missing ones are null."""
    import pandas as pd
    import pyarrow as pa

    kind, text = column.dtype.kind, pa.large_string()
    if kind == "f":
        return _floats(column.to_numpy())
    if kind == "M":
        return _times(column.array.asi8, column.dt.unit, utc=column.dt.tz is not None)
    is_object = kind == "O" and column.dtype == object
    if is_object and pd.api.types.infer_dtype(column, skipna=True) != "string":
        raise _OnlyPandas
    array = pa.array(column.array, text if is_object else None, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_boolean(array.type):
        return _kernels().if_else(array, pa.scalar("True", text), pa.scalar("False", text))
    return array.cast(text)


def _floats(values: Any) -> Any:
    """Write floats as numpy does: ``1.0``, ``1e-05``, ``1e+16``; pyarrow has the same digits, but other exponents."""
    import numpy as np
    import pyarrow as pa

    pc = _kernels()
    column = pa.array(values, from_pandas=True).cast(pa.large_string())
    with np.errstate(invalid="ignore"):  # some NaNs are signals
        size = np.abs(values.astype("float64"))
        whole = size == np.floor(size)
    odd = ((size < 1e-4) & (size > 0)) | (size >= (1e15 if values.dtype == "float64" else 1e6))
    if b"e" in bytes(content_of(column)):  # pyarrow has taken an exponent where Python might not
        odd |= pc.fill_null(pc.match_substring(column, "e"), False).to_numpy(zero_copy_only=False)
    if odd.any():
        column = pc.replace_with_mask(column, odd, pa.array(values[odd].astype(str), pa.large_string()))
    whole &= ~odd
    return pc.if_else(whole, joined(column, ".0", ""), column) if whole.any() else column


def _times(values: Any, unit: str, utc: bool) -> Any:
    """Write times as pandas does: as days if all are days, or else with as many digits as the finest one needs."""
    import numpy as np
    import pyarrow as pa

    missing = values == np.iinfo("int64").min
    known = values[~missing]
    second = _UNITS[unit]
    years = known // (second * 86_400 * 366)
    if len(known) and (years.min() < -900 or years.max() > 7_900):
        raise _OnlyPandas  # not four digits
    column = pa.array(values, pa.int64(), mask=missing).cast(pa.timestamp(unit))
    if not (utc or (known % (second * 86_400)).any()):
        return column.cast(pa.date32()).cast(pa.large_string())
    fine = next(name for name, parts in _UNITS.items() if parts == second or not (known % (second // parts)).any())
    if utc and fine != "s":
        raise _OnlyPandas  # pandas gives each of these as many digits as it needs
    text = column.cast(pa.timestamp(fine)).cast(pa.large_string())
    return _kernels().if_else(text.is_null(), text, joined(text, "+00:00", "")) if utc else text
