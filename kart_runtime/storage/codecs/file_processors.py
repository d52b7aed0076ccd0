"""Adapter that turns a file processor written for gokart into a codec; `target` calls `as_codec` for each processor.

Such classes expect a file of luigi's with a real name, which they may reopen, so each gets one in a temporary folder.
"""

from __future__ import annotations

import inspect
import io
import shutil
from pathlib import Path
from typing import Any, BinaryIO, cast

import luigi
from luigi.format import get_default_format

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import Codec, DataFrameType, FileProcessor, StartAgain
from kart_runtime.storage.codecs.files import local_path
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import Json
from kart_runtime.storage.registry import codec_class, compressed, inner_path
from kart_runtime.storage.temporary import temporary_folder


class FileProcessorCodec:
    """Codec that delegates to a file processor with ``format()``, ``load(file)`` and ``dump(obj, file)``."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._takes_type = "as_type" in inspect.signature(processor.load).parameters

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Let the processor write a temporary file, and copy it."""
        with temporary_folder() as folder:
            path = Path(folder) / "value"
            # Not through LocalTarget, whose temporary name would draw from the task's seeded `random`.
            plain = io.BufferedWriter(io.FileIO(path.as_posix(), "w"))
            with self._format().pipe_writer(plain) as opened:
                try:
                    self.processor.dump(value, opened)
                except StartAgain as error:  # for a value that the processor has converted, which is not known here
                    raise CannotEncode("pickle", "values of plain pickle in a format of luigi's", str(error)) from error
            with path.open("rb") as written:
                shutil.copyfileobj(written, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Let the processor read the file at its path, or else a temporary copy of it."""
        path = local_path(file)
        if path is not None:
            return self._load(path, as_type)
        with temporary_folder() as folder:
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
    """Return a codec itself, or an adapter for a file processor that was written for gokart."""
    cls = type(processor)
    if not callable(getattr(cls, "format", None)):
        return cast("Codec", processor)
    modules = (getattr(getattr(cls, name, None), "__module__", "") for name in ("load", "dump"))
    if all(module.startswith("kart_runtime.") for module in modules):
        return cast("Codec", processor)
    return FileProcessorCodec(processor)


def make_file_processor(
    file_path: str, store_index_in_feather: bool = True, *, dataframe_type: DataFrameType | None = "pandas"
) -> Any:
    """Return the codec for the suffix of a path or url, with options.

    Parameters
    ----------
    file_path
        Path or url.
    store_index_in_feather, dataframe_type
        As for `Feather`.

    Raises
    ------
    UnknownFormat
        If there is no codec for the suffix.
    """
    inner = inner_path(file_path)
    if inner is not None:
        codec = make_file_processor(inner, store_index_in_feather, dataframe_type=dataframe_type)
        return compressed(file_path, codec)
    cls = codec_class(file_path)
    if issubclass(cls, Feather):
        return cls(store_index_in_feather=store_index_in_feather, dataframe_type=dataframe_type)
    if issubclass(cls, Csv | Parquet | Json):
        return cls(dataframe_type=dataframe_type)
    return cls()
