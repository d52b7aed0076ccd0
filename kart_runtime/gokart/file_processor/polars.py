"""gokart's names of the tables that are read by polars, from `by_library`."""

from kart_runtime.gokart.file_processor.by_library import PolarsCsv as CsvFileProcessorPolars
from kart_runtime.gokart.file_processor.by_library import PolarsFeather as FeatherFileProcessorPolars
from kart_runtime.gokart.file_processor.by_library import PolarsJson as JsonFileProcessorPolars
from kart_runtime.gokart.file_processor.by_library import PolarsParquet as ParquetFileProcessorPolars

__all__ = [
    "CsvFileProcessorPolars",
    "FeatherFileProcessorPolars",
    "JsonFileProcessorPolars",
    "ParquetFileProcessorPolars",
]
