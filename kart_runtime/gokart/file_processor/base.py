"""gokart's names of the file formats other than tables, documented in `kart_runtime.storage.codecs`."""

from kart_runtime.storage.codecs import DataFrameType, FileProcessor
from kart_runtime.storage.codecs.arrays import Npz as NpzFileProcessor
from kart_runtime.storage.codecs.pickles import Pickle as PickleFileProcessor
from kart_runtime.storage.codecs.texts import Binary as BinaryFileProcessor
from kart_runtime.storage.codecs.texts import Gzip as GzipFileProcessor
from kart_runtime.storage.codecs.texts import Text as TextFileProcessor
from kart_runtime.storage.codecs.texts import Xml as XmlFileProcessor

__all__ = [
    "BinaryFileProcessor",
    "DataFrameType",
    "FileProcessor",
    "GzipFileProcessor",
    "NpzFileProcessor",
    "PickleFileProcessor",
    "TextFileProcessor",
    "XmlFileProcessor",
]
