"""Which bytes stand for a value? A codec for each format; `registry` finds the codec of a suffix.

A new format is a class with the two methods of `Codec` and one line in `registry.CODECS`. Codecs know nothing of
stores: they get an open binary file, which may be unable to seek. `foreign` turns what was written for gokart into one.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Literal, Protocol

import luigi.format

DataFrameType = Literal["pandas", "polars", "polars-lazy"]
"""What a table is read as: a pandas DataFrame, a polars DataFrame, a polars LazyFrame."""


class Codec(Protocol):
    """Value to bytes and back."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value; `CannotEncode` when the format does not take it."""
        ...

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a value; `as_type` is what the task declares to store, None when it declares nothing."""
        ...


class StartAgain(Exception):
    """Raised by a `dump` that has written to a file that cannot go back, and finds that another codec must do it.

    Whoever opened the file throws it away, opens a new one and calls ``codec.dump(value, file)`` on that, as `targets`
    does.

    Parameters
    ----------
    codec
        Writes the value, from the first byte on.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        super().__init__(
            f"The file must be begun anew, for {type(codec).__name__} to write it. Open one that can seek."
        )


class FileProcessor:
    """What a class that was written for gokart overrides; kart's own codecs are such classes too.

    Give one to a task as ``processor=``. Which file `load` and `dump` get is what `format` says.
    """

    def format(self) -> Any:
        """Return the luigi format of the file: ``luigi.format.Nop`` for bytes, None for text."""
        return luigi.format.Nop

    def load(self, file: Any, /) -> Any:
        """Read a value from an open file."""
        raise NotImplementedError(f"{type(self).__name__} has no load(self, file)")

    def dump(self, obj: Any, file: Any, /) -> None:
        """Write a value to an open file."""
        raise NotImplementedError(f"{type(self).__name__} has no dump(self, obj, file)")
