"""Tables as csv, tsv, parquet and feather, by pandas or polars, which are imported when they are used.

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
from kart_runtime.storage.codecs import DataFrameType, FileProcessor, arrow_frames, csv_writer, polars_frames
from kart_runtime.storage.codecs.files import as_binary, for_arrow, seekable, whole_path
from kart_runtime.storage.codecs.frame_labels import warn_of_index
from kart_runtime.storage.codecs.libraries import library_of, pandas_for

_ACCEPTED = "a pandas DataFrame or a polars DataFrame or LazyFrame"


def _is_polars(value: Any) -> bool:
    return library_of(type(value)) in ("polars", "polars-lazy")


def _frame(value: Any, format: str) -> Any:  # noqa: A002 - the field's word
    if not isinstance(value, pandas_for(format, arrow=True).DataFrame):
        raise CannotEncode(format, _ACCEPTED, type(value).__name__)
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
            raise CannotEncode(self.name, f"{_ACCEPTED} or a Series", type(value).__name__)
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
        """Write a frame."""
        if _is_polars(value):
            polars_frames.dump(value, file, "parquet", compression=self.compression or "uncompressed")
            return
        frame = _frame(value, "parquet")
        warn_of_index(frame, "parquet")
        if self.engine != "pyarrow":
            frame.to_parquet(file, index=False, engine=self.engine, compression=self.compression)
            return
        import pyarrow.parquet as pq

        table = arrow_frames.table_of(frame, "parquet")
        with _refusing("parquet"):
            pq.write_table(table, file, compression=self.compression or "none")

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame."""
        library = self._library(as_type)
        if library != "pandas":
            return polars_frames.load_arrow(file, "parquet", library == "polars-lazy")
        pd = pandas_for("parquet", arrow=True)
        if self.engine != "pyarrow":
            return pd.read_parquet(seekable(file), engine=self.engine)
        with for_arrow(file) as source:
            return arrow_frames.read(source, "parquet")


class Feather(_Table):
    """Feather (Arrow IPC), with the index of pandas.

    Parameters
    ----------
    store_index_in_feather
        Whether to store the index of a pandas frame. polars frames have none.
    dataframe_type
        As for `Csv`.
    """

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
        frame = _frame(value, "feather")
        if not self.store_index_in_feather and not frame.index.equals(pandas_for("feather").RangeIndex(len(frame))):
            actual = "one with another index; call reset_index(), or set store_index_in_feather=True"
            raise CannotEncode("feather", "frames indexed by row number when the index is not stored", actual)
        from pyarrow import feather

        table = arrow_frames.table_of(frame, "feather", with_index=self.store_index_in_feather)
        with _refusing("feather"):
            feather.write_feather(table, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a frame, and restore the index of a pandas frame."""
        library = self._library(as_type)
        if library != "pandas":
            return polars_frames.load_arrow(file, "ipc", library == "polars-lazy")
        pandas_for("feather", arrow=True)
        with for_arrow(file) as source:
            return arrow_frames.read(source, "feather", with_index=self.store_index_in_feather)
