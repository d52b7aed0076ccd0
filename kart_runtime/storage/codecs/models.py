"""Models as joblib and torch store them, where the library is there. Like pickles: read only files that you trust."""

from __future__ import annotations

import io
import pickle
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable


def _library(name: str, suffix: str, project: str = "") -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = f"Add {project or name} to the dependencies in pyproject.toml, and run: make setup (or uv sync)"
        raise ImportError(f"{suffix} files need {name}. {hint}, or use .pkl") from error


class _Saved(FileProcessor):
    """A format of a library that saves into an open file and can refuse a value."""

    name: str
    runs_code = True

    def _save(self, value: Any, file: BinaryIO) -> None:
        raise NotImplementedError

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value."""
        try:
            self._save(value, file)
        except (pickle.PicklingError, AttributeError, TypeError, NotImplementedError) as error:
            found = f"a {type(value).__name__} ({error}; .pkl takes more)"
            raise CannotEncode(self.name, "what plain pickle can write", found) from error


class Joblib(_Saved):
    """Any value that joblib stores; arrays are written without a copy."""

    name = "joblib"

    def _save(self, value: Any, file: BinaryIO) -> None:
        _library("joblib", ".joblib").dump(value, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - the file knows its type
        """Read a value. Only read files that you trust: they can run code."""
        return _library("joblib", ".joblib").load(seekable(file))


class Torch(_Saved):
    """Tensors, state dicts and modules of torch."""

    name = "torch"

    def _save(self, value: Any, file: BinaryIO) -> None:
        buffer = io.BytesIO()  # torch goes back in the file
        _library("torch", ".pt").save(value, buffer)
        file.write(buffer.getbuffer())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - the file knows its type
        """Read a value, onto the CPU if there is no GPU. Only read files that you trust: they can run code."""
        torch = _library("torch", ".pt")
        place = None if torch.cuda.is_available() else "cpu"
        return torch.load(seekable(file), map_location=place, weights_only=False)
