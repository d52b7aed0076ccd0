"""Text, lines, XML, plain bytes and gzip, by the standard library alone."""

from __future__ import annotations

import gzip
import io
import numbers
import xml.etree.ElementTree as ET
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import as_binary
from kart_runtime.storage.codecs.losses import declared


def _encoded(value: Any) -> bytes:
    lines = value if isinstance(value, list) else ()
    wrong = [type(line).__name__ for line in lines if not isinstance(line, str | numbers.Number)]
    if not isinstance(value, str | list) or wrong:
        found = f"a list with a {wrong[0]}" if wrong else type(value).__name__
        raise CannotEncode("text", "a str, or a list of lines", f"{found} (str() makes text of it, .pkl stores it)")
    text = "".join(f"{line}\n" for line in value) if isinstance(value, list) else value
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CannotEncode("text", "text of Unicode", f"text with a lone surrogate ({error})") from error


def _decoded(data: bytes, as_type: Any) -> Any:
    text = data.decode()
    return text if as_type is str else [line.rstrip() for line in io.StringIO(text, newline=None)]


class Text(FileProcessor):
    """Text; a list is written as lines. Reading returns the list of lines, as in gokart."""

    def format(self) -> Any:
        """Return None, luigi's format of text."""
        return None

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write text, or each element of a list on its own line."""
        as_binary(file).write(_encoded(value))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the lines without line ends and trailing blanks; the whole text if the task stores `str`."""
        return _decoded(as_binary(file).read(), as_type)


class Gzip(FileProcessor):
    """Text like `Text`, compressed by gzip. Equal text gives equal bytes, because no time is stored."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write text, or each element of a list on its own line."""
        file.write(gzip.compress(_encoded(value), mtime=0))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the lines, or the whole text if the task stores `str`."""
        return _decoded(gzip.decompress(file.read()), as_type)


class WholeText(FileProcessor):
    """Text that is read as it was written, such as Markdown."""

    name = "md"

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write text."""
        if not isinstance(value, str):
            raise CannotEncode(self.name, "a str", type(value).__name__)
        file.write(_encoded(value))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - there is one type only
        """Read the whole text."""
        return file.read().decode()


class Xml(FileProcessor):
    """XML, as an ``xml.etree.ElementTree.ElementTree``; as text, if the task declares to store a `str`."""

    def format(self) -> Any:
        """Return None, luigi's format of text."""
        return None

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a tree, or text if that is declared; a tree without a root gives an empty file."""
        if isinstance(value, str) and declared.get() is str:
            as_binary(file).write(value.encode())
            return
        if not isinstance(value, ET.ElementTree):
            raise CannotEncode("xml", "an xml.etree.ElementTree.ElementTree", type(value).__name__)
        if value.getroot() is not None:
            as_binary(file).write(ET.tostring(value.getroot()))

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a tree, or text; an empty file gives a tree without a root."""
        data = as_binary(file).read()
        if as_type is str:
            return data.decode()
        # Entities cannot explode: expat has bounded them since 2.4.1, older than any Python that is supported here.
        return ET.ElementTree(ET.fromstring(data)) if data.strip() else ET.ElementTree()  # noqa: S314


class Binary(FileProcessor):
    """Bytes as they are: images, archives, anything already encoded."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise CannotEncode("a binary file", "bytes", type(value).__name__)
        file.write(value)

    def load(self, file: BinaryIO, as_type: Any = None) -> bytes:  # noqa: ARG002 - bytes are bytes
        """Read all bytes."""
        return file.read()
