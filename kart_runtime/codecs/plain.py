"""How is any Python value written? As a pickle; reading takes also what gokart's dill and old pandas wrote.

No library is loaded here but the standard one; cloudpickle, dill and pandas come in when plain pickle cannot do it.
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any, BinaryIO

from kart_runtime.codecs import FileProcessor
from kart_runtime.codecs.files import seekable
from kart_runtime.codecs.libraries import optional
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


class Pickle(FileProcessor):
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
        """Read a pickled value, as `load_pickle` does. Only read files that you trust: a pickle can run code."""
        return load_pickle(file)


def load_pickle(file: BinaryIO) -> Any:
    """Return the value of a pickle that was written by pickle, cloudpickle, dill or an older pandas.

    Parameters
    ----------
    file
        A binary file. Only one that is trusted: a pickle can run code.

    Raises
    ------
    ImportError
        When a library that the value belongs to is missing; the message names dill where dill wrote the file.
    """
    source = seekable(file)
    start = source.tell()
    try:
        return pickle.load(source)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a pickle can raise anything; the error goes on when nothing helps
        return _load_otherwise(source, start, error)


load_dill_with_pandas_backward_compatibility = load_pickle
"""gokart's name of `load_pickle`."""


def _load_otherwise(source: BinaryIO, start: int, error: Exception) -> Any:
    """Read by dill, then by pandas, which knows where classes of old versions have gone."""
    dill = optional("dill")
    if dill is None and isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "dill":
        raise ImportError("The pickle was written by dill, as gokart does: pip install dill") from error
    pandas = optional("pandas")
    for read in (dill and dill.load, pandas and pandas.read_pickle):
        if read is not None:
            source.seek(start)
            try:
                return read(source)
            except Exception:  # noqa: BLE001, S112 - what plain pickle said is the better message
                continue
    raise error
