"""Declared output type of a task class: the `T` of ``TaskOnKart[T]``."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, get_args, get_origin


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
