"""numpy arrays as npz: one compressed array a file, under the name that gokart uses."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable

_NAME = "data"

_MASK, _FILL = "mask", "fill_value"
"""Names of what a masked array has beside its data; gokart reads the data alone."""


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("npz files need numpy: pip install numpy") from error
    return np


class Npz(FileProcessor):
    """A numpy array, compressed, also a masked one."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write an array; raise `CannotEncode` for Python objects, which only pickle can read."""
        np = _numpy()
        if not isinstance(value, np.ndarray):
            raise CannotEncode("npz", "a numpy array", type(value).__name__)
        if value.dtype.hasobject:
            raise CannotEncode("npz", "a numpy array of numbers, text or times", f"one of {value.dtype} (use .pkl)")
        _check_kind(value)
        buffer = io.BytesIO()  # numpy writes only to files that can also be read
        parts = {_NAME: value}
        if isinstance(value, np.ma.MaskedArray):
            parts = {_NAME: value.data, _MASK: np.ma.getmaskarray(value), _FILL: np.array(value.fill_value)}
        np.savez_compressed(buffer, **parts)
        file.write(buffer.getbuffer())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - there is one type only
        """Read the array."""
        np = _numpy()
        with np.load(seekable(file), allow_pickle=False) as arrays:
            if _MASK not in arrays.files:
                return arrays[_NAME]
            return np.ma.MaskedArray(arrays[_NAME], mask=arrays[_MASK], fill_value=arrays[_FILL][()])


def _check_kind(value: Any) -> None:
    np = _numpy()
    if type(value) not in (np.ndarray, np.memmap, np.ma.MaskedArray):
        found = f"a {type(value).__name__}, which it makes a plain one (use np.asarray(), or .pkl)"
        raise CannotEncode("npz", "plain and masked numpy arrays", found)
    if value.dtype.isalignedstruct or value.dtype.metadata:
        raise CannotEncode("npz", "a numpy array of numbers, text or times", "one of an aligned dtype (use .pkl)")
