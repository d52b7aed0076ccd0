"""Fingerprints of the code that tasks depend on, so that a result of other code is noticed.

A fingerprint covers the class of a task (its bases up to the engine's) and the project's functions, classes and
constants that it uses, directly or not, as syntax trees. Comments, docstrings, formatting, annotations and the order of
definitions do not count, nor does what the task does not use.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class Code(NamedTuple):
    """Code that a task's result depends on."""

    fingerprint: str
    """Hash of all definitions; empty if nothing is known of the code."""
    definitions: Mapping[str, str]
    """Hash of each definition by label, such as ``lib/models.py: fit``, and versions of packages by name."""


UNKNOWN = Code("", {})
_known: dict[int, tuple[Any, Sequence[str], Code]] = {}


def code_of(cls: type, packages: Sequence[str] = ()) -> Code:
    """Return the code that a task's class depends on, worked out once for each class.

    Parameters
    ----------
    cls
        The class.
    packages
        Names of installed packages whose versions count.
    """
    known = _known.get(id(cls))
    if known is not None and (known[1] is packages or known[1] == packages):
        return known[2]
    code = _code(cls, packages)
    number = id(cls)
    _known[number] = (weakref.ref(cls, lambda _: _known.pop(number, None)), packages, code)
    return code


def forget() -> None:
    """Work the code of classes out again when it is asked for, since files may have changed or been loaded again."""
    _known.clear()


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the labels of definitions that differ: first those that changed, then those added, then those removed.

    Parameters
    ----------
    old, new
        Definitions of a `Code`.
    """
    both = sorted(label for label in new if label in old and old[label] != new[label])
    return [*both, *sorted(new.keys() - old.keys()), *sorted(old.keys() - new.keys())]


def _code(cls: type, packages: Sequence[str]) -> Code:
    from kart_runtime.code.fingerprint import definitions, fingerprint_of, versions

    try:
        found = definitions(cls)
    except Exception:  # a change that goes unnoticed is better than a run that fails
        logger.debug("no fingerprint of %s", cls.__qualname__, exc_info=True)
        return UNKNOWN
    if not found:
        return UNKNOWN
    found |= versions(packages)
    return Code(fingerprint_of(found), found)
