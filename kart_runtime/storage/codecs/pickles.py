"""Any Python value as a pickle; reads also what gokart's dill and older versions of pandas wrote.

cloudpickle, dill and pandas are imported only for values that plain pickle cannot write or read.
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any, BinaryIO, cast

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor, StartAgain
from kart_runtime.storage.codecs.files import seekable
from kart_runtime.storage.codecs.libraries import optional

PROTOCOL = 5

_NUMBERS = frozenset({int, float, bool, type(None)})
"""Types whose values contain nothing that plain pickle might not write."""

_TEXTS = frozenset({str, bytes})

_SHORT = 1 << 16
"""Length below which a text is pickled in memory, where it exists twice."""

_CANNOT = (pickle.PicklingError, AttributeError, TypeError)
"""What picklers raise for values that they cannot write."""


class _ByValue(Exception):
    """Raised inside plain pickle for a name of `__main__`, which no other program can read."""


class _PlainPickler(pickle.Pickler):
    __slots__ = ()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise _ByValue
        return NotImplemented


class _Sink:
    """File below a pickler that writes arrays and long texts without copying them, and counts the bytes."""

    __slots__ = ("_file", "written")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.written = 0

    def write(self, data: Any) -> int:
        if type(data) is pickle.PickleBuffer:
            data = data.raw()  # flat bytes, whatever shape and order the array has
        self.written += len(data)
        return self._file.write(data)

    def rewind(self) -> bool:
        """Undo what has been written; return whether that was possible."""
        if not self.written:
            return True
        is_seekable = getattr(self._file, "seekable", None)
        if is_seekable is None or not is_seekable():
            return False
        self._file.seek(-self.written, io.SEEK_CUR)
        self._file.truncate()
        self.written = 0
        return True


class Pickle(FileProcessor):
    """Any Python value.

    Plain pickle writes most values. Lambdas, local classes and what a script or notebook defines are written by
    cloudpickle, which stores their code instead of their name; reading them needs only pickle and cloudpickle.
    The pickle is written straight into the file, so a large array is not in memory twice.
    """

    runs_code = True

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write any value that can be pickled.

        Raises
        ------
        StartAgain
            If cloudpickle must write the value, and plain pickle has already written to a file that is not seekable.
        CannotEncode
            If neither can write it.
        """
        kind = type(value)
        if kind in _NUMBERS or (kind in _TEXTS and len(value) < _SHORT):
            file.write(pickle.dumps(value, PROTOCOL))
            return
        sink = _Sink(file)
        try:
            _PlainPickler(cast("BinaryIO", sink), PROTOCOL).dump(value)
        except (_ByValue, *_CANNOT) as error:
            if not sink.rewind():
                raise StartAgain(PickleByValue()) from error
        else:
            return
        PickleByValue().dump(value, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - a pickle knows its type
        """Read a pickled value, as `load_pickle` does. Only read files that you trust: a pickle can run code."""
        return load_pickle(file)


class PickleByValue(Pickle):
    """Any Python value, by cloudpickle only; `Pickle` uses it when plain pickle has failed."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value; `CannotEncode` if cloudpickle cannot."""
        import cloudpickle

        sink = _Sink(file)
        try:
            cloudpickle.Pickler(sink, PROTOCOL).dump(value)
        except _CANNOT as error:
            sink.rewind()
            raise CannotEncode("pickle", "values that can be pickled", f"{type(value).__name__} ({error})") from error


def load_pickle(file: BinaryIO) -> Any:
    """Read a pickle that was written by pickle, cloudpickle, dill or an older version of pandas.

    Parameters
    ----------
    file
        Binary file open for reading. Read only files that you trust: a pickle can run code.

    Returns
    -------
    Any
        The value.

    Raises
    ------
    ImportError
        If a library that the value needs is missing; the message names dill if dill wrote the file.
    """
    source = seekable(file)
    start = source.tell()
    try:
        return pickle.load(source)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a pickle can raise anything; raised again if nothing can read it
        return _load_otherwise(source, start, error)


load_dill_with_pandas_backward_compatibility = load_pickle
"""gokart's name of `load_pickle`."""


def _load_otherwise(source: BinaryIO, start: int, error: Exception) -> Any:
    """Read by dill, then by pandas, which maps the classes of its older versions."""
    dill = optional("dill")
    if dill is None and isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "dill":
        raise ImportError("The pickle was written by dill, as gokart does: pip install dill") from error
    pandas = optional("pandas")
    for read in (dill and dill.load, pandas and pandas.read_pickle):
        if read is not None:
            source.seek(start)
            try:
                return read(source)
            except Exception:  # noqa: BLE001, S112 - plain pickle's message is the better one
                continue
    raise error
