"""Codecs: one class for each file format, which `registry` finds by the suffix of a file.

A new format is a class with the two methods of `Codec` and one line in `registry.CODECS`. Codecs do not depend on
stores: they get an open binary file, which may not be seekable. `file_processors` adapts classes written for gokart.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Literal, Protocol

import luigi.format

DataFrameType = Literal["pandas", "polars", "polars-lazy"]
"""Type of the tables that a codec reads: pandas DataFrame, polars DataFrame or polars LazyFrame."""


class Codec(Protocol):
    """Protocol of a file format: writes a value to an open file, and reads it back.

    One instance may serve several tasks and threads at once, so `dump` and `load` must not keep state in it. Pass an
    instance to a task's output as ``make_target(path, processor=codec)``. It need not inherit from this class.
    """

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value.

        Parameters
        ----------
        value
            Value that the task dumps.
        file
            Binary file open for writing, at its start. It may not be seekable, and must be left open: the store makes
            it visible when everything is written. Nothing is stored if this method raises.

        Raises
        ------
        CannotEncode
            If the format does not support the value.
        """
        ...

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a value.

        Parameters
        ----------
        file
            Binary file open for reading, at its start. It may not be seekable, and must be left open.
        as_type
            Type that the task declares to store, such as ``pandas.DataFrame``. None: it declares none.

        Returns
        -------
        Any
            The value. Each call returns a new one, which its caller may change.

        Raises
        ------
        Exception
            Any exception, if the bytes do not follow the format; the task sees it as the cause of `ObjectCorrupt`.
            `KartError`, ImportError, OSError and MemoryError are passed on as they are.
        """
        ...


class StartAgain(Exception):
    """Raised by `dump` if another codec must write the value, and the file is not seekable and already written to.

    The caller discards the file, opens a new one and calls ``codec.dump(value, file)`` with that, as `target` does.

    Parameters
    ----------
    codec
        Codec that can write the value.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        super().__init__(
            f"{type(codec).__name__} must write the file again from its start. Open a file that is seekable."
        )


class FileProcessor:
    """Base class of file formats in gokart's form; also of kart's own codecs.

    Pass an instance to a task's output as ``make_target(path, processor=...)``. For new formats `Codec` is simpler.

    Attributes
    ----------
    runs_code
        Whether a file of this format can run code when it is read, as a pickle can. With a signing key, such a file is
        read only if it is signed, also if no task has stored it.
    """

    runs_code: bool = False

    def format(self) -> Any:
        """Return the luigi format in which `load` and `dump` get the file.

        Returns
        -------
        luigi.format.Format or None
            ``luigi.format.Nop`` for bytes, which is the default; None for text.
        """
        return luigi.format.Nop

    def load(self, file: Any, /) -> Any:
        """Read a value.

        Parameters
        ----------
        file
            File of luigi's, open for reading, with the local path as its ``name``.

        Returns
        -------
        Any
            The value.
        """
        raise NotImplementedError(f"{type(self).__name__} has no load(self, file)")

    def dump(self, obj: Any, file: Any, /) -> None:
        """Write a value.

        Parameters
        ----------
        obj
            Value that the task dumps.
        file
            File of luigi's, open for writing.
        """
        raise NotImplementedError(f"{type(self).__name__} has no dump(self, obj, file)")
