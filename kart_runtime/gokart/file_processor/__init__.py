"""gokart's names of the file formats, documented in `kart_runtime.storage.codecs`."""

from kart_runtime.gokart.file_processor.pandas import (
    CsvFileProcessorPandas,
    FeatherFileProcessorPandas,
    JsonFileProcessorPandas,
    ParquetFileProcessorPandas,
)
from kart_runtime.gokart.file_processor.polars import (
    CsvFileProcessorPolars,
    FeatherFileProcessorPolars,
    JsonFileProcessorPolars,
    ParquetFileProcessorPolars,
)
from kart_runtime.storage.codecs import DataFrameType, FileProcessor
from kart_runtime.storage.codecs.arrays import Npz as NpzFileProcessor
from kart_runtime.storage.codecs.file_processors import make_file_processor
from kart_runtime.storage.codecs.frames import Csv as CsvFileProcessor
from kart_runtime.storage.codecs.frames import Feather as FeatherFileProcessor
from kart_runtime.storage.codecs.frames import Parquet as ParquetFileProcessor
from kart_runtime.storage.codecs.json_values import Json as JsonFileProcessor
from kart_runtime.storage.codecs.pickles import Pickle as PickleFileProcessor
from kart_runtime.storage.codecs.texts import Binary as BinaryFileProcessor
from kart_runtime.storage.codecs.texts import Gzip as GzipFileProcessor
from kart_runtime.storage.codecs.texts import Text as TextFileProcessor
from kart_runtime.storage.codecs.texts import Xml as XmlFileProcessor

__all__ = [
    "BinaryFileProcessor",
    "CsvFileProcessor",
    "CsvFileProcessorPandas",
    "CsvFileProcessorPolars",
    "DataFrameType",
    "FeatherFileProcessor",
    "FeatherFileProcessorPandas",
    "FeatherFileProcessorPolars",
    "FileProcessor",
    "GzipFileProcessor",
    "JsonFileProcessor",
    "JsonFileProcessorPandas",
    "JsonFileProcessorPolars",
    "NpzFileProcessor",
    "ParquetFileProcessor",
    "ParquetFileProcessorPandas",
    "ParquetFileProcessorPolars",
    "PickleFileProcessor",
    "TextFileProcessor",
    "XmlFileProcessor",
    "make_file_processor",
]
