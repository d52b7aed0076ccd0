"""Reading of a file by a function of pandas or polars with options of its own, such as `sep` and `dtype`.

`InputFile` uses it if it has options; without them the codec of the suffix reads. The suffix and the declared type
choose the function: `read_csv` of pandas for ``data/sales.csv`` in an ``InputFile[pd.DataFrame]``.
"""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from kart_runtime.errors import CodecError, closest_match, described
from kart_runtime.storage.codecs.files import seekable
from kart_runtime.storage.codecs.libraries import is_series, library_of, pandas_for
from kart_runtime.storage.codecs.polars_frames import polars, scan_path

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}

_PANDAS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".dat": ("read_csv", {}),
    ".data": ("read_csv", {}),
    ".dta": ("read_stata", {}),
    ".feather": ("read_feather", {}),
    ".json": ("read_json", {}),
    ".jsonl": ("read_json", {"lines": True}),
    ".ndjson": ("read_json", {"lines": True}),
    ".ods": ("read_excel", {}),
    ".orc": ("read_orc", {}),
    ".parquet": ("read_parquet", {}),
    ".tsv": ("read_csv", {"sep": "\t"}),
    ".txt": ("read_csv", {}),
    ".xls": ("read_excel", {}),
    ".xlsm": ("read_excel", {}),
    ".xlsx": ("read_excel", {}),
    ".xml": ("read_xml", {}),
}
"""Suffix to the function of pandas, and what it is given unless the options say otherwise."""

_POLARS: dict[str, tuple[str, dict[str, Any]]] = {
    ".arrow": ("ipc", {}),
    ".avro": ("avro", {}),
    ".csv": ("csv", {}),
    ".dat": ("csv", {}),
    ".data": ("csv", {}),
    ".feather": ("ipc", {}),
    ".json": ("json", {}),
    ".jsonl": ("ndjson", {}),
    ".ndjson": ("ndjson", {}),
    ".ods": ("ods", {}),
    ".parquet": ("parquet", {}),
    ".tsv": ("csv", {"separator": "\t"}),
    ".txt": ("csv", {}),
    ".xls": ("excel", {}),
    ".xlsx": ("excel", {}),
}
"""Suffix to the end of the names `read_…` and `scan_…` of polars."""

_TYPES_OF_POLARS = {"str": "String", "int": "Int64", "float": "Float64", "bool": "Boolean", "date": "Date"}

_LAZY = ("csv", "ipc", "ndjson", "parquet")


class CannotRead(CodecError, ValueError):
    """A file cannot be read with the options that a task has for it.

    Parameters
    ----------
    path
        Path or url of the file.
    reader
        Function that reads it, such as ``pandas.read_csv``.
    why
        The cause, as a sentence.
    """

    def __init__(self, path: str, reader: str, why: str) -> None:
        self.path, self.reader, self.why = path, reader, why
        super().__init__(f"{path} cannot be read by {reader} with the given options: {why.rstrip('.')}.")


class _Reader(NamedTuple):
    """Function that reads a file, its name for messages, and options that hold unless others are given."""

    name: str
    call: Callable[..., Any]
    defaults: Mapping[str, Any]


class ReadingOptions:
    """Codec that reads a file with options, and writes nothing.

    Parameters
    ----------
    path
        Path or url of the file.
    options
        Keyword arguments of the function that reads it.
    """

    def __init__(self, path: str, options: Mapping[str, Any]) -> None:
        self.path, self.options = path, options

    def dump(self, value: Any, file: BinaryIO) -> None:  # noqa: ARG002 - the form of a codec
        """Refuse: the file is not kart's."""
        raise CannotRead(self.path, "InputFile", "it is only read, never written")

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the value."""
        return read(self.path, file, as_type, self.options)


def read(path: str, file: BinaryIO, as_type: Any, options: Mapping[str, Any]) -> Any:
    """Return the value of an open file, read by the function that fits the suffix and the declared type.

    Parameters
    ----------
    path
        Path or url, for the suffix and for messages.
    file
        The file.
    as_type
        Declared type; None: a pandas DataFrame.
    options
        Keyword arguments of the function.

    Raises
    ------
    CannotRead
        The function has no such option, or fails.
    """
    stem, compression = _without_compression(path)
    suffix = stem[stem.rfind(".") :].lower() if "." in stem.rpartition("/")[2] else ""
    if as_type is str:
        return _text(path, file, options)
    library = library_of(as_type) or ("pandas" if as_type is None else None)
    if library is None:
        why = f"options are for tables and text, and the declared type is {getattr(as_type, '__name__', as_type)}"
        raise CannotRead(path, "the codec of its suffix", f"{why}. Set a processor on the class instead")
    if library == "pandas":
        reader = _pandas_reader(path, suffix, compression)
        return _series_or_frame(_called(path, reader, _bytes(file), options), as_type)
    return _read_polars(path, suffix, file, options, lazy=library == "polars-lazy")


def check_options(where: str, name: str, call: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise `CannotRead` if a function has no such option; its first argument is what it reads."""
    known, is_open = _options_of(call)
    for option in options:
        if option not in known and not is_open:
            guess = closest_match(option, known)
            hint = f". Did you mean '{guess}'?" if guess else f"; it has: {', '.join(known)}"
            raise CannotRead(where, name, f"{name} has no option '{option}'{hint}")


def _options_of(call: Callable[..., Any]) -> tuple[list[str], bool]:
    """Return the names of the options of a function, and whether it takes others as well."""
    parameters = list(inspect.signature(call).parameters.values())[1:]
    names = [param.name for param in parameters if param.kind is not inspect.Parameter.VAR_KEYWORD]
    return names, len(names) < len(parameters)


def _called(path: str, reader: _Reader, source: Any, options: Mapping[str, Any]) -> Any:
    check_options(path, reader.name, reader.call, options)
    try:
        return reader.call(source, **{**reader.defaults, **options})
    except (ImportError, OSError, MemoryError):
        raise
    except Exception as error:
        raise CannotRead(path, reader.name, described(error)) from error


def _without_compression(path: str) -> tuple[str, str | None]:
    for suffix, name in _COMPRESSIONS.items():
        if path.lower().endswith(suffix):
            return path[: -len(suffix)], name
    return path, None


def _bytes(file: BinaryIO) -> Any:
    """Return a file that a library may close."""
    return io.BytesIO(seekable(file).read())


def _pandas_reader(path: str, suffix: str, compression: str | None) -> _Reader:
    pd = pandas_for(f"{suffix} files with options")
    if suffix not in _PANDAS:
        raise CannotRead(path, "pandas", f"it has no function for '{suffix}'. Set a processor on the class instead")
    name, defaults = _PANDAS[suffix]
    call = getattr(pd, name)
    if "compression" in _options_of(call)[0]:  # the name of the file, by which pandas would find it, is not there
        defaults = {**defaults, "compression": compression}
    return _Reader(f"pandas.{name}", call, defaults)


def _series_or_frame(value: Any, as_type: Any) -> Any:
    return value.squeeze("columns") if is_series(as_type) and hasattr(value, "squeeze") else value


def _read_polars(path: str, suffix: str, file: BinaryIO, options: Mapping[str, Any], *, lazy: bool) -> Any:
    pl = polars()
    if suffix not in _POLARS:
        raise CannotRead(path, "polars", f"it has no function for '{suffix}'. Set a processor on the class instead")
    kind, defaults = _POLARS[suffix]
    scans = lazy and kind in _LAZY
    name = f"{'scan' if scans else 'read'}_{kind}"
    source = (scan_path(file) if scans else None) or _bytes(file)
    frame = _called(path, _Reader(f"polars.{name}", getattr(pl, name), defaults), source, _polars_types(path, options))
    if scans:
        _called(path, _Reader(f"polars.{name}", lambda lazy_frame: lazy_frame.collect_schema(), {}), frame, {})
    return frame.lazy() if lazy else frame


def _polars_types(path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with names of types as types, which polars expects."""
    typed = dict(options)
    for name in ("schema", "schema_overrides"):
        given = typed.get(name)
        if isinstance(given, Mapping):
            typed[name] = {column: polars_type(path, text) for column, text in given.items()}
        elif isinstance(given, list):
            typed[name] = [polars_type(path, text) for text in given]
    return typed


def polars_type(where: str, name: Any) -> Any:
    """Return the type of polars that a name stands for; other values unchanged."""
    if not isinstance(name, str):
        return name
    pl = importlib.import_module("polars")
    found = getattr(pl, _TYPES_OF_POLARS.get(name, name), None)
    if isinstance(found, type) and issubclass(found, pl.DataType):
        return found
    known = [key for key, value in vars(pl).items() if isinstance(value, type) and issubclass(value, pl.DataType)]
    guess = closest_match(name, known)
    hint = f". Did you mean '{guess}'?" if guess else ""
    raise CannotRead(where, "polars", f"polars has no type '{name}'{hint}")


def _text(path: str, file: BinaryIO, options: Mapping[str, Any]) -> str:
    def decode(source: BinaryIO, encoding: str = "utf-8", errors: str = "strict") -> str:
        return source.read().decode(encoding, errors)

    return str(_called(path, _Reader("bytes.decode", decode, {}), file, options))
