"""Tables as csv, tsv, parquet, feather, arrow and orc, by pandas or polars, which are imported when they are used.

The type of a dumped value decides which library writes it. `load` returns the type that the task declares to store, or
a pandas DataFrame if it declares none. As in gokart, csv and parquet do not store the index of pandas; feather does, in
a column with a reserved name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from luigi.format import TextFormat

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import (
    DataFrameType,
    FileProcessor,
    arrow_frames,
    arrow_tables,
    csv_writer,
    polars_frames,
)
from kart_runtime.storage.codecs.files import as_binary, decoding, for_arrow, seekable, whole_path
from kart_runtime.storage.codecs.frame_labels import warn_of_index
from kart_runtime.storage.codecs.libraries import is_arrow_table, is_series, library_of, pandas_for

_ACCEPTED = "a pandas DataFrame or Series, a polars DataFrame or LazyFrame, or a pyarrow Table"


def _is_polars(value: Any) -> bool:
    return library_of(type(value)) in ("polars", "polars-lazy")


def _frame(value: Any, format: str, accepted: str = _ACCEPTED) -> Any:  # noqa: A002 - the field's word
    if not isinstance(value, pandas_for(format, arrow=True).DataFrame):
        raise CannotEncode(format, accepted, type(value).__name__)
    return value


@contextmanager
def _refusing(format: str) -> Iterator[None]:  # noqa: A002 - the field's word
    """Raise `CannotEncode` for what Arrow cannot write in a format."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise CannotEncode(format, "columns of types that it knows", f"another type ({error})") from error


class _Table(FileProcessor):
    """Format of tables. `dataframe_type` is the type that `load` returns; None leaves it to the task."""

    def __init__(self, dataframe_type: DataFrameType | None) -> None:
        self.dataframe_type: DataFrameType | None = dataframe_type

    def _library(self, as_type: Any) -> DataFrameType:
        return self.dataframe_type or library_of(as_type) or "pandas"


class Csv(_Table):
    """Comma-separated values, with a header and without the index.

    Parameters
    ----------
    sep
        Separator of values.
    encoding
        Python's name of the encoding.
    dataframe_type
        Type that `load` returns. None: the type that the task declares to store, or else a pandas DataFrame.
    """

    name = "csv"

    def __init__(self, sep: str = ",", encoding: str = "utf-8", dataframe_type: DataFrameType | None = None) -> None:
        super().__init__(dataframe_type)
        self.sep, self.encoding = sep, encoding

    def format(self) -> Any:
        """Return the luigi format of text in this encoding."""
        return TextFormat(encoding=self.encoding)

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a frame, or a pandas Series, without its index."""
        file = as_binary(file)
        if _is_polars(value):
            polars_frames.dump_csv(value, file, self.sep, self.encoding)
            return
        pd = pandas_for(self.name)
        if not isinstance(value, pd.DataFrame | pd.Series):
            raise CannotEncode(
                self.name, "a pandas DataFrame or Series, or a polars DataFrame or LazyFrame", type(value).__name__
            )
        frame = value.to_frame() if isinstance(value, pd.Series) else value
        warn_of_index(frame, self.name)
        if csv_writer.can_write(frame, self.sep, self.encoding):
            csv_writer.write_csv(frame, file, self.sep)
            return
        try:
            quoting = csv_writer.quoting(frame)
            value.to_csv(file, index=False, sep=self.sep, encoding=self.encoding, quoting=quoting)
        except UnicodeEncodeError as error:
            raise CannotEncode(self.name, f"text of {self.encoding}", f"other text ({error})") from error

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame; an empty file gives an empty frame."""
        file, library = as_binary(file), self._library(as_type)
        if library != "pandas":
            return polars_frames.load_csv(file, self.sep, self.encoding, library == "polars-lazy")
        pd = pandas_for(self.name)
        try:
            # By the path, because pandas reads a large file in several threads only when it opens it itself.
            return pd.read_csv(whole_path(file) or file, sep=self.sep, encoding=self.encoding, compression=None)
        except pd.errors.EmptyDataError:
            return pd.DataFrame()


class Tsv(Csv):
    """Tab-separated values.

    Parameters
    ----------
    encoding, dataframe_type
        As for `Csv`.
    """

    name = "tsv"

    def __init__(self, encoding: str = "utf-8", dataframe_type: DataFrameType | None = None) -> None:
        super().__init__("\t", encoding, dataframe_type)


class Parquet(_Table):
    """Parquet, without the index.

    Parameters
    ----------
    engine
        Library by which pandas writes and reads.
    compression
        Name of the compression. None: not compressed.
    dataframe_type
        As for `Csv`.
    """

    def __init__(
        self,
        engine: str = "pyarrow",
        compression: str | None = "zstd",
        dataframe_type: DataFrameType | None = None,
    ) -> None:
        super().__init__(dataframe_type)
        self.engine, self.compression = engine, compression

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a frame, a table of pyarrow, or a pandas Series, which keeps its index."""
        if _is_polars(value):
            polars_frames.dump(value, file, "parquet", compression=self.compression or "uncompressed")
            return
        table = _table(value, "parquet", "parquet")
        if table is None:
            frame = _frame(value, "parquet")
            warn_of_index(frame, "parquet")
            if self.engine != "pyarrow":
                frame.to_parquet(file, index=False, engine=self.engine, compression=self.compression)
                return
            table = arrow_frames.table_of(frame, "parquet")
        import pyarrow.parquet as pq

        with _refusing("parquet"):
            pq.write_table(table, file, compression=self.compression or "none")

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame, a table or a Series."""
        library = self._library(as_type)
        if library != "pandas":
            return polars_frames.load_arrow(file, "parquet", library == "polars-lazy")
        if self.engine != "pyarrow":
            return pandas_for("parquet", arrow=True).read_parquet(seekable(file), engine=self.engine)
        return _loaded(file, "parquet", as_type if self.dataframe_type is None else None)


class Feather(_Table):
    """Feather (Arrow IPC), with the index of pandas.

    Parameters
    ----------
    store_index_in_feather
        Whether to store the index of a pandas frame. polars frames have none.
    dataframe_type
        As for `Csv`.
    """

    name = "feather"

    def __init__(self, store_index_in_feather: bool = True, dataframe_type: DataFrameType | None = None) -> None:
        super().__init__(dataframe_type)
        self.store_index_in_feather = store_index_in_feather

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a frame; the index of a pandas frame goes into a column with a reserved name.

        Raises
        ------
        CannotEncode
            If the index has several levels or is named "None", if a column already has the reserved name, or if the
            index is not stored and is something else than row numbers.
        """
        if _is_polars(value):
            polars_frames.dump(value, file, "ipc")
            return
        from pyarrow import feather

        table = _table(value, "feather", self.name)
        if table is not None:
            with _refusing("feather"):
                feather.write_feather(table, file)
            return
        frame = _frame(value, "feather")
        if not self.store_index_in_feather and not frame.index.equals(pandas_for("feather").RangeIndex(len(frame))):
            actual = "one with another index; call reset_index(), or set store_index_in_feather=True"
            raise CannotEncode("feather", "frames indexed by row number when the index is not stored", actual)
        table = arrow_frames.table_of(frame, "feather", with_index=self.store_index_in_feather)
        with _refusing("feather"):
            feather.write_feather(table, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame, and restore the index of a pandas frame."""
        library = self._library(as_type)
        if library != "pandas":
            return polars_frames.load_arrow(file, "ipc", library == "polars-lazy")
        as_type = as_type if self.dataframe_type is None else None
        return _loaded(file, "feather", as_type, with_index=self.store_index_in_feather)


class Arrow(Feather):
    """An Arrow IPC file, which is what a feather file is, with the index of pandas."""

    name = "arrow"


class Orc(_Table):
    """ORC, without the index; a frame that would come back changed is refused.

    Parameters
    ----------
    dataframe_type
        As for `Csv`.
    """

    def __init__(self, dataframe_type: DataFrameType | None = None) -> None:
        super().__init__(dataframe_type)

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a frame, or a table of pyarrow."""
        if not _is_polars(value) and not is_arrow_table(type(value)):
            warn_of_index(_frame(value, "orc", "a DataFrame of pandas or polars, or a pyarrow Table"), "orc")
        arrow_tables.dump_orc(value, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame or a table."""
        with for_arrow(file) as source, decoding():
            table = arrow_tables.load_table(source, "orc")
        if self.dataframe_type is None and is_arrow_table(as_type):
            return table
        library = self._library(as_type)
        frame = arrow_tables.load_orc_as(table, library)
        return frame.lazy() if library == "polars-lazy" else frame


def _table(value: Any, format: arrow_tables.Format, name: str) -> Any:  # noqa: A002 - the field's word
    """Return a table of pyarrow, or a Series as one, to be written; None for what is neither."""
    if is_arrow_table(type(value)):
        return arrow_tables.checked(value, name)
    return arrow_tables.table_of_series(value, format) if is_series(type(value)) else None


def _loaded(file: BinaryIO, format: arrow_tables.Format, as_type: Any, with_index: bool = False) -> Any:  # noqa: A002
    """Return the table, Series or frame of an open file: as declared, or else what was stored."""
    if is_arrow_table(as_type):
        with for_arrow(file) as source:
            return arrow_tables.load_table(source, format)
    pandas_for(format, arrow=True)
    with for_arrow(file) as source:
        # What is declared may be the type of all outputs of a task, such as a dict: then the file itself says it.
        is_frame = library_of(as_type) is not None and not is_series(as_type)
        note = None if is_frame else arrow_tables.series_note(source, format)
        if note is not None or is_series(as_type):
            return arrow_tables.load_series(source, format, note)
        return arrow_frames.read(source, format, with_index=with_index)
