"""Which bytes of a Python file change? Those of its imports of gokart and of names in strings; every other byte stays.

libcst says where things stand, and the edits are made in the text itself. So line endings, form feeds, the encoding and
a byte order mark are kept without anybody having to know of them. Called by `survey`.
"""

from __future__ import annotations

import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kart_runtime.errors import KartError
from kart_runtime.migrate.changes import CannotMigrate
from kart_runtime.migrate.edits import OLD, Edit, Place, applied
from kart_runtime.migrate.imports import import_edits
from kart_runtime.migrate.strings import mentions, string_edits

if TYPE_CHECKING:
    import libcst as cst

_FORM_FEED = 0x0C


class LibcstMissing(KartError, ImportError):
    """The library that reads Python files is not installed."""

    def __init__(self) -> None:
        super().__init__("`kart migrate` needs libcst: pip install 'kart-runtime[migrate]'")


@dataclass(frozen=True)
class Migrated:
    """A Python file as it should be.

    Attributes
    ----------
    data
        Its bytes; those that it had where nothing changes.
    encoding
        The encoding that it declares.
    imports, strings
        How many imports and how many names in strings have changed.
    left
        Line and text of strings that stay although they could be names of gokart's modules, or code that imports it.
    """

    data: bytes
    encoding: str
    imports: int = 0
    strings: int = 0
    left: tuple[tuple[int, str], ...] = ()


def migrate_source(data: bytes) -> Migrated:
    """Return a Python file with kart in place of gokart.

    Parameters
    ----------
    data
        The file's bytes.

    Raises
    ------
    CannotMigrate
        The bytes are no text, or the text is no Python.
    LibcstMissing
        libcst is not installed.
    """
    encoding, text = _decoded(data)
    source = text.encode("utf-8")
    module, place = _parsed(source)
    imports = import_edits(module, place, source)
    strings = string_edits(module, place)
    after = applied(source, [*imports, *strings]).decode("utf-8").encode(encoding)
    return Migrated(after, encoding, len(imports), len(strings), _left(module, place, source, strings))


def _decoded(data: bytes) -> tuple[str, str]:
    """Return the encoding and the text, both without a byte order mark lost: ``utf-8-sig`` puts it back."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        kept = text.encode(encoding) == data
    except (SyntaxError, LookupError, ValueError) as error:
        raise CannotMigrate(f"cannot be read as Python text: {error}") from error
    if not kept:
        raise CannotMigrate(f"its encoding {encoding} would not give the same bytes again; store it as UTF-8 first")
    return encoding, text


def _parsed(source: bytes) -> tuple[cst.Module, Place]:
    """Return the syntax tree, and a function that says from which byte to which a node stands."""
    try:
        import libcst as cst
        from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
    except ImportError as error:
        raise LibcstMissing from error
    # libcst forgets form feeds, which would move everything behind them; so it never sees them.
    origin = [place for place, byte in enumerate(source) if byte != _FORM_FEED]
    text = source.replace(b"\f", b"").decode("utf-8")
    try:
        module = cst.parse_module(text)
        spans = MetadataWrapper(module, unsafe_skip_copy=True).resolve(ByteSpanPositionProvider)
    except cst.ParserSyntaxError as error:
        raise CannotMigrate(f"is not Python of a version from 3.0 on: line {error.raw_line} or near it") from error
    except RecursionError as error:
        raise CannotMigrate("is nested too deeply to be read") from error
    if module.code != text:
        raise CannotMigrate("has line endings other than \\n and \\r\\n, which cannot be kept; change them first")
    origin.append(len(source))

    def place(node: cst.CSTNode) -> tuple[int, int]:
        span = spans[node]
        return origin[span.start], origin[span.start + span.length]

    return module, place


def _left(module: cst.Module, place: Place, source: bytes, edits: list[Edit]) -> tuple[tuple[int, str], ...]:
    changed = [edit.start for edit in edits]
    found = []
    for node in mentions(module):
        start, end = place(node)
        if not any(start <= byte < end for byte in changed):
            text = node.value if "\n" not in node.value else f"text that imports {OLD}"
            found.append((source.count(b"\n", 0, start) + 1, text))
    return tuple(sorted(found))
