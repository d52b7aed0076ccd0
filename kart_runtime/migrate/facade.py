"""Names of gokart that kart has or has not, found by importing kart's modules of these names."""

from __future__ import annotations

import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

NEW = "kart_runtime.gokart"


@cache
def missing_name(name: str) -> str:
    """Return the first part of a dotted name of gokart that kart does not have; empty if it has all.

    A name is followed as far as it leads through modules: what a class has is not looked at.
    """
    parts = name.split(".")
    for end in range(2, len(parts) + 1):
        part = ".".join(parts[:end])
        found = _found(part)
        if found is None:
            return part
        if not isinstance(found, ModuleType):
            return ""
    return ""


def _found(name: str) -> Any:
    """Return what kart has under a name of gokart, a module before anything else; None if there is nothing."""
    try:
        return pkgutil.resolve_name(f"kart_runtime.{name}")
    except AttributeError:
        return None
    except ImportError as error:  # of the module itself, or of a library that it needs
        return None if (error.name or "").startswith(NEW) else ""
