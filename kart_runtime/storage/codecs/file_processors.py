"""How does a class that was written for gokart become a codec? `targets` asks `as_codec` of every processor.

Such classes expect a file of luigi's with a real name, which they may open once more; so they get one, in a temporary
folder of their own.
"""

from __future__ import annotations

import inspect
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import luigi
from luigi.format import get_default_format

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import Codec, DataFrameType, FileProcessor, StartAgain
from kart_runtime.storage.codecs.files import local_path
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import Json
from kart_runtime.storage.registry import codec_class


class FileProcessorCodec:
    """A codec that lets a gokart file processor do the work.

    Parameters
    ----------
    processor
        What has ``format()``, ``load(file)`` and ``dump(obj, file)``.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._takes_type = "as_type" in inspect.signature(processor.load).parameters

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Let the processor write a temporary file, and copy it."""
        with tempfile.TemporaryDirectory(prefix="kart-") as folder:
            path = Path(folder) / "value"
            # Not through LocalTarget, whose temporary name would draw from the task's seeded `random`.
            plain = io.BufferedWriter(io.FileIO(path.as_posix(), "w"))
            with self._format().pipe_writer(plain) as opened:
                try:
                    self.processor.dump(value, opened)
                except StartAgain as error:  # raised for what the processor has made of the value, which is not known
                    raise CannotEncode("pickle", "values of plain pickle in a format of luigi's", str(error)) from error
            with path.open("rb") as written:
                shutil.copyfileobj(written, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Let the processor read the file where it lies, or else a temporary copy of it."""
        path = local_path(file)
        if path is not None:
            return self._load(path, as_type)
        with tempfile.TemporaryDirectory(prefix="kart-") as folder:
            copy = Path(folder) / "value"
            with copy.open("wb") as opened:
                shutil.copyfileobj(file, opened)
            return self._load(str(copy), as_type)

    def _load(self, path: str, as_type: Any) -> Any:
        with luigi.LocalTarget(path, format=self._format()).open("r") as opened:
            return self.processor.load(opened, as_type=as_type) if self._takes_type else self.processor.load(opened)

    def _format(self) -> Any:
        return self.processor.format() or get_default_format()

    def __repr__(self) -> str:
        return f"FileProcessorCodec({self.processor!r})"


def as_codec(processor: Codec | FileProcessor) -> Codec:
    """Return a codec for a processor: a codec itself, or a class written for gokart, which gets an adapter.

    Parameters
    ----------
    processor
        What a task was given as ``processor=``.
    """
    kind = type(processor)
    if not callable(getattr(kind, "format", None)):
        return cast("Codec", processor)
    homes = (getattr(getattr(kind, name, None), "__module__", "") for name in ("load", "dump"))
    if all(home.startswith("kart_runtime.") for home in homes):
        return cast("Codec", processor)
    return FileProcessorCodec(processor)


def make_file_processor(
    file_path: str, store_index_in_feather: bool = True, *, dataframe_type: DataFrameType | None = "pandas"
) -> Any:
    """Return the codec of a file name, with options.

    Parameters
    ----------
    file_path
        Path or url; its suffix decides.
    store_index_in_feather, dataframe_type
        As for `Feather`.

    Raises
    ------
    UnknownFormat
        When no codec is known for the suffix.
    """
    found = codec_class(file_path)
    if issubclass(found, Feather):
        return found(store_index_in_feather=store_index_in_feather, dataframe_type=dataframe_type)
    if issubclass(found, Csv | Parquet | Json):
        return found(dataframe_type=dataframe_type)
    return found()
