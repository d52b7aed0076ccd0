"""What a JSON file says beside its value, such as the types of a frame's columns, where no other reader sees it.

It is written as blanks and tabs after the value, one for each bit. JSON allows blanks there, so gokart, pandas, polars
and every other reader read the same value as without them. Files that hold none are read as gokart reads them.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, BinaryIO

_MAGIC = b"kart"

_BLANKS = b" \t"

_TAIL = 1 << 20


def beside(note: dict[str, Any]) -> bytes:
    """Return a note as a line of blanks and tabs."""
    content = _MAGIC + zlib.compress(json.dumps(note, separators=(",", ":")).encode(), 9)
    bits = f"{int.from_bytes(content, 'big'):0{len(content) * 8}b}"
    return bits.translate({48: " ", 49: "\t"}).encode() + b"\n"


def split(data: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """Return the value's part of a file or of its end, and the note; None if there is none."""
    if data[-1:] != b"\n" or data[-2:-1] not in (b" ", b"\t"):
        return data, None
    value = data[:-1].rstrip(_BLANKS)
    return value, _read(data[len(value) : -1])


def _read(blanks: bytes) -> dict[str, Any] | None:
    if len(blanks) % 8:
        return None
    content = int(blanks.translate(bytes.maketrans(_BLANKS, b"01")), 2).to_bytes(len(blanks) // 8, "big")
    if not content.startswith(_MAGIC):
        return None
    return json.loads(zlib.decompress(content.removeprefix(_MAGIC)))  # type: ignore[no-any-return]


def note_of(file: BinaryIO) -> dict[str, Any] | None:
    """Return the note of a file that can seek, whose position stays."""
    start = file.tell()
    end = file.seek(0, 2)
    size = min(end - start, _TAIL)
    file.seek(end - size)
    value, note = split(file.read())
    if not value and size < end - start:
        file.seek(start)
        note = split(file.read())[1]
    file.seek(start)
    return note
