"""Plain values as JSON: which of them JSON gives back, and dicts by whole numbers, whose keys JSON makes text.

Used by `json_values` and `json_columns`. A value is looked at level by level, by the types of its values.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

_KEPT = frozenset({str, int, float, bool, type(None), list, dict})


class NotJson(Exception):
    """Raised for a value that JSON would change; its text is a part of a sentence that says what was found."""


class Found(NamedTuple):
    """What JSON changes: levels where keys are whole numbers, types that become plainer ones, tuples, other types."""

    levels: list[int]
    plainer: list[str]
    tuples: list[str]
    others: bool = False


def inspected(value: Any) -> Found:
    """Return what JSON changes in a value; raise `NotJson` for keys that it cannot give back."""
    levels: list[int] = []
    plainer: set[str] = set()
    tuples: set[str] = set()
    others = False
    values, level = [value], 0
    while values:
        kinds = set(map(type, values))
        for kind in kinds - _KEPT:
            others = _note_type(kind, plainer, tuples) or others
        dicts = [item for item in values if isinstance(item, dict)] if _some(kinds, dict) else []
        lists = [item for item in values if isinstance(item, list | tuple)] if _some(kinds, (list, tuple)) else []
        keys = set(map(type, chain.from_iterable(dicts)))
        if keys == {int}:
            levels.append(level)
        elif not all(issubclass(kind, str) for kind in keys):
            raise NotJson(_keys_text(keys))
        values = list(chain(*(item.values() for item in dicts), *lists))
        level += 1
    return Found(levels, sorted(plainer), sorted(tuples), others)


def _some(kinds: set[type], bases: Any) -> bool:
    return any(issubclass(kind, bases) for kind in kinds)


def _note_type(kind: type, plainer: set[str], tuples: set[str]) -> bool:
    """Note a type; return whether JSON knows neither it nor its base."""
    numpy = kind.__module__ == "numpy"
    if issubclass(kind, tuple):
        tuples.add(kind.__name__)
    elif issubclass(kind, str | int | float | list | dict) and not numpy:
        plainer.add(kind.__name__)
    else:
        return not numpy
    return False


def _keys_text(keys: set[type]) -> str:
    names = " and ".join(sorted(kind.__name__ for kind in keys))
    return f"a dict with keys of type {names}, which JSON makes text (use str as keys)"


def with_int_keys(value: Any, levels: list[int]) -> Any:
    """Return a loaded value with whole numbers as keys at these levels."""
    return _with_int_keys(value, frozenset(levels), 0, max(levels, default=-1))


def _with_int_keys(value: Any, levels: frozenset[int], level: int, last: int) -> Any:
    if level > last:
        return value
    if isinstance(value, dict):
        kind: Any = int if level in levels else str
        return {kind(key): _with_int_keys(item, levels, level + 1, last) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_int_keys(item, levels, level + 1, last) for item in value]
    return value
