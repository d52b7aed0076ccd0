"""Dataclasses, dates and other values of Python as plain ones, and back by the type that a task declares.

Used by the formats of documents: JSON, YAML, TOML. `as_plain` writes, `as_declared` rebuilds, and `difference` says
whether what was rebuilt is what was dumped, so that a format can refuse what it would change.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import types
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

_MICROSECOND = dt.timedelta(microseconds=1)


def _seconds(delta: dt.timedelta) -> float | str:
    """Return seconds, or microseconds as text where a float is not exact."""
    seconds = delta.total_seconds()
    return seconds if dt.timedelta(seconds=seconds) == delta else f"{delta // _MICROSECOND} us"


def _timedelta(written: float | str) -> dt.timedelta:
    if isinstance(written, str):
        return int(written.removesuffix(" us")) * _MICROSECOND
    return dt.timedelta(seconds=written)


SCALARS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    dt.datetime: (dt.datetime.isoformat, dt.datetime.fromisoformat),
    dt.date: (dt.date.isoformat, dt.date.fromisoformat),
    dt.time: (dt.time.isoformat, dt.time.fromisoformat),
    dt.timedelta: (_seconds, _timedelta),
    decimal.Decimal: (str, decimal.Decimal),
    uuid.UUID: (str, uuid.UUID),
}
"""Types that are written as a text or number; a path is, too, under the class of the system."""

_NAMES = {kind.__name__: kind for kind in SCALARS}


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def as_plain(value: Any, native: frozenset[type] = frozenset()) -> Any:
    """Return a value as dicts, lists, texts and numbers; what is not known stays. Types in `native` stay, too."""
    kind = type(value)
    if kind in native or kind in (str, int, float, bool, type(None)):
        return value
    if kind in SCALARS:
        return SCALARS[kind][0](value)
    if isinstance(value, enum.Enum):
        return as_plain(value.value, native)
    if isinstance(value, PurePath):
        return value.as_posix()
    if hasattr(kind, "model_dump") and hasattr(kind, "model_validate"):  # a pydantic model
        return as_plain(value.model_dump(), native)
    return _container_as_plain(value, native)


def _container_as_plain(value: Any, native: frozenset[type]) -> Any:
    if _is_record(value):
        return {field.name: as_plain(getattr(value, field.name), native) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): as_plain(item, native) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return [as_plain(item, native) for item in _in_order(value)]
    if isinstance(value, list | tuple):
        return [as_plain(item, native) for item in value]
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return as_plain(value.tolist(), native)
    return value


def _key(key: Any) -> Any:
    plain = key if isinstance(key, int | float) else as_plain(key)
    return plain if isinstance(plain, str) else key


def _in_order(values: Any) -> list[Any]:
    """Return the values of a set in an order that is the same in each process, if they have one."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


# -- types of single values, where no type is declared --------------------------------------------------------------


def marks_of(value: Any, with_endless: bool = True) -> Any:
    """Return where a plain structure holds dates and the like, to be noted in the file; None if it holds none.

    A name stands for a value, a list with one mark for a list whose values are alike, a dict for keys and places.
    """
    kind = type(value)
    if kind in SCALARS:
        return kind.__name__
    if isinstance(value, PurePath):
        return "Path"
    if with_endless and kind is float and (value != value or value in (float("inf"), -float("inf"))):  # noqa: PLR0124 - NaN
        return repr(value)
    if kind is dict:
        found = {str(key): mark for key, item in value.items() if (mark := marks_of(item, with_endless)) is not None}
        return found or None
    if kind is list:
        marks = [marks_of(item, with_endless) for item in value]
        if marks and marks[0] is not None and all(mark == marks[0] for mark in marks):
            return [marks[0]]
        return {str(at): mark for at, mark in enumerate(marks) if mark is not None} or None
    return None


def without_endless(value: Any) -> Any:
    """Return a plain structure with None in place of NaN and inf, which JSON has not."""
    if type(value) is float:
        return value if value - value == 0 else None
    if type(value) is dict:
        return {key: without_endless(item) for key, item in value.items()}
    return [without_endless(item) for item in value] if type(value) is list else value


def with_text_keys(value: Any) -> Any:
    """Return a plain structure with texts in place of numbers as keys."""
    if type(value) is dict:
        return {str(key): with_text_keys(item) for key, item in value.items()}
    return [with_text_keys(item) for item in value] if type(value) is list else value


def with_marks(value: Any, mark: Any) -> Any:
    """Return a loaded value with what `marks_of` has noted."""
    if isinstance(mark, list):
        return [with_marks(item, mark[0]) for item in value]
    if isinstance(mark, dict):
        places = value.items() if isinstance(value, dict) else enumerate(value)
        items = [(key, with_marks(item, mark[str(key)]) if str(key) in mark else item) for key, item in places]
        return dict(items) if isinstance(value, dict) else [item for _, item in items]
    if mark == "Path":
        return _path(value)
    return SCALARS[_NAMES[mark]][1](value) if mark in _NAMES else float(mark)


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)


# -- types that are declared ------------------------------------------------------------------------------------------


def as_declared(value: Any, declared: Any) -> Any:
    """Return a loaded plain value as the type that a task declares; raise ValueError if it does not fit at all."""
    kind = _kind(declared)
    if kind is None or value is None or type(value) is kind:
        inner = get_args(declared)
        return value if kind not in (list, dict) or not inner else _container(value, kind, inner)
    if kind is Union:
        return _one_of(value, get_args(declared))
    if kind in SCALARS:
        return SCALARS[kind][1](value) if isinstance(value, str | int | float) else value
    if isinstance(kind, type) and issubclass(kind, enum.Enum | PurePath):
        return kind(value)
    return _composed(value, kind, declared)


def _kind(declared: Any) -> Any:
    """Return the class, or `Union`, that a declared type stands for; None if it says nothing."""
    while True:
        origin = get_origin(declared)
        if origin is Annotated:
            declared = get_args(declared)[0]
        elif isinstance(declared, NewType):
            declared = declared.__supertype__
        else:
            break
    if origin in (Union, types.UnionType):
        return Union
    kind = origin or declared
    if kind in (None, Any, Literal) or isinstance(kind, TypeVar) or not isinstance(kind, type):
        return None
    return _CONCRETE.get(kind.__name__, kind) if kind.__module__ == "collections.abc" else kind


_CONCRETE: dict[str, type] = {"Sequence": list, "MutableSequence": list, "Mapping": dict, "MutableMapping": dict}


def _one_of(value: Any, members: tuple[Any, ...]) -> Any:
    """Return a value as the first type of a union that gives it back the same when it is written again."""
    for member in members:
        if member is type(None):
            continue
        try:
            found = as_declared(value, member)
        except (ValueError, TypeError, KeyError, AttributeError, decimal.DecimalException):
            continue
        kind = _kind(member)
        if kind is None or isinstance(found, kind):
            return found
    return value


def _composed(value: Any, kind: Any, declared: Any) -> Any:
    inner = get_args(declared)
    if hasattr(kind, "model_validate") and hasattr(kind, "model_dump"):
        return kind.model_validate(value)
    if dataclasses.is_dataclass(kind):
        return _record(value, kind)
    if is_typeddict(kind):
        hints = hints_of(kind)
        return {key: as_declared(item, hints.get(key)) for key, item in value.items()}
    if isinstance(value, list) and issubclass(kind, tuple | set | frozenset):
        return _sequence(value, kind, inner)
    if isinstance(value, list) and (kind.__module__, kind.__name__) == ("numpy", "ndarray"):
        import numpy as np

        return np.asarray(value)
    return value


def _sequence(values: list[Any], kind: Any, inner: tuple[Any, ...]) -> Any:
    if hasattr(kind, "_fields"):  # a named tuple
        hints = hints_of(kind)
        return kind(*(as_declared(item, hints.get(name)) for name, item in zip(kind._fields, values, strict=True)))
    if inner and issubclass(kind, tuple) and inner[-1] is not Ellipsis:
        return kind(map(as_declared, values, inner)) if len(values) == len(inner) else kind(values)
    return kind(as_declared(item, inner[0] if inner else None) for item in values)


def _container(value: Any, kind: Any, inner: tuple[Any, ...]) -> Any:
    if kind is list:
        return [as_declared(item, inner[0]) for item in value] if isinstance(value, list) else value
    if not isinstance(value, dict) or len(inner) != 2:
        return value
    return {_declared_key(key, inner[0]): as_declared(item, inner[1]) for key, item in value.items()}


def _declared_key(key: Any, declared: Any) -> Any:
    kind = _kind(declared)
    if kind in (int, float) and isinstance(key, str):
        return kind(key)
    return as_declared(key, declared) if kind not in (None, str, Union) else key


def _record(value: Any, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"the file holds a {type(value).__name__}, and not the fields of {kind.__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ValueError(f"the file holds {', '.join(unknown)}, which {kind.__name__} has not")
    hints = hints_of(kind)
    values = {name: as_declared(item, hints.get(name)) for name, item in value.items()}
    made = kind(**{name: item for name, item in values.items() if fields[name].init})
    for name, item in values.items():
        if not fields[name].init:
            object.__setattr__(made, name, item)
    return made


def is_json(declared: Any, above: tuple[Any, ...] = ()) -> bool:
    """Return whether every value of a declared type can be written as JSON and built again; not for dict or Any."""
    kind = _kind(declared)
    inner = get_args(declared)
    if kind in (str, int, float, bool, type(None), *SCALARS) or get_origin(declared) is Literal:
        return True
    if kind is None or declared in above:
        return False
    seen = (*above, declared)
    if kind is Union:
        return all(is_json(part, seen) for part in inner)
    if issubclass(kind, enum.Enum | PurePath):
        return True
    if dataclasses.is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "_fields"):
        hints = hints_of(kind)
        return bool(hints) and all(is_json(_required(hint), seen) for hint in hints.values())
    if kind is dict:
        return len(inner) == 2 and _kind(inner[0]) in (str, int) and is_json(inner[1], seen)
    if kind in (list, tuple, set, frozenset):
        return bool(inner) and all(part is Ellipsis or is_json(part, seen) for part in inner)
    return False


def _required(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


@lru_cache(maxsize=256)
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a class; none if they name what only a function knows."""
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return {}


# -- what has changed -------------------------------------------------------------------------------------------------


def difference(value: Any, read: Any, where: str = "") -> str | None:
    """Return the first place where a value that was read differs from the one that was dumped, None if it is equal.

    Scalars and arrays of numpy may come back as numbers and lists.
    """
    numpy = type(value).__module__.partition(".")[0] == "numpy"
    if numpy and type(value) is not type(read) and hasattr(value, "tolist"):
        return difference(value.tolist(), read, where)
    if type(value) is not type(read):
        return f"{where}a {type(value).__name__}, which comes back as a {type(read).__name__}"
    if numpy:
        import numpy as np

        return None if value.dtype == read.dtype and np.array_equal(value, read) else f"{where}another array"
    pairs = _pairs(value, read)
    if pairs is None:
        equal = value == read if not isinstance(value, float | decimal.Decimal) else repr(value) == repr(read)
        return None if equal else f"{where}a {type(value).__name__}, which comes back as another one"
    for name, item, other in pairs:
        found = difference(item, other, f"{where}{name}: ")
        if found:
            return found
    return None


_GONE = object()


def _pairs(value: Any, read: Any) -> list[tuple[Any, Any, Any]] | None:
    if _is_record(value):
        names = [field.name for field in dataclasses.fields(value)]
        return [(name, getattr(value, name), getattr(read, name, _GONE)) for name in names]
    if isinstance(value, dict):
        keys = zip(value, read, strict=False)
        items = [(key, value[key], read.get(key, _GONE)) for key in value]
        return [("a key", *pair) for pair in keys] + [("the number of keys", len(value), len(read)), *items]
    if isinstance(value, list | tuple):
        places = zip(range(len(value)), value, read, strict=False)
        return [("the length", len(value), len(read)), *places]
    return None
