"""Python source with the byte offsets of its syntax tree, so that edits leave every other byte as it is.

Line endings, form feeds, the encoding and a byte order mark stay. Python's own parser gives the positions.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from kart_runtime.errors import KartError


class CannotEdit(KartError, ValueError):
    """A file that cannot be edited and stays as it is."""


class Edit(NamedTuple):
    """Text in place of the bytes from `start` to `end` of the UTF-8 source."""

    start: int
    end: int
    text: str


Span: TypeAlias = "Callable[[ast.AST], tuple[int, int]]"
"""Function that returns the first and the last byte of a node in the source."""


@dataclass(frozen=True)
class PythonSource:
    """Python file: its encoding, its text as UTF-8, its syntax tree, and where each node lies in the text."""

    encoding: str
    text: bytes
    tree: ast.Module
    span: Span

    @classmethod
    def parse(cls, data: bytes) -> PythonSource:
        """Return the source in the bytes of a file; raise `CannotEdit` if they are no text, or it is not Python."""
        encoding, text = _decoded(data)
        return cls(encoding, text.encode(), *_parsed(text))

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Return the bytes of the file with all edits made; they do not overlap."""
        parts, done = [], 0
        for edit in sorted(set(edits)):
            parts += [self.text[done : edit.start], edit.text.encode()]
            done = edit.end
        return b"".join([*parts, self.text[done:]]).decode().encode(self.encoding)

    def line(self, offset: int) -> int:
        """Return the line of a byte."""
        return self.text.count(b"\n", 0, offset) + 1


def _decoded(data: bytes) -> tuple[str, str]:
    """Return the encoding and the text; with a byte order mark the encoding is ``utf-8-sig``, which restores it."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        is_lossless = text.encode(encoding) == data
    except (SyntaxError, LookupError, ValueError) as error:
        raise CannotEdit(f"cannot be read as Python text: {error}") from error
    if not is_lossless:
        raise CannotEdit(f"its encoding {encoding} would not give the same bytes again. Store it as UTF-8 first.")
    if re.search(r"\r(?!\n)", text):
        raise CannotEdit("has line endings other than \\n and \\r\\n, which cannot be kept. Change them first.")
    return encoding, text


def _parsed(text: str) -> tuple[ast.Module, Span]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in the strings of the file
            tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise CannotEdit(f"is not Python that this version can read: line {line or 1} or near it") from error
    except (RecursionError, MemoryError) as error:
        raise CannotEdit("is nested too deeply to be read") from error
    starts = [0, *accumulate(len(line) + 1 for line in text.encode().split(b"\n"))]

    def span(node: ast.AST) -> tuple[int, int]:
        place: Any = node
        return starts[place.lineno - 1] + place.col_offset, starts[place.end_lineno - 1] + place.end_col_offset

    return tree, span
