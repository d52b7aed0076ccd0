"""gokart's names of the tables that are read by pandas, from `by_library`."""

from kart_runtime.gokart.file_processor.by_library import PandasCsv as CsvFileProcessorPandas
from kart_runtime.gokart.file_processor.by_library import PandasFeather as FeatherFileProcessorPandas
from kart_runtime.gokart.file_processor.by_library import PandasJson as JsonFileProcessorPandas
from kart_runtime.gokart.file_processor.by_library import PandasParquet as ParquetFileProcessorPandas

__all__ = [
    "CsvFileProcessorPandas",
    "FeatherFileProcessorPandas",
    "JsonFileProcessorPandas",
    "ParquetFileProcessorPandas",
]
