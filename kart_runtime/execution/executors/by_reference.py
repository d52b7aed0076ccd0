"""Which classes and functions will a fresh interpreter find by their names? Those of files on its path.

Called by `wire`, which sends everything else by value: what a script or notebook defines, what is defined inside a
function, and modules that are loaded here but cannot be found there (a test file that pytest has imported by its path).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import FunctionType
from typing import Any

_OURS = frozenset({*sys.stdlib_module_names, __name__.partition(".")[0]}) - {"__main__"}


def has_name(obj: type | FunctionType) -> bool:
    """Return whether a class or function is what its module has under its name.

    Parameters
    ----------
    obj
        A class or function.
    """
    found: Any = sys.modules.get(obj.__module__ or "")
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def importable(name: str) -> bool:
    """Return whether a fresh interpreter with our path would import the module that is loaded here under a name.

    Parameters
    ----------
    name
        The full name of a module.
    """
    top = name.partition(".")[0]
    if top in _OURS:
        return True
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None and top != name:
        # A package may make submodules while it is imported (six.moves); importing it makes them again.
        return importable(top)
    spec = _search(name)
    return spec is not None and (file is None or spec.origin == getattr(module.__spec__, "origin", file))


def _search(name: str) -> ModuleSpec | None:
    """Find a module as `import` does in a process that has not loaded it, or its packages, yet."""
    spec, path, done = None, None, ""
    for part in name.split("."):
        done = f"{done}.{part}" if done else part
        spec = _ask(done, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def _ask(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # noqa: BLE001, S112 - another library's finder; the import in the worker will say it
            continue
        if spec is not None:
            return spec
    return None
