"""numpy arrays as npy and npz, and several arrays or a sparse matrix in one npz file.

One array has the name that gokart uses, a sparse matrix the names of ``scipy.sparse.save_npz``.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable

_NAME = "data"

_MASK, _FILL = "mask", "fill_value"
"""Names of what a masked array has beside its data; gokart reads the data alone."""

_DICT = "__kart_dict__"
"""Name of an entry that marks a dict whose keys could be those of one array or of a sparse matrix."""

_ACCEPTED = "a numpy array, a dict of them by name, or a sparse matrix of scipy"


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("npy and npz files need numpy: pip install numpy") from error
    return np


class Npy(FileProcessor):
    """A numpy array, not compressed."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write an array; raise `CannotEncode` for Python objects and masked arrays."""
        np = _numpy()
        _check(value, "npy", "a numpy array")
        if isinstance(value, np.ma.MaskedArray):
            raise CannotEncode("npy", "plain numpy arrays", "a masked one (use .npz)")
        np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - there is one type only
        """Read the array."""
        return _numpy().load(seekable(file), allow_pickle=False)


class Npz(FileProcessor):
    """A numpy array, also a masked one, a dict of arrays, or a sparse matrix, compressed."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write an array; raise `CannotEncode` for Python objects, which only pickle can read."""
        np = _numpy()
        buffer = io.BytesIO()  # numpy writes only to files that can also be read
        if isinstance(value, dict):
            _write_dict(value, buffer)
        elif _is_sparse(value):
            _write_sparse(value, buffer)
        else:
            _check(value, "npz", _ACCEPTED)
            parts = {_NAME: value}
            if isinstance(value, np.ma.MaskedArray):
                parts = {_NAME: value.data, _MASK: np.ma.getmaskarray(value), _FILL: np.array(value.fill_value)}
            np.savez_compressed(buffer, **parts)
        file.write(buffer.getbuffer())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - the file knows its type
        """Read the array, the dict of arrays or the sparse matrix."""
        np = _numpy()
        source = seekable(file)
        with np.load(source, allow_pickle=False) as arrays:
            names = set(arrays.files)
            if _DICT not in names and names == {_NAME, _MASK, _FILL}:
                return np.ma.MaskedArray(arrays[_NAME], mask=arrays[_MASK], fill_value=arrays[_FILL][()])
            if names == {_NAME}:
                return arrays[_NAME]
            if _DICT in names or not _are_of_sparse(names):
                return {name: arrays[name] for name in arrays.files if name != _DICT}
        source.seek(0)
        from scipy import sparse

        return sparse.load_npz(source)


def _check(value: Any, format: str, accepted: str) -> None:  # noqa: A002 - the field's word
    np = _numpy()
    if not isinstance(value, np.ndarray):
        raise CannotEncode(format, accepted, type(value).__name__)
    if value.dtype.hasobject:
        raise CannotEncode(format, "a numpy array of numbers, text or times", f"one of {value.dtype} (use .pkl)")
    if type(value) not in (np.ndarray, np.memmap, np.ma.MaskedArray):
        found = f"a {type(value).__name__}, which it makes a plain one (use np.asarray(), or .pkl)"
        raise CannotEncode(format, "plain and masked numpy arrays", found)
    if value.dtype.isalignedstruct or value.dtype.metadata:
        raise CannotEncode(format, "a numpy array of numbers, text or times", "one of an aligned dtype (use .pkl)")


def _write_dict(arrays: dict[Any, Any], buffer: io.BytesIO) -> None:
    np = _numpy()
    for name, array in arrays.items():
        if type(name) is not str or not name or "\0" in name or name == _DICT:
            raise CannotEncode("npz", _ACCEPTED, f"a dict with the key {name!r}")
        what = f"the array '{name}' in a dict"
        if isinstance(array, np.ma.MaskedArray) or not isinstance(array, np.ndarray):
            found = f"a dict with a {type(array).__name__} as '{name}' (use np.asarray(), or .pkl)"
            raise CannotEncode("npz", _ACCEPTED, found)
        _check(array, f"npz, for {what},", "plain numpy arrays")
    names = set(arrays)
    parts = dict(arrays)
    if names in ({_NAME}, {_NAME, _MASK, _FILL}) or _are_of_sparse(names):
        parts[_DICT] = np.zeros(0)
    # Not by np.savez, whose own arguments could be the name of an array.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in parts.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as opened:
                np.lib.format.write_array(opened, np.asanyarray(array), allow_pickle=False)


def _is_sparse(value: Any) -> bool:
    kind = type(value)
    return kind.__module__.startswith("scipy.sparse") and hasattr(value, "tocoo")


def _are_of_sparse(names: set[str]) -> bool:
    return {"format", "shape", "data"} <= names


def _write_sparse(value: Any, buffer: io.BytesIO) -> None:
    from scipy import sparse

    if value.format not in ("csc", "csr", "bsr", "dia", "coo") or value.dtype.hasobject:
        found = f"one in the form '{value.format}' of {value.dtype} (use .tocsr(), or .pkl)"
        raise CannotEncode("npz", "sparse matrices in the forms csc, csr, bsr, dia and coo", found)
    sparse.save_npz(buffer, value)
