"""Which bytes stand for a value? A codec for each format; `registry` finds the codec of a suffix.

A new format is a class with the two methods of `Codec` and one line in `registry.CODECS`. Codecs know nothing of
stores: they get an open binary file, which may be unable to seek.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Protocol


class Codec(Protocol):
    """Value to bytes and back."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value; `CannotEncode` when the format does not take it."""
        ...

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a value; `as_type` is what the task declares to store, None when it declares nothing."""
        ...
