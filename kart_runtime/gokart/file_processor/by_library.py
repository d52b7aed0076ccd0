"""What are the codecs of one library called? Names for each format with pandas and with polars, as gokart has them.

They differ from `frames` and `json_values` in what `load` gives, which is fixed; given out by
`kart_runtime.gokart.file_processor`.
"""

from __future__ import annotations

from kart_runtime.storage.codecs import DataFrameType
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import Json, JsonOrient


def _polars(lazy: bool) -> DataFrameType:
    return "polars-lazy" if lazy else "polars"


class PandasCsv(Csv):
    """`Csv`, always read as a pandas DataFrame."""

    def __init__(self, sep: str = ",", encoding: str = "utf-8") -> None:
        super().__init__(sep, encoding, "pandas")


class PandasJson(Json):
    """`Json`, always read as a pandas DataFrame."""

    def __init__(self, orient: JsonOrient | None = None) -> None:
        super().__init__(orient, "pandas")


class PandasParquet(Parquet):
    """`Parquet`, always read as a pandas DataFrame."""

    def __init__(self, engine: str = "pyarrow", compression: str | None = None) -> None:
        super().__init__(engine, compression, "pandas")


class PandasFeather(Feather):
    """`Feather`, always read as a pandas DataFrame."""

    def __init__(self, store_index_in_feather: bool = True) -> None:
        super().__init__(store_index_in_feather, "pandas")


class PolarsCsv(Csv):
    """`Csv`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, sep: str = ",", encoding: str = "utf-8", lazy: bool = False) -> None:
        super().__init__(sep, encoding, _polars(lazy))


class PolarsJson(Json):
    """`Json`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, orient: JsonOrient | None = None, lazy: bool = False) -> None:
        super().__init__(orient, _polars(lazy))


class PolarsParquet(Parquet):
    """`Parquet`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, engine: str = "pyarrow", compression: str | None = "zstd", lazy: bool = False) -> None:
        super().__init__(engine, compression or "zstd", _polars(lazy))


class PolarsFeather(Feather):
    """`Feather`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, store_index_in_feather: bool = True, lazy: bool = False) -> None:
        super().__init__(store_index_in_feather, _polars(lazy))
