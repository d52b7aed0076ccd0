"""Which library does a table belong to, and is that library there? Asked by the codecs of tables.

Types are recognized by the name of their module, so that asking loads no library.
"""

from __future__ import annotations

import importlib
from types import UnionType
from typing import Any, Union, get_args, get_origin

from kart_runtime.storage.codecs import DataFrameType

_TABLES = {
    ("pandas", "DataFrame"): "pandas",
    ("pandas", "Series"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "polars-lazy",
}


def library_of(declared: Any) -> DataFrameType | None:
    """Return what a type is a table of; None when it is no table.

    Parameters
    ----------
    declared
        A class, a generic with arguments, or a union, of which the first table counts.
    """
    if get_origin(declared) in (Union, UnionType):
        return next((found for found in map(library_of, get_args(declared)) if found), None)
    for base in getattr(get_origin(declared) or declared, "__mro__", ()):
        found: Any = _TABLES.get((base.__module__.partition(".")[0], base.__name__))
        if found:
            return found  # type: ignore[no-any-return]
    return None


def is_series(declared: Any) -> bool:
    """Return whether a type is a pandas Series.

    Parameters
    ----------
    declared
        A class.
    """
    names = [(base.__module__.partition(".")[0], base.__name__) for base in getattr(declared, "__mro__", ())]
    return ("pandas", "Series") in names


def pandas_for(what: str, *, arrow: bool = False) -> Any:
    """Return the module pandas.

    Parameters
    ----------
    what
        What needs it, for the message.
    arrow
        Whether pyarrow is needed too.

    Raises
    ------
    ImportError
        When it is not installed; the message says how to get it.
    """
    try:
        import pandas as pd

        if arrow:
            import pyarrow  # noqa: F401 - pandas needs it for these formats; its absence gets the same hint
    except ImportError as error:
        needed = "pandas and pyarrow" if arrow else "pandas"
        raise ImportError(f"{what} files need {needed}: pip install 'kart-runtime[pandas]'") from error
    return pd


def optional(name: str) -> Any:
    """Return a module, None when it is not installed.

    Parameters
    ----------
    name
        Name of the module.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
