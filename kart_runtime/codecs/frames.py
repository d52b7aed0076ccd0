"""How are DataFrames written? csv, tsv, parquet and feather, by pandas and pyarrow, which are loaded here only.

As in gokart, csv and parquet do not keep the index and feather does, in a column of its own with a reserved name.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode

INDEX_COLUMN = "__feather_gokart_index__"
"""Prefix of the feather column that holds the index; the index's name follows. gokart's files have the same."""


def _pandas(format: str) -> Any:  # noqa: A002 - the field's word
    try:
        import pandas as pd
        import pyarrow  # noqa: F401 - pandas needs it for these formats; its absence gets the same hint
    except ImportError as error:
        raise ImportError(f"{format} files need pandas and pyarrow: pip install 'kart-runtime[pandas]'") from error
    return pd


def _frame(value: Any, format: str) -> Any:  # noqa: A002
    pd = _pandas(format)
    if not isinstance(value, pd.DataFrame):
        raise CannotEncode(format, "a pandas DataFrame", type(value).__name__)
    return value


class Csv:
    """Comma-separated values, UTF-8, with a header and without the index.

    Parameters
    ----------
    separator
        What stands between two values.
    """

    name = "csv"

    def __init__(self, separator: str = ",") -> None:
        self.separator = separator

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a DataFrame or Series."""
        pd = _pandas(self.name)
        if not isinstance(value, pd.DataFrame | pd.Series):
            raise CannotEncode(self.name, "a pandas DataFrame or Series", type(value).__name__)
        value.to_csv(file, index=False, sep=self.separator, encoding="utf-8")

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002
        """Read a DataFrame; an empty file gives an empty one."""
        pd = _pandas(self.name)
        try:
            return pd.read_csv(file, sep=self.separator, encoding="utf-8")
        except pd.errors.EmptyDataError:
            return pd.DataFrame()


class Tsv(Csv):
    """Tab-separated values."""

    name = "tsv"

    def __init__(self) -> None:
        super().__init__("\t")


class Parquet:
    """Parquet, compressed by zstd, without the index."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a DataFrame."""
        _frame(value, "parquet").to_parquet(file, index=False, engine="pyarrow", compression="zstd")

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002
        """Read a DataFrame."""
        return _pandas("parquet").read_parquet(file, engine="pyarrow")


class Feather:
    """Feather (Arrow IPC), with the index."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a DataFrame; its index goes into a column with a reserved name.

        Raises
        ------
        CannotEncode
            When the index has several levels or is called "None", or a column already has the reserved name.
        """
        frame = _frame(value, "feather")
        column = f"{INDEX_COLUMN}{frame.index.name}"
        if frame.index.nlevels > 1:
            raise CannotEncode("feather", "frames with one index level", f"{frame.index.nlevels} levels; reset_index()")
        if frame.index.name == "None" or column in frame.columns:
            raise CannotEncode("feather", "frames whose index is not called 'None'", f"an index '{frame.index.name}'")
        stored = frame.reset_index(drop=True)
        stored[column] = frame.index.array
        stored.to_feather(file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002
        """Read a DataFrame and give it its index back."""
        pd = _pandas("feather")
        frame = pd.read_feather(file)
        column = next((name for name in reversed(frame.columns) if str(name).startswith(INDEX_COLUMN)), None)
        if column is None:
            return frame
        name = column.removeprefix(INDEX_COLUMN)
        index = pd.Index(frame[column].array, name=None if name == "None" else name)
        return frame.drop(columns=[column]).set_axis(index, axis=0)
