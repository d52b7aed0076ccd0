"""What a JSON file says beside its value, such as the types of a frame's columns, where no other reader sees it.

It is written as blanks and tabs after the value, one for each bit. JSON allows blanks there, so gokart, pandas, polars
and every other reader read the same value as without them. Files that hold none are read as gokart reads them.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, BinaryIO

_MAGIC = b"kart"

_ENDS = (b" ", b"\t", b"\n")

_TO_BITS = bytes.maketrans(b" \t", b"01")

_BEGIN = "".join(f"{byte:08b}" for byte in _MAGIC).translate({48: " ", 49: "\t"}).encode()

_TAIL = 1 << 20


def beside(note: dict[str, Any]) -> bytes:
    """Return a note as a line of blanks and tabs."""
    content = _MAGIC + zlib.compress(json.dumps(note, separators=(",", ":")).encode(), 9)
    bits = f"{int.from_bytes(content, 'big'):0{len(content) * 8}b}"
    return bits.translate({48: " ", 49: "\t"}).encode() + b"\n"


def split(data: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """Return the value's part of a file or of its end, and the note; None if there is none.

    Raises ValueError for a note that is cut off or changed.
    """
    if data[-1:] not in _ENDS:
        return data, None
    value = data.rstrip(b" \t\n")
    blanks = data[len(value) :].strip(b"\n")
    if not blanks.startswith(_BEGIN):
        return data, None
    if data[-1:] != b"\n" or len(blanks) % 8:
        raise ValueError("the note after the value is cut off")
    content = int(blanks.translate(_TO_BITS), 2).to_bytes(len(blanks) // 8, "big")
    try:
        return value, json.loads(zlib.decompress(content.removeprefix(_MAGIC)))
    except zlib.error as error:
        raise ValueError(f"the note after the value has changed ({error})") from error


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
