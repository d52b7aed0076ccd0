"""Other formats, compressed by gzip or zstd: of ``x.csv.gz`` and ``x.csv.zst`` the csv. Equal content, equal bytes.

zstd is Python's own from 3.14 on, and pyarrow's before.
"""

from __future__ import annotations

import gzip
import io
from typing import Any, BinaryIO, cast

from kart_runtime.errors import how_to_add
from kart_runtime.storage.codecs import Codec, FileProcessor, StartAgain
from kart_runtime.storage.codecs.files import decoding, seekable
from kart_runtime.storage.codecs.libraries import optional
from kart_runtime.storage.codecs.texts import Text


class _Compressed(FileProcessor):
    """Another format, compressed.

    Parameters
    ----------
    codec
        Codec of the format.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.runs_code = bool(getattr(codec, "runs_code", False))

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value that the format supports; raise what its codec raises."""
        try:
            with self._writer(file) as opened:
                self.codec.dump(value, cast("BinaryIO", opened))
        except StartAgain as error:
            raise StartAgain(type(self)(error.codec)) from error

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a value."""
        with self._reader(file) as opened:
            return self.codec.load(cast("BinaryIO", opened), as_type)

    def _writer(self, file: BinaryIO) -> Any:
        """Return a file that compresses into another one."""
        raise NotImplementedError

    def _reader(self, file: BinaryIO) -> Any:
        """Return a file with the content of a compressed one."""
        raise NotImplementedError


class Gzipped(_Compressed):
    """Another format, compressed by gzip."""

    def _writer(self, file: BinaryIO) -> Any:
        return _GzipWriter(filename="", mode="wb", fileobj=file, mtime=0)

    def _reader(self, file: BinaryIO) -> Any:
        return gzip.GzipFile(filename="", mode="rb", fileobj=file)  # a name would be opened as a path


class _GzipWriter(gzip.GzipFile):
    """A compressed file that says that it cannot go back, as Python's does not."""

    def seekable(self) -> bool:
        return False


class Zstandard(_Compressed):
    """Another format, compressed by zstd."""

    def _writer(self, file: BinaryIO) -> Any:
        return io.BufferedWriter(_ZstdWriter(file), 1 << 20)

    def _reader(self, file: BinaryIO) -> Any:
        return _zstd_reader(file)


class Zst(Zstandard):
    """Text like `Text`, compressed by zstd, unless another codec is given."""

    def __init__(self, codec: Codec | None = None) -> None:
        super().__init__(codec or Text())


class _Open:
    """A file that stays open when the one above it is closed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self.closed = True


class _ZstdWriter(io.RawIOBase):
    """A raw file that compresses what is written to it."""

    mode = "wb"  # pandas looks here to know that text has to be encoded

    def __init__(self, file: BinaryIO) -> None:
        zstd = optional("compression.zstd")
        self._stream: Any
        if zstd is not None:
            self._stream = zstd.ZstdFile(file, "wb")
        else:
            arrow = _arrow()
            self._stream = arrow.CompressedOutputStream(arrow.PythonFile(_Open(file), "w"), "zstd")

    def write(self, data: Any) -> int:
        self._stream.write(data)
        return len(data)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._stream.close()


def _zstd_reader(file: BinaryIO) -> BinaryIO:
    zstd = optional("compression.zstd")
    if zstd is not None:
        return cast("BinaryIO", zstd.ZstdFile(file, "rb"))
    arrow = _arrow()
    stream = arrow.CompressedInputStream(arrow.PythonFile(_Open(seekable(file)), "r"), "zstd")
    return io.BufferedReader(_ZstdReader(stream))


class _ZstdReader(io.RawIOBase):
    """A raw file over a stream of pyarrow."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readinto(self, buffer: Any) -> int:
        with decoding():
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(f"zst files need pyarrow, or Python 3.14. {how_to_add('pandas')}") from error
    return pa
