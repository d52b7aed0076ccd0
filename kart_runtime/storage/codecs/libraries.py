"""Optional libraries of tables: which one a type belongs to, and whether it is installed; used by the codecs of tables.

Types are recognized by the name of their module, so that no library is imported for it.
"""

from __future__ import annotations

import importlib
from types import UnionType
from typing import Any, Union, get_args, get_origin

from kart_runtime.errors import how_to_add
from kart_runtime.storage.codecs import DataFrameType

_TABLES = {
    ("pandas", "DataFrame"): "pandas",
    ("pandas", "Series"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "polars-lazy",
}


def library_of(declared: Any) -> DataFrameType | None:
    """Return the kind of table that a declared type is, of a union the first one; None if it is no table."""
    if get_origin(declared) in (Union, UnionType):
        return next((library for library in map(library_of, get_args(declared)) if library), None)
    for base in getattr(get_origin(declared) or declared, "__mro__", ()):
        library: Any = _TABLES.get((base.__module__.partition(".")[0], base.__name__))
        if library:
            return library  # type: ignore[no-any-return]
    return None


def is_series(declared: Any) -> bool:
    """Return whether a declared type is a pandas Series."""
    names = [(base.__module__.partition(".")[0], base.__name__) for base in getattr(declared, "__mro__", ())]
    return ("pandas", "Series") in names


def is_arrow_table(declared: Any) -> bool:
    """Return whether a declared type is a table of pyarrow."""
    names = [(base.__module__.partition(".")[0], base.__name__) for base in getattr(declared, "__mro__", ())]
    return ("pyarrow", "Table") in names


def pandas_for(format: str, *, arrow: bool = False) -> Any:  # noqa: A002 - the field's word
    """Return the module pandas; ImportError says how to install it, and with `arrow` also pyarrow."""
    try:
        import pandas as pd

        if arrow:
            import pyarrow  # noqa: F401 - pandas needs it for these formats; its absence gets the same hint
    except ImportError as error:
        libraries = "pandas and pyarrow" if arrow else "pandas"
        raise ImportError(f"{format} files need {libraries}. {how_to_add('pandas')}") from error
    return pd


def optional(name: str) -> Any:
    """Return a module, None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
