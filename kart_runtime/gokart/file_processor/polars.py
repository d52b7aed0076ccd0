"""gokart's names of the tables that are read by polars; what they do is written in `kart_runtime.codecs.by_library`."""

from kart_runtime.codecs.by_library import PolarsCsv as CsvFileProcessorPolars
from kart_runtime.codecs.by_library import PolarsFeather as FeatherFileProcessorPolars
from kart_runtime.codecs.by_library import PolarsJson as JsonFileProcessorPolars
from kart_runtime.codecs.by_library import PolarsParquet as ParquetFileProcessorPolars

__all__ = [
    "CsvFileProcessorPolars",
    "FeatherFileProcessorPolars",
    "JsonFileProcessorPolars",
    "ParquetFileProcessorPolars",
]
