"""What is an edit? A stretch of bytes and the text that takes its place.

Called by `imports` and `strings`, which find them, and by `source`, which applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import libcst as cst

Place: TypeAlias = "Callable[[cst.CSTNode], tuple[int, int]]"
"""Says from which byte to which a node stands in the source."""

OLD = "gokart"
NEW = "kart_runtime.gokart"


@dataclass(frozen=True, order=True)
class Edit:
    """Text in place of a stretch of bytes.

    Attributes
    ----------
    start, end
        The stretch, from the beginning of the UTF-8 source.
    text
        What stands there afterwards.
    """

    start: int
    end: int
    text: str


def applied(source: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the source with all edits made; they do not overlap.

    Parameters
    ----------
    source
        UTF-8 text.
    edits
        In any order.
    """
    parts, done = [], 0
    for edit in sorted(edits):
        parts += [source[done : edit.start], edit.text.encode()]
        done = edit.end
    return b"".join([*parts, source[done:]])
