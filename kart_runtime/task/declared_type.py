"""Declared output type of a task class, the `T` of ``TaskOnKart[T]``: check of dumped values, default suffix."""

from __future__ import annotations

import numbers
import types
from functools import cache
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, is_typeddict

from kart_runtime.errors import TaskError
from kart_runtime.storage.codecs.figures import kind_of
from kart_runtime.storage.codecs.libraries import is_arrow_table, library_of
from kart_runtime.storage.codecs.typed_values import is_json
from kart_runtime.storage.registry import CODECS


class WrongType(TaskError, TypeError):
    """A task dumped a value of another type than it declares.

    Parameters
    ----------
    task
        The task, as text.
    declared
        The declared type, as text.
    found
        The type of the value, as text.
    """

    def __init__(self, task: str, declared: str, found: str) -> None:
        self.task, self.declared, self.found = task, declared, found
        super().__init__(
            f"{task} dumped a {found}, but its class declares TaskOnKart[{declared}]. Dump a {declared} or change the "
            "declaration; 'check_dump_type = False' in the class, or run.check_types=false, switches this check off."
        )


@cache
def declared_type(cls: type, base: Any) -> Any:
    """Return the type argument that a class gives to a generic base, None if it gives none."""
    bound: dict[Any, Any] = {}
    for ancestor in cls.__mro__:
        for generic in vars(ancestor).get("__orig_bases__", ()):
            parameters = getattr(get_origin(generic), "__parameters__", ())
            for parameter, given in zip(parameters, get_args(generic), strict=False):
                bound.setdefault(parameter, given)
    argument, seen = bound.get(base.__parameters__[0]), set()
    while isinstance(argument, TypeVar) and argument not in seen:
        seen.add(argument)
        argument = bound.get(argument)
    return None if isinstance(argument, TypeVar) else argument


def check_value(task: Any, value: Any, base: Any) -> None:
    """Raise `WrongType` if a value is certainly not of the type that the class of a task declares."""
    cls: Any = type(task)
    accepted = _accepted_by(cls, base)
    if accepted is not None and not isinstance(value, accepted) and not _may_pass(value, accepted):
        raise WrongType(str(task), _text(declared_type(cls, base)), _text(type(value)))


@cache
def _accepted_by(cls: type, base: Any) -> tuple[type, ...] | None:
    return _accepted(declared_type(cls, base))


_NUMBERS: dict[Any, Any] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}

_FRAMES = ("DataFrame", "LazyFrame")


def _accepted(declared: Any) -> tuple[type, ...] | None:
    """Return the classes whose instances a declared type takes, None if that is not certain."""
    origin = get_origin(declared)
    if origin is Annotated:
        return _accepted(get_args(declared)[0])
    if origin in (Union, types.UnionType):
        parts = [_accepted(part) for part in get_args(declared)]
        return None if None in parts else tuple(kind for part in parts if part is not None for kind in part)
    if is_typeddict(declared):
        return (dict,)
    kind = origin or declared
    if not isinstance(kind, type) or kind is type or getattr(kind, "_is_protocol", False) or kind is object:
        return None
    package = kind.__module__.partition(".")[0]
    if package == "pandera":  # whose types stand for plain frames
        return None
    if package == "polars" and kind.__name__ in _FRAMES:  # each is stored as the other
        import polars

        return (polars.DataFrame, polars.LazyFrame)
    return (_NUMBERS.get(kind, kind),) if _can_check(kind) else None


def _can_check(kind: type) -> bool:
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return True


def _may_pass(value: Any, accepted: tuple[type, ...]) -> bool:
    """Return whether a value counts all the same: a stand-in of a test, a scalar of numpy, a class redefined."""
    package = type(value).__module__.partition(".")[0]
    if package == "unittest":
        return True
    if package == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return isinstance(value.item(), accepted)
    # A cell of a notebook that runs again defines another class of the same name.
    names = {(kind.__module__, kind.__qualname__) for kind in accepted}
    return any((base.__module__, base.__qualname__) in names for base in type(value).__mro__)


def default_suffix(task: Any, base: Any) -> str:
    """Return the suffix of a task's default output: of its class, by its declared type if that is set, or of pickle."""
    cls = type(task)
    by_class = suffix_of_class(cls)
    if by_class is not None:
        return by_class
    return _suffix_of_type(cast("Any", cls), base) if task.suffix_by_type else ".pkl"


def suffix_of_class(cls: Any) -> str | None:
    """Return the suffix that a class names, None if it names none."""
    suffix = cls.suffix  # a parameter or method of this name is the user's own
    return _class_suffix(suffix) if suffix is not None and isinstance(suffix, str) else None


def _class_suffix(suffix: str) -> str | None:
    """Return the suffix that a class names, with its dot; None for a program's own attribute of this name."""
    if suffix.startswith("."):
        return suffix
    return f".{suffix}" if f".{suffix}" in CODECS else None


@cache
def _suffix_of_type(cls: type, base: Any) -> str:
    return suffix_by_type(declared_type(cls, base))


def suffix_by_type(declared: Any) -> str:
    """Return the suffix of the format that suits a declared type, ``.pkl`` if none gives it back."""
    if get_origin(declared) is Annotated:
        return suffix_by_type(get_args(declared)[0])
    kind = get_origin(declared) or declared
    if kind is str:
        return ".txt"
    if kind is bytes:
        return ".bin"
    if library_of(kind) or is_arrow_table(kind):
        return ".parquet"
    figure = kind_of(kind)
    if figure is not None:
        return ".png" if figure in ("matplotlib", "pillow") else ".html"
    return _array_suffix(kind, get_args(declared)) or (".json" if is_json(declared) else ".pkl")


def _array_suffix(kind: Any, inner: tuple[Any, ...]) -> str | None:
    """Return the suffix for an array, a sparse matrix, or a dict of arrays."""
    package, name = getattr(kind, "__module__", ""), getattr(kind, "__name__", "")
    if package.startswith("numpy") and name == "ndarray":
        return ".npy"
    if package.startswith("numpy.ma") and name == "MaskedArray":
        return ".npz"
    if package.startswith("scipy.sparse") and isinstance(kind, type):
        return ".npz"
    of_text = kind is dict and len(inner) == 2 and inner[0] is str
    return ".npz" if of_text and _array_suffix(get_origin(inner[1]) or inner[1], ()) == ".npy" else None


def _text(kind: Any) -> str:
    if isinstance(kind, type) and get_origin(kind) is None:
        return (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        )
    return str(kind)
