"""What does a task class say that it stores? The argument of its generic base: `T` of ``TaskOnKart[T]``."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, get_args, get_origin


@cache
def declared_type(cls: type, base: Any) -> Any:
    """Return what the type variable of a generic base stands for in a class; None where it is left open.

    Parameters
    ----------
    cls
        A class, for example ``class Frames(Base[pd.DataFrame])``.
    base
        The generic base, for example ``class TaskOnKart(Generic[T])``.
    """
    bound: dict[Any, Any] = {}
    for ancestor in cls.__mro__:
        for generic in vars(ancestor).get("__orig_bases__", ()):
            parameters = getattr(get_origin(generic), "__parameters__", ())
            for parameter, argument in zip(parameters, get_args(generic), strict=False):
                bound.setdefault(parameter, argument)
    found, seen = bound.get(base.__parameters__[0]), set()
    while isinstance(found, TypeVar) and found not in seen:
        seen.add(found)
        found = bound.get(found)
    return None if isinstance(found, TypeVar) else found
