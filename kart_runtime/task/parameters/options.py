"""Parameters of reading: a map of options, and class attributes that stand for the defaults of parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import luigi


class OptionsParameter(luigi.DictParameter):
    """A map of options for the function that reads a file, such as ``{"sep": ";", "dtype": {"zip": str}}``.

    Types of Python, numpy, pandas and polars become their names, which YAML could hold as well.
    """

    def normalize(self, x: Any) -> Any:
        """Return the map with types as names; raises ValueError for what JSON cannot hold."""
        if not isinstance(x, Mapping):
            raise ValueError("options are a map from names to values")
        plain = _plain(x)
        json.dumps(plain)
        return super().normalize(plain)


class MapParameter(luigi.DictParameter):
    """A map of plain values: texts, numbers, booleans, lists and maps of these."""

    def normalize(self, x: Any) -> Any:
        """Return the map; raises ValueError for what JSON cannot hold."""
        if not isinstance(x, Mapping):
            raise ValueError("expected a map from names to values")
        try:
            json.dumps(thawed(x))
        except TypeError as error:
            raise ValueError(
                f"{error}; give such a value as a parameter of the class, such as day = luigi.DateParameter()"
            ) from error
        return super().normalize(x)


def thawed(value: Any) -> Any:
    """Return the value of a parameter as plain dicts and lists, which libraries expect."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, type):
        return value.__name__
    if _is_dtype(value):
        return str(value)
    raise ValueError(
        f"{value!r} cannot be a part of options, which hold texts, numbers, lists, maps and names of types; for more, "
        "set a processor on the class"
    )


def _is_dtype(value: Any) -> bool:
    """Return whether a value is a data type of numpy or pandas that its name stands for."""
    if type(value).__module__.partition(".")[0] not in {"numpy", "pandas"}:
        return False
    from pandas.api.types import pandas_dtype

    try:
        return bool(pandas_dtype(str(value)) == value)
    except TypeError:
        return False


def adopt_defaults(cls: Any, kinds: Mapping[str, Callable[..., luigi.Parameter[Any]]]) -> None:
    """Make parameters of plain attributes of a new class, so that configuration can set them, too."""
    for name, kind in kinds.items():
        if name not in vars(cls) or isinstance(vars(cls)[name], property):
            continue
        value = vars(cls)[name]
        default = (
            value._default if isinstance(value, luigi.Parameter) else value
        )  # luigi's DictParameter takes no types
        if default is not luigi.parameter._no_value:
            replace_parameter(cls, name, kind(default=default))


def replace_parameter(cls: Any, name: str, parameter: luigi.Parameter[Any]) -> None:
    """Give a class, after it was made, a parameter in the place of an inherited one."""
    parameter._counter = next(vars(base)[name]._counter for base in cls.__mro__[1:] if name in vars(base))  # its order
    parameter.__set_name__(cls, name)
    setattr(cls, name, parameter)
