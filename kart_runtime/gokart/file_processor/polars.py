"""File formats whose tables are always read as polars frames, under gokart's names."""

from __future__ import annotations

from kart_runtime.storage.codecs import DataFrameType
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import Json, JsonOrient

__all__ = [
    "CsvFileProcessorPolars",
    "FeatherFileProcessorPolars",
    "JsonFileProcessorPolars",
    "ParquetFileProcessorPolars",
]


def _polars(lazy: bool) -> DataFrameType:
    return "polars-lazy" if lazy else "polars"


class CsvFileProcessorPolars(Csv):
    """`Csv`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, sep: str = ",", encoding: str = "utf-8", lazy: bool = False) -> None:
        super().__init__(sep, encoding, _polars(lazy))


class JsonFileProcessorPolars(Json):
    """`Json`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, orient: JsonOrient | None = None, lazy: bool = False) -> None:
        super().__init__(orient, _polars(lazy))


class ParquetFileProcessorPolars(Parquet):
    """`Parquet`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, engine: str = "pyarrow", compression: str | None = "zstd", lazy: bool = False) -> None:
        super().__init__(engine, compression or "zstd", _polars(lazy))


class FeatherFileProcessorPolars(Feather):
    """`Feather`, always read as a polars DataFrame, or as a LazyFrame."""

    def __init__(self, store_index_in_feather: bool = True, lazy: bool = False) -> None:
        super().__init__(store_index_in_feather, _polars(lazy))
