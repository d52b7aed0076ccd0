"""Excel workbooks: one frame, or a dict of frames by sheet, by pandas and openpyxl.

A workbook stores no types but numbers, text, dates and booleans, so a frame is read again after it is written, and what
has changed is warned about. Equal frames give equal bytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any, BinaryIO, get_args, get_origin

from kart_runtime.errors import CannotEncode, how_to_add
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable
from kart_runtime.storage.codecs.frame_labels import warn_of_index
from kart_runtime.storage.codecs.libraries import library_of, optional, pandas_for
from kart_runtime.storage.codecs.losses import declared, warn_of_loss

_SHEET = "Sheet1"

_ACCEPTED = "a DataFrame of pandas or polars, or a dict of them by the names of sheets"


class Excel(FileProcessor):
    """A workbook, with headers and without the index."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a frame into one sheet, or a dict of frames into one sheet each."""
        pd = _pandas()
        sheets = value if isinstance(value, dict) else {_SHEET: value}
        frames = {name: _frame(name, frame) for name, frame in sheets.items()}
        if not frames:
            raise CannotEncode("xlsx", _ACCEPTED, "a dict without sheets")
        if isinstance(value, dict) and len(frames) == 1 and _declared_frames(declared.get()) is None:
            remedy = "Declare TaskOnKart[dict[str, pd.DataFrame]]"
            warn_of_loss("xlsx", "gives a dict with a single sheet back as its DataFrame", remedy)
        buffer = io.BytesIO()
        try:
            with pd.ExcelWriter(buffer, engine="openpyxl") as writer:
                for name, frame in frames.items():
                    frame.to_excel(writer, sheet_name=name, index=False)
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            found = f"something else ({str(error).partition(chr(10))[0]})"
            raise CannotEncode("xlsx", "frames of numbers, text, booleans and dates", found) from error
        _warn_of_changes(frames, pd.read_excel(buffer, sheet_name=None))
        file.write(_undated(buffer))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a dict of all sheets if the task declares one, or none and there are several; else the first sheet."""
        pd = _pandas()
        sheets = pd.read_excel(seekable(file), sheet_name=None)
        of = _declared_frames(as_type)
        library = library_of(as_type) if of is None else of
        if library in ("polars", "polars-lazy"):
            sheets = {name: _as_polars(frame, library) for name, frame in sheets.items()}
        if of is not None or (library is None and len(sheets) > 1):
            return sheets
        return next(iter(sheets.values()))


def _pandas() -> Any:
    pd = pandas_for("xlsx")
    if optional("openpyxl") is None:
        raise ImportError(f"xlsx files need openpyxl. {how_to_add('excel')}")
    return pd


def _declared_frames(as_type: Any) -> str | None:
    """Return the library of the frames of a declared dict, None if no dict is declared."""
    if not isinstance(get_origin(as_type) or as_type, type) or not issubclass(get_origin(as_type) or as_type, dict):
        return None
    inner = get_args(as_type)
    return (library_of(inner[1]) if len(inner) == 2 else None) or "pandas"


def _frame(name: Any, frame: Any) -> Any:
    pd = _pandas()
    if not isinstance(name, str) or not 0 < len(name) <= 31 or re.search(r"[\\/*?:\[\]]", name):
        raise CannotEncode(
            "xlsx", "sheets with names of 1 to 31 characters, none of them \\/*?:[]", f"a sheet {name!r}"
        )
    library = library_of(type(frame))
    if library in ("polars", "polars-lazy"):
        frame = (frame.collect() if library == "polars-lazy" else frame).to_pandas()
    if not isinstance(frame, pd.DataFrame):
        raise CannotEncode("xlsx", _ACCEPTED, type(frame).__name__)
    warn_of_index(frame, "xlsx")
    return frame


def _as_polars(frame: Any, library: str) -> Any:
    import polars as pl

    made = pl.from_pandas(frame)
    return made.lazy() if library == "polars-lazy" else made


def _warn_of_changes(frames: dict[str, Any], read: dict[str, Any]) -> None:
    changed = []
    for name, frame in frames.items():
        other = read[name]
        if list(frame.columns) != list(other.columns):
            changed.append("the names of the columns")
            continue
        for position, column in enumerate(frame.columns):
            before, after = frame.iloc[:, position].reset_index(drop=True), other.iloc[:, position]
            if not before.equals(after):
                changed.append(f"'{column}' ({before.dtype}, read as {after.dtype})")
    if changed:
        warn_of_loss("xlsx", f"gives columns back changed: {', '.join(changed)}", "Use .parquet to keep them")


def _undated(buffer: io.BytesIO) -> bytes:
    """Return a workbook without the times at which it was written."""
    written = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", content)
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, content)
    return written.getvalue()
