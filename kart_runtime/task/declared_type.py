"""Declared output type of a task class, the `T` of ``TaskOnKart[T]``, and the check of dumped values against it."""

from __future__ import annotations

import numbers
import types
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, is_typeddict

from kart_runtime.errors import TaskError


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


def _text(kind: Any) -> str:
    if isinstance(kind, type) and get_origin(kind) is None:
        return (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        )
    return str(kind)
