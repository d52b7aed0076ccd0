"""File formats whose tables are always read as pandas frames, under gokart's names."""

from __future__ import annotations

from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import Json, JsonOrient

__all__ = [
    "CsvFileProcessorPandas",
    "FeatherFileProcessorPandas",
    "JsonFileProcessorPandas",
    "ParquetFileProcessorPandas",
]


class CsvFileProcessorPandas(Csv):
    """`Csv`, always read as a pandas DataFrame."""

    def __init__(self, sep: str = ",", encoding: str = "utf-8") -> None:
        super().__init__(sep, encoding, "pandas")


class JsonFileProcessorPandas(Json):
    """`Json`, always read as a pandas DataFrame."""

    def __init__(self, orient: JsonOrient | None = None) -> None:
        super().__init__(orient, "pandas")


class ParquetFileProcessorPandas(Parquet):
    """`Parquet`, always read as a pandas DataFrame."""

    def __init__(self, engine: str = "pyarrow", compression: str | None = None) -> None:
        super().__init__(engine, compression, "pandas")


class FeatherFileProcessorPandas(Feather):
    """`Feather`, always read as a pandas DataFrame."""

    def __init__(self, store_index_in_feather: bool = True) -> None:
        super().__init__(store_index_in_feather, "pandas")
