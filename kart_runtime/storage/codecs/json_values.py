"""Values as JSON: plain ones by the standard library, tables by pandas or polars.

`load` returns the type that the task declares to store. For a task that declares none it returns what gokart does: a
DataFrame if pandas can read the file as one.
"""

from __future__ import annotations

import io
import json
import warnings
from typing import Any, BinaryIO, Literal, get_origin

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import DataFrameType, FileProcessor, json_frames, polars_json
from kart_runtime.storage.codecs.files import as_binary
from kart_runtime.storage.codecs.json_beside import beside, split
from kart_runtime.storage.codecs.json_columns import NotKept
from kart_runtime.storage.codecs.libraries import is_series, library_of, optional, pandas_for
from kart_runtime.storage.codecs.losses import warn_of_loss
from kart_runtime.storage.codecs.plain_json import NotJson, inspected, with_int_keys

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
            self._dump_frame(value, file)
        elif library is not None:
            polars_json.dump(value, file, self._lines)
        elif isinstance(value, dict) and self.orient is not None:
            self._dump_by_pandas(_frame_of(value, "not a table"), file)
        else:
            self._dump_plain(value, file)

    def _dump_frame(self, value: Any, file: BinaryIO) -> None:
        if self.orient not in (None, "records") or optional("pyarrow.compute") is None:
            self._dump_by_pandas(value, file)
            return
        try:
            note, texts = json_frames.encoded(value, self._lines)
        except NotKept as error:
            self._dump_by_pandas(value, file)
            what = f"stores {error} in another form, which comes back changed"
            warn_of_loss("json", what, "Convert it before the dump, or use .pkl or .parquet")
        else:
            json_frames.write(value, file, self._lines, note, texts)

    def _dump_by_pandas(self, value: Any, file: BinaryIO) -> None:
        try:
            dates: Any = None if self.orient == "table" else "epoch"
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*date format", category=DeprecationWarning)
                value.to_json(file, orient=self.orient, lines=self._lines, double_precision=15, date_format=dates)
        except (*_NO_FRAME, UnicodeError, NotImplementedError) as error:
            raise CannotEncode(
                "json", _ACCEPTED, f"a {type(value).__name__} that pandas cannot write ({error})"
            ) from error

    def _dump_plain(self, value: Any, file: BinaryIO) -> None:
        if self._lines and not isinstance(value, list):
            raise CannotEncode("json by lines", "lists and frames", type(value).__name__)
        try:
            found = inspected(value)
            content = _lines(value) if self._lines else _text(value)
        except (CannotEncode, NotJson) as error:
            if not isinstance(value, dict) or isinstance(error, NotJson):
                raise _refused(error) from error
            self._dump_by_pandas(_frame_of(value, error.found), file)
            return
        if found.tuples:
            _check_tuples(value, found.tuples)
        if found.plainer:
            types = ", ".join(found.plainer)
            warn_of_loss("json", f"gives {types} back as the plain type", "Convert it before the dump, or use .pkl")
        file.write(content + (b"\n" * (not self._lines) + beside({"keys": found.levels}) if found.levels else b""))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the value as `dataframe_type`, or as what the task stores."""
        file, library = as_binary(file), self.dataframe_type or library_of(as_type)
        if library in ("polars", "polars-lazy"):
            return polars_json.load(file, self._lines, library == "polars-lazy")
        data, note = split(file.read())
        if library == "pandas":
            return self._load_pandas(data, note, is_series(as_type))
        if as_type in (None, Any):
            return self._load_undeclared(data, note)
        return self._load_plain(data, note, as_type)

    def _load_plain(self, data: bytes, note: Any, as_type: Any) -> Any:
        if not self._lines:
            value = json.loads(data)
        else:
            value = [json.loads(line) for line in data.splitlines() if line.strip()]
            if (get_origin(as_type) or as_type) is dict:  # which was stored as a table
                return {name: [row[name] for row in value] for name in (value[0] if value else ())}
        return with_int_keys(value, note["keys"]) if note and "keys" in note else value

    def _load_pandas(self, data: bytes, note: Any = None, series: bool = False) -> Any:
        pd = pandas_for("json")
        if note and "pandas" in note and ("series" in note) == series:
            return json_frames.read(data, self._lines, note)
        if not data.strip():
            return pd.Series(dtype=object) if series else pd.DataFrame()
        kind = "series" if series else "frame"
        return pd.read_json(io.BytesIO(data), orient=self.orient, lines=self._lines, typ=kind)

    def _load_undeclared(self, data: bytes, note: Any) -> Any:
        """Return a frame if gokart does; a dict of single values is none, and is read without importing pandas."""
        if not data.strip() or self._lines or (note and "pandas" in note and "series" not in note):
            return self._load_pandas(data, note)
        plain = json.loads(data)
        containers = plain.values() if isinstance(plain, dict) else [plain]
        if (plain != {} and not any(isinstance(value, dict | list) for value in containers)) or optional(
            "pandas"
        ) is None:
            return self._load_plain(data, note, None)
        try:
            return self._load_pandas(data)
        except _NO_FRAME:
            return self._load_plain(data, note, None)


class JsonLines(Json):
    """JSON with one row, or one element of a list, a line.

    Parameters
    ----------
    dataframe_type
        As for `Json`.
    """

    def __init__(self, dataframe_type: DataFrameType | None = None) -> None:
        super().__init__("records", dataframe_type)


def _refused(error: Exception) -> CannotEncode:
    return error if isinstance(error, CannotEncode) else CannotEncode("json", _ACCEPTED, str(error))


def _check_tuples(value: Any, names: list[str]) -> None:
    """Refuse tuples; only warn of them where gokart makes a frame of them."""
    if not isinstance(value, dict):
        raise CannotEncode("json", _ACCEPTED, f"a {names[0]}, which JSON makes a list (pass a list),")
    _frame_of(value, f"with a {names[0]}, which JSON makes a list")
    warn_of_loss("json", f"gives a {names[0]} back as a list", "Pass a list, or use .pkl")


def _lines(rows: list[Any]) -> bytes:
    return b"".join(_text(row) + b"\n" for row in rows)


def _text(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_number_of_numpy)
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape
        return json.dumps(value, allow_nan=False, default=_number_of_numpy).encode()
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
