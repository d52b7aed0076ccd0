"""Code of a notebook as one Python source, whose edits leave the rest of the file as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from kart_runtime.edits.python_source import CannotEdit, Edit, PythonSource

_MAGIC = re.compile(r"^(\s*)[%!?]", re.MULTILINE)


@dataclass(frozen=True)
class Notebook:
    """Notebook: its document, the code of all its cells as one source, and where each cell starts in it."""

    data: bytes
    document: dict[str, Any]
    source: PythonSource
    cells: tuple[tuple[int, int, int], ...]
    """Number of the cell, and its first and last byte in the source."""

    @classmethod
    def parse(cls, data: bytes) -> Notebook:
        """Return the notebook in the bytes of a file; raise `CannotEdit` if it is none."""
        try:
            document = json.loads(data)
            codes = {number: _text(cell) for number, cell in enumerate(document["cells"]) if _is_code(cell)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CannotEdit(f"is not a notebook that can be read: {error}") from error
        parts, cells, start = [], [], 0
        for number, code in codes.items():
            python = _MAGIC.sub(r"\1#", code)  # same length
            _check(number, python)
            end = start + len(python.encode())
            cells.append((number, start, end))
            parts.append(python)
            start = end + 1
        return cls(data, document, PythonSource.parse("\n".join(parts).encode()), tuple(cells))

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Return the bytes of the notebook with edits of its code made."""
        edits = list(edits)
        changed = json.loads(self.data)
        for number, start, end in self.cells:
            inside = [edit for edit in edits if start <= edit.start <= end]
            own = {Edit(edit.start - start, edit.end - start, edit.text) for edit in inside}
            if own:
                cell = changed["cells"][number]
                code = _edited(_text(cell), own)
                cell["source"] = code.splitlines(keepends=True) if isinstance(cell["source"], list) else code
        return _dumped(changed, self._style())

    def place(self, offset: int) -> str:
        """Return where a byte of the source is, for messages."""
        number, start, _ = next((cell for cell in self.cells if cell[1] <= offset <= cell[2]), (0, 0, 0))
        lines = self.source.text.count(b"\n", start, offset)
        return f"cell {number + 1}, line {lines + 1}"

    def _style(self) -> dict[str, Any]:
        """Return the options of json that give the same bytes again, else those of Jupyter."""
        jupyter: dict[str, Any] = {"indent": 1, "ensure_ascii": False, "sort_keys": False, "end": "\n"}
        for indent, is_ascii, end in product((1, 2, 4, None), (False, True), ("\n", "")):
            style = {**jupyter, "indent": indent, "ensure_ascii": is_ascii, "end": end}
            if _dumped(self.document, style) == self.data:
                return style
        return jupyter


def _dumped(document: dict[str, Any], style: dict[str, Any]) -> bytes:
    options = {name: value for name, value in style.items() if name != "end"}
    return (json.dumps(document, **options) + str(style["end"])).encode()


def _is_code(cell: dict[str, Any]) -> bool:
    return bool(cell.get("cell_type") == "code")


def _text(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _edited(text: str, edits: Iterable[Edit]) -> str:
    data = text.encode()
    for edit in sorted(edits, reverse=True):
        data = data[: edit.start] + edit.text.encode() + data[edit.end :]
    return data.decode()


def _check(number: int, code: str) -> None:
    try:
        PythonSource.parse(code.encode())
    except CannotEdit as error:
        raise CannotEdit(f"cell {number + 1} {error}") from error


def code_lines(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the place and text of each line of a notebook's cells, for messages."""
    try:
        cells = json.loads(data)["cells"]
        for number, cell in enumerate(cells):
            for line, text in enumerate(_text(cell).splitlines(), 1):
                yield f"cell {number + 1}, line {line}", text
    except (ValueError, KeyError, TypeError):
        return
