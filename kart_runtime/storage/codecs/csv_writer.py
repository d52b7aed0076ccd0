"""How is a large pandas frame written as csv fast? By pyarrow, column by column, into the bytes that pandas writes.

Called by `frames.Csv`. pandas makes a Python object of every value. Here pyarrow makes the text of numbers, strings,
categories, times and truth values. Any other column goes through pandas; so do rows with carriage returns and zero
bytes, which the versions of Python write differently. Which way a column takes is decided anew for each piece of rows.
The pieces are those of pandas, because the format of a time follows from the times that are written together with it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from kart_runtime.storage.codecs.libraries import optional

SEPARATORS = frozenset(",;\t|")
"""Characters that no number and no time contains."""

FEW = 2_000
"""With fewer cells than this pandas is done before pyarrow has begun."""

_CELLS = 100_000
"""How many cells pandas writes at a time."""

_MANY_CELLS = 4_000_000
"""How many cells are written at a time at most where the text of a value does not depend on its neighbours."""

_ROWS = 500
"""In pieces of fewer rows pyarrow is slower than pandas; wide frames have such."""

_Texts = Callable[[int, int], Any]
"""The values from one row to another as an Arrow array of text; missing ones are null."""


_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Resolution of times to its parts of a second."""


class _NotHere(Exception):
    """Raised where only pandas knows the text."""


def can_write(frame: Any, sep: str, encoding: str) -> bool:
    """Return whether `write_csv` takes a frame, and is worth it.

    Parameters
    ----------
    frame
        A pandas DataFrame.
    sep, encoding
        What stands between two values; Python's name of the encoding.
    """
    fits = sep in SEPARATORS and encoding.lower() in ("utf-8", "utf8") and frame.columns.nlevels == 1
    own = type(frame).to_csv.__module__.partition(".")[0] == "pandas"
    worth = frame.size >= FEW and _piece(frame) >= _ROWS
    return fits and own and worth and optional("pyarrow.compute") is not None


def _piece(frame: Any) -> int:
    """Return how many rows are written at a time."""
    import numpy as np
    import pandas as pd

    width: int = frame.shape[1]
    alone = all(
        dtype.kind in "iubfO" if isinstance(dtype, np.dtype) else isinstance(dtype, pd.StringDtype)
        for dtype in frame.dtypes
    )
    many: int = max(_CELLS // width, min(2_000, _MANY_CELLS // width) if alone else 1)
    return many


def write_csv(frame: Any, file: BinaryIO, sep: str) -> None:
    """Write a header and the rows, without the index.

    Parameters
    ----------
    frame
        A pandas DataFrame that `can_write` takes.
    file
        A binary file.
    sep
        What stands between two values.
    """
    file.write(frame.iloc[:0].to_csv(index=False, sep=sep, lineterminator="\n").encode())
    columns = [_texts_of(frame.iloc[:, [number]], sep) for number in range(frame.shape[1])]
    step = _piece(frame)
    for start in range(0, len(frame), step):
        stop = min(start + step, len(frame))
        try:
            lines = _lines([texts(start, stop) for texts in columns], sep)
        except _NotHere:
            rows = frame.iloc[start:stop]
            lines = rows.to_csv(index=False, header=False, sep=sep, lineterminator="\n").encode()
        file.write(lines)


def _kernels() -> Any:
    """Return pyarrow's functions; they are made when it is loaded, so that no type checker knows them."""
    import pyarrow.compute

    return pyarrow.compute


def _lines(columns: list[Any], sep: str) -> memoryview:
    pc = _kernels()

    columns = [_quoted(column, sep) for column in columns]
    if len(columns) == 1:  # an empty line would not be read back
        columns = [pc.if_else(pc.equal(pc.fill_null(columns[0], ""), ""), '""', columns[0])]
    columns[-1] = _joined(columns[-1], "\n", "")
    return memoryview(_content(_joined(*columns, sep)))


def _joined(*parts: Any) -> Any:
    """Join parts of each row; the last one is what stands between two of them."""
    import pyarrow as pa

    pc = _kernels()

    kind = pa.large_string()
    scalars = [pa.scalar(part, kind) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, null_handling="replace", null_replacement="")


def _content(column: Any) -> Any:
    """Return the text of all values, one after the other, as it lies in memory."""
    _, ends, text = column.buffers()
    ends = memoryview(ends).cast("q")
    first, last = ends[column.offset], ends[column.offset + len(column)]
    return text.slice(first, last - first) if text is not None else b""


def _quoted(column: Any, sep: str) -> Any:
    """Put quotes around values that need them."""
    pc = _kernels()

    text = bytes(_content(column))
    if b"\r" in text or b"\0" in text:
        raise _NotHere
    if not (b'"' in text or b"\n" in text or sep.encode() in text):
        return column
    needs = pc.match_substring_regex(column, f'["\n{re.escape(sep)}]')
    return pc.if_else(needs, _joined('"', pc.replace_substring(column, '"', '""'), '"', ""), column)


def _texts_of(column: Any, sep: str) -> _Texts:
    """Return what makes the text of one column.

    Parameters
    ----------
    column
        A pandas DataFrame with one column.
    sep
        What stands between two values.
    """
    import pandas as pd
    import pyarrow as pa

    series = column.iloc[:, 0]
    make = _of_categories(series.array) if isinstance(series.dtype, pd.CategoricalDtype) else _of_values(series)

    def texts(start: int, stop: int) -> Any:
        try:
            return make(start, stop)
        except (_NotHere, pa.ArrowException):
            return _by_pandas(column.iloc[start:stop], sep)

    return texts


def _by_pandas(column: Any, sep: str) -> Any:
    import pyarrow as pa

    written = column.to_csv(index=False, header=False, sep=sep, lineterminator="\n")
    if "\r" in written or "\0" in written:
        raise _NotHere
    try:
        fields = [row[0] for row in csv.reader(io.StringIO(written, newline=""), delimiter=sep)]
    except csv.Error as error:  # a value of more than 128 KB
        raise _NotHere from error
    return pa.array(fields, pa.large_string())


def _unknown(*_: int) -> Any:
    raise _NotHere


def _of_values(values: Any) -> _Texts:
    """Return what makes the text of a pandas Series or Index."""
    import numpy as np

    return _of_numpy(values.to_numpy()) if isinstance(values.dtype, np.dtype) else _of_extension(values.array)


def _of_numpy(values: Any) -> _Texts:
    import numpy as np

    kind = values.dtype.kind
    if kind in "iub":
        return lambda start, stop: _plain(values[start:stop])
    if values.dtype in ("float64", "float32"):
        return lambda start, stop: _reals(values[start:stop])
    if kind == "M":
        unit = np.datetime_data(values.dtype)[0]
        return lambda start, stop: _times(values[start:stop].view("int64"), unit)
    return (lambda start, stop: _strings(values[start:stop])) if kind == "O" else _unknown


def _of_extension(array: Any) -> _Texts:
    import pandas as pd

    # Of these, not all of pandas' nullable types, it is known that pandas writes them value by value.
    whole = {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
    if isinstance(array.dtype, pd.StringDtype | pd.BooleanDtype) or array.dtype.name in whole:
        return lambda start, stop: _plain(array[start:stop])
    if isinstance(array.dtype, pd.DatetimeTZDtype) and str(array.dtype.tz) == "UTC":
        return lambda start, stop: _times(array[start:stop].asi8, array.dtype.unit, utc=True)
    return _unknown


def _of_categories(array: Any) -> _Texts:
    import pyarrow as pa

    known, codes = array.categories, array.codes
    if known.inferred_type not in ("integer", "boolean", "string") and known.dtype != "float64":
        return _unknown
    try:
        texts = _of_values(known)(0, len(known))
    except (_NotHere, pa.ArrowException):
        return _unknown
    return lambda start, stop: texts.take(pa.array(codes[start:stop], mask=codes[start:stop] < 0))


def _plain(values: Any) -> Any:
    import pyarrow as pa

    pc = _kernels()

    column = pa.array(values, from_pandas=True)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = pa.large_string()
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, pa.scalar("True", kind), pa.scalar("False", kind))
    return column.cast(kind)


def _strings(values: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        raise _NotHere
    return pa.array(values, pa.large_string(), from_pandas=True)


def _reals(values: Any) -> Any:
    """Write floats as numpy does: ``1.0``, ``1e-05``, ``1e+16``; pyarrow has the same digits, but other exponents."""
    import numpy as np
    import pyarrow as pa

    pc = _kernels()

    column = pa.array(values, from_pandas=True).cast(pa.large_string())
    with np.errstate(invalid="ignore"):  # some NaNs are signals
        size = np.abs(values.astype("float64"))
        whole = size == np.floor(size)
    odd = ((size < 1e-4) & (size > 0)) | (size >= (1e15 if values.dtype == "float64" else 1e6))
    if b"e" in bytes(_content(column)):  # pyarrow has taken an exponent where Python might not
        odd |= pc.fill_null(pc.match_substring(column, "e"), False).to_numpy(zero_copy_only=False)
    if odd.any():
        column = pc.replace_with_mask(column, odd, pa.array(values[odd].astype(str), pa.large_string()))
    whole &= ~odd
    return pc.if_else(whole, _joined(column, ".0", ""), column) if whole.any() else column


def _times(values: Any, unit: str, utc: bool = False) -> Any:
    """Write times as pandas does: as days if all are days, or else with as many digits as the finest one needs."""
    import numpy as np
    import pyarrow as pa

    pc = _kernels()

    missing = values == np.iinfo("int64").min
    known = values[~missing]
    second = _UNITS[unit]
    years = known // (second * 86_400 * 366)
    if len(known) and (years.min() < -900 or years.max() > 7_900):
        raise _NotHere  # not four digits
    column = pa.array(values, pa.int64(), mask=missing).cast(pa.timestamp(unit))
    if not (utc or (known % (second * 86_400)).any()):
        return column.cast(pa.date32()).cast(pa.large_string())
    fine = next(name for name, parts in _UNITS.items() if parts == second or not (known % (second // parts)).any())
    if utc and fine != "s":
        raise _NotHere  # pandas gives each of these as many digits as it needs
    text = column.cast(pa.timestamp(fine)).cast(pa.large_string())
    return pc.if_else(text.is_null(), text, _joined(text, "+00:00", "")) if utc else text
