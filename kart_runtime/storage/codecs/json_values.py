"""Values as JSON: plain ones by the standard library, tables by pandas or polars.

`load` returns the type that the task declares to store. For a task that declares none it returns what gokart does: a
DataFrame if pandas can read the file as one.
"""

from __future__ import annotations

import io
import json
from typing import Any, BinaryIO, Literal

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import DataFrameType, FileProcessor, polars_frames
from kart_runtime.storage.codecs.files import as_binary
from kart_runtime.storage.codecs.libraries import is_series, library_of, optional, pandas_for

JsonOrient = Literal["split", "records", "index", "table", "columns", "values"]

_ACCEPTED = "dicts, lists, text, finite numbers, booleans, None and frames"
_NO_FRAME = (ValueError, TypeError, AttributeError, KeyError, OverflowError)
"""Errors that pandas raises for values that it cannot convert to a frame."""


class Json(FileProcessor):
    """JSON: a plain value, a frame or a series.

    Parameters
    ----------
    orient
        Layout of pandas frames; "records" writes one row a line. None: by columns.
    dataframe_type
        Type that `load` returns. None: the type that the task declares to store. If it declares none, that is a pandas
        DataFrame if pandas can read the file as one, or else the plain value.
    """

    def __init__(self, orient: JsonOrient | None = None, dataframe_type: DataFrameType | None = None) -> None:
        self.orient, self.dataframe_type = orient, dataframe_type
        self._lines = orient == "records"

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a plain value, a frame or a series.

        A dict is written as it is if JSON can represent it and there is no `orient`; otherwise pandas converts it to a
        frame.
        """
        file, library = as_binary(file), library_of(type(value))
        if library == "pandas":
            self._dump_pandas(value, file)
        elif library is not None:
            polars_frames.dump_json(value, file, self._lines)
        elif isinstance(value, dict) and self.orient is not None:
            self._dump_pandas(_frame_of(value, "not a table"), file)
        elif isinstance(value, list) and self._lines:
            file.write("".join(f"{_text(row)}\n" for row in value).encode())
        else:
            self._dump_plain(value, file)

    def _dump_pandas(self, value: Any, file: BinaryIO) -> None:
        value.to_json(file, orient=self.orient, lines=self._lines)

    def _dump_plain(self, value: Any, file: BinaryIO) -> None:
        try:
            file.write(_text(value).encode())
        except CannotEncode as error:
            if not isinstance(value, dict):
                raise
            self._dump_pandas(_frame_of(value, error.found), file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the value as `dataframe_type`, or as what the task stores."""
        file, library = as_binary(file), self.dataframe_type or library_of(as_type)
        if library == "pandas":
            return self._load_pandas(file.read(), is_series(as_type))
        if library is not None:
            return polars_frames.load_json(file, self._lines, library == "polars-lazy")
        data = file.read()
        return self._load_undeclared(data) if as_type in (None, Any) else self._load_plain(data)

    def _load_plain(self, data: bytes) -> Any:
        return [json.loads(line) for line in data.splitlines() if line.strip()] if self._lines else json.loads(data)

    def _load_pandas(self, data: bytes, series: bool = False) -> Any:
        pd = pandas_for("json")
        if not data.strip():
            return pd.Series(dtype=object) if series else pd.DataFrame()
        kind = "series" if series else "frame"
        return pd.read_json(io.BytesIO(data), orient=self.orient, lines=self._lines, typ=kind)

    def _load_undeclared(self, data: bytes) -> Any:
        """Return a frame if gokart does; a dict of single values is none, and is read without importing pandas."""
        if not data.strip() or self._lines:
            return self._load_pandas(data)
        plain = json.loads(data)
        containers = plain.values() if isinstance(plain, dict) else [plain]
        if plain != {} and not any(isinstance(value, dict | list) for value in containers):
            return plain
        if optional("pandas") is None:
            return plain
        try:
            return self._load_pandas(data)
        except _NO_FRAME:
            return plain


class JsonLines(Json):
    """JSON with one row, or one element of a list, a line.

    Parameters
    ----------
    dataframe_type
        As for `Json`.
    """

    def __init__(self, dataframe_type: DataFrameType | None = None) -> None:
        super().__init__("records", dataframe_type)


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_number_of_numpy)
    except (TypeError, ValueError) as error:
        raise CannotEncode("json", _ACCEPTED, str(error)) from error


def _frame_of(value: Any, why: str) -> Any:
    try:
        return pandas_for("json").DataFrame.from_dict(value)
    except (*_NO_FRAME, ImportError) as error:
        raise CannotEncode("json", _ACCEPTED, f"a dict ({why}) of which pandas makes no frame either") from error


def _number_of_numpy(value: Any) -> Any:
    # Only numpy's own: the `tolist` of a pandas Series would lose its index.
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} inside the value")
