"""numpy arrays as npz: one compressed array a file, under the name that gokart uses."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable

_NAME = "data"


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("npz files need numpy: pip install numpy") from error
    return np


class Npz(FileProcessor):
    """A numpy array, compressed."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write an array; raise `CannotEncode` for Python objects, which only pickle can read."""
        np = _numpy()
        if not isinstance(value, np.ndarray):
            raise CannotEncode("npz", "a numpy array", type(value).__name__)
        if value.dtype.hasobject:
            raise CannotEncode("npz", "a numpy array of numbers, text or times", f"one of {value.dtype} (use .pkl)")
        buffer = io.BytesIO()  # numpy writes only to files that can also be read
        np.savez_compressed(buffer, **{_NAME: value})
        file.write(buffer.getbuffer())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - there is one type only
        """Read the array."""
        with _numpy().load(seekable(file), allow_pickle=False) as arrays:
            return arrays[_NAME]
