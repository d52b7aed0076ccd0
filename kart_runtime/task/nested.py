"""Nested lists, tuples and dicts, which `requires()` and `output()` may return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
K = TypeVar("K")

FlattenableItems: TypeAlias = (
    T | list["FlattenableItems[T]"] | tuple["FlattenableItems[T]", ...] | dict[str, "FlattenableItems[T]"]
)
"""One item, or nested lists, tuples and dicts of items."""


def iter_flat(structure: Any) -> Iterator[Any]:
    """Iterate over the items of nested lists, tuples, dicts, sets and generators; None is not an item, a text is."""
    if structure is None:
        return
    kind = type(structure)
    if kind is str or not hasattr(kind, "__iter__"):
        yield structure
        return
    if kind is not list and kind is not tuple:  # asking an abstract class costs more than all the rest
        if isinstance(structure, str):
            yield structure
            return
        if isinstance(structure, Mapping):
            structure = structure.values()
    for item in structure:
        if item is not None and not hasattr(type(item), "__iter__"):
            yield item
        else:
            yield from iter_flat(item)


def map_structure(structure: Any, function: Callable[[Any], Any], *, tuples_as: type = tuple) -> Any:
    """Return a structure of the same form with each item replaced."""
    if isinstance(structure, dict):
        return {key: map_structure(item, function, tuples_as=tuples_as) for key, item in structure.items()}
    if isinstance(structure, list | tuple):
        kind = list if isinstance(structure, list) else tuples_as
        return kind(map_structure(item, function, tuples_as=tuples_as) for item in structure)
    return function(structure)


def flatten(targets: Any) -> list[Any]:
    """Return the items of a structure as a list, in order.

    Parameters
    ----------
    targets
        One item, or nested lists, tuples, dicts, sets and generators of items.
    """
    # The usual cases need no generator: one item, or a list of items.
    kind = type(targets)
    if kind is list or kind is tuple:
        for item in targets:
            if item is None or hasattr(type(item), "__iter__"):
                return list(iter_flat(targets))
        return list(targets)
    return list(iter_flat(targets)) if targets is None or hasattr(kind, "__iter__") else [targets]


def map_flattenable_items(func: Callable[[Any], Any], items: Any) -> Any:
    """Return a structure of the same form with each item replaced.

    Parameters
    ----------
    func
        Called with each item.
    items
        One item, or nested lists, tuples and dicts of items.
    """
    return map_structure(items, func)
