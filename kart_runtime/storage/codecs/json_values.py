"""Values as JSON: plain ones by the standard library, tables by pandas or polars.

`load` returns the type that the task declares to store. For a task that declares none it returns what gokart does: a
DataFrame if pandas can read the file as one.
"""

from __future__ import annotations

import io
import json
import warnings
from contextlib import suppress
from pathlib import PosixPath, WindowsPath
from typing import Any, BinaryIO, Literal, cast, get_origin

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import DataFrameType, FileProcessor, json_frames, polars_json
from kart_runtime.storage.codecs.figures import kind_of
from kart_runtime.storage.codecs.files import as_binary
from kart_runtime.storage.codecs.json_beside import beside, split
from kart_runtime.storage.codecs.json_columns import NotKept
from kart_runtime.storage.codecs.libraries import is_series, library_of, optional, pandas_for
from kart_runtime.storage.codecs.losses import declared, warn_of_loss
from kart_runtime.storage.codecs.plain_json import Found, NotJson, inspected, with_int_keys
from kart_runtime.storage.codecs.typed_values import (
    SCALARS,
    as_declared,
    as_plain,
    difference,
    marks_of,
    with_marks,
    with_text_keys,
    without_endless,
)

JsonOrient = Literal["split", "records", "index", "table", "columns", "values"]

_ACCEPTED = "dicts, lists, text, finite numbers, booleans, None and frames"
_UNTYPED = (None, Any, dict, list, str, int, float, bool)
"""Declared types that say nothing of the values inside."""

_MARKED = frozenset({*SCALARS, PosixPath, WindowsPath})
"""Types of single values that are noted in the file where none is declared."""

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
        elif kind_of(type(value)) == "plotly" and not self._lines:
            file.write(str(cast("Any", value).to_json()).encode() + b"\n" + beside({"plotly": True}))
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
        found, refusal = _inspected(value), None
        # A dict is a frame to who declares nothing, as in gokart, if pandas can make one of it.
        is_typed = declared.get() not in (None, Any) or not isinstance(value, dict)
        if is_typed and _has_types(found):
            try:
                file.write(self._typed(value))
            except CannotEncode as error:
                refusal = error
            else:
                return
        try:
            file.write(self._plain(value, found))
        except (CannotEncode, NotJson) as error:
            if refusal is None and is_typed and declared.get() not in (None, Any):  # NaN and inf
                with suppress(CannotEncode):
                    file.write(self._typed(value))
                    return
            if isinstance(error, NotJson) or not isinstance(value, dict):
                raise refusal or _refused(error) from error
            self._dump_as_frame(value, file, error)

    def _dump_as_frame(self, value: dict[Any, Any], file: BinaryIO, error: CannotEncode) -> None:
        try:
            frame = _frame_of(value, error.found)
        except CannotEncode:
            file.write(self._typed(value))
        else:
            if declared.get() not in (None, Any):
                why = f"stores this dict as a table, which comes back changed ({error.found})"
                warn_of_loss("json", why, "Declare the types of its values, or use .pkl")
            self._dump_by_pandas(frame, file)

    def _plain(self, value: Any, found: Found | NotJson) -> bytes:
        """Return a value that JSON can write, with warnings; `NotJson` or `CannotEncode` if it cannot."""
        if isinstance(found, NotJson):
            raise found
        content = _lines(value) if self._lines else _text(value)
        if found.tuples:
            _check_tuples(value, found.tuples)
        if found.plainer:
            types = ", ".join(found.plainer)
            warn_of_loss("json", f"gives {types} back as the plain type", "Convert it before the dump, or use .pkl")
        return self._noted(content, {"keys": found.levels} if found.levels else {})

    def _noted(self, content: bytes, note: dict[str, Any]) -> bytes:
        return content + (b"\n" * (not self._lines) + beside(note) if note else b"")

    def _typed(self, value: Any) -> bytes:
        """Return a value with types that JSON has not; `CannotEncode` if it would come back as another one.

        It comes back the same if the task declares these types. Dates and the like need no declaration: where they are
        is noted in the file.
        """
        plain = as_plain(value, _MARKED)
        bare = as_plain(plain)
        try:
            levels = inspected(bare).levels
        except NotJson:  # the declaration may say which texts are numbers
            bare, levels = with_text_keys(bare), []
        changed = None
        for marks in (None, marks_of(plain, with_endless=declared.get() not in (None, Any))):
            try:
                content = self._written(without_endless(bare) if marks else bare, marks, levels)
                changed = difference(value, self._load_typed(content))
            except CannotEncode as error:
                changed = error.found
            except (*_NO_FRAME, ArithmeticError) as error:
                changed = f"a {type(value).__name__} that cannot be built again ({error})"
            else:
                if changed is None:
                    return content
        found = f"{changed} (declare its type, as in TaskOnKart[MyDataclass], or use .pkl),"
        raise CannotEncode("json", _ACCEPTED, found)

    def _written(self, plain: Any, marks: Any, levels: list[int]) -> bytes:
        note = {**({"keys": levels} if levels else {}), **({"types": marks} if marks else {})}
        return self._noted(_lines(plain) if self._lines else _text(plain), note)

    def _load_typed(self, content: bytes) -> Any:
        data, note = split(content)
        return self._load_plain(data, note, declared.get())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the value as `dataframe_type`, or as what the task stores."""
        file, library = as_binary(file), self.dataframe_type or library_of(as_type)
        if kind_of(as_type) == "plotly":
            return _plotly(split(file.read())[0])
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
        if note and "keys" in note:
            value = with_int_keys(value, note["keys"])
        if note and "types" in note:
            value = with_marks(value, note["types"])
        return value if as_type in _UNTYPED else as_declared(value, as_type)

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
        if note and "plotly" in note:
            return _plotly(data)
        if note and "types" in note:
            return self._load_plain(data, note, None)
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


def _inspected(value: Any) -> Found | NotJson:
    try:
        return inspected(value)
    except NotJson as error:
        return error


def _has_types(found: Found | NotJson) -> bool:
    return isinstance(found, NotJson) or bool(found.others or found.tuples or found.plainer)


def _plotly(data: bytes) -> Any:
    from plotly.io import from_json

    return from_json(data.decode())


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
