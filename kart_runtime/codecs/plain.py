"""How are Python values written? Pickle, text, JSON, and bytes as they are.

No library is loaded here but the standard one; cloudpickle comes in when plain pickle cannot do it.
"""

from __future__ import annotations

import io
import json
import pickle
from types import FunctionType
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode

PROTOCOL = 5


_ATOMS = frozenset({str, bytes, int, float, bool, type(None)})
"""Types whose values hold nothing that would need a closer look."""


class _ByValue(Exception):
    """Raised inside plain pickle when it would write a name of `__main__`, which no other program can read."""


class _PlainPickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise _ByValue
        return NotImplemented


class Pickle:
    """Any Python value.

    Written by plain pickle where that will do. Lambdas, local classes and what a script or notebook defines go through
    cloudpickle, which stores their code and not only their name; reading needs nothing but pickle and cloudpickle.
    """

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write any value that can be pickled."""
        if type(value) in _ATOMS:
            file.write(pickle.dumps(value, PROTOCOL))
            return
        buffer = io.BytesIO()
        try:
            _PlainPickler(buffer, PROTOCOL).dump(value)
        except (_ByValue, pickle.PicklingError, AttributeError, TypeError):
            buffer = self._by_value(value)
        file.write(buffer.getbuffer())

    def _by_value(self, value: Any) -> io.BytesIO:
        import cloudpickle

        buffer = io.BytesIO()
        try:
            cloudpickle.Pickler(buffer, PROTOCOL).dump(value)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise CannotEncode("pickle", "values that can be pickled", f"{type(value).__name__} ({error})") from error
        return buffer

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - a pickle knows its type
        """Read a pickled value. Only read files that you trust: a pickle can run code."""
        return pickle.load(file)


class Text:
    """Text; a list is written as lines. Reading gives the list of lines, as gokart does."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write text, or each element of a list on a line of its own."""
        text = "".join(f"{line}\n" for line in value) if isinstance(value, list) else str(value)
        file.write(text.encode())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the lines without their line ends and trailing blanks; the whole text when the task stores `str`."""
        text = file.read().decode()
        if as_type is str:
            return text
        return [line.rstrip() for line in io.StringIO(text)]


class Json:
    """JSON: a plain value, or a pandas frame or series when that is what the task stores."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value of dicts, lists, text, numbers, booleans and None; or a pandas frame or series."""
        if hasattr(value, "to_json"):
            value.to_json(file)
            return
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_number_of_numpy)
        except (TypeError, ValueError) as error:
            raise CannotEncode("json", "dicts, lists, text, finite numbers, booleans and None", str(error)) from error
        file.write(text.encode())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the value; as a frame or series where the task stores that."""
        if getattr(as_type, "__module__", "").partition(".")[0] == "pandas":
            import pandas as pd

            return pd.read_json(file, typ="series" if as_type is pd.Series else "frame")
        return json.load(file)


def _number_of_numpy(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} inside the value")


class Binary:
    """Bytes as they are: images, archives, anything already encoded."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise CannotEncode("a binary file", "bytes", type(value).__name__)
        file.write(value)

    def load(self, file: BinaryIO, as_type: Any = None) -> bytes:  # noqa: ARG002 - bytes are bytes
        """Read all bytes."""
        return file.read()
