"""How are the global random generators seeded? By the functions that a task names, and late where that will do.

`numpy.random.seed` is among them by default, and importing numpy costs more than a thousand small tasks: a library that
is installed but not loaded yet has nothing to seed. It is given the seed at the end of its import, before whoever
imports it can draw a number. Called by `run_logs`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast


def set_seed(methods: tuple[str, ...], seed: int) -> list[str]:
    """Give a seed to functions named by their dotted paths; return the names of those that exist.

    Parameters
    ----------
    methods
        For example ``numpy.random.seed``.
    seed
        The seed.
    """
    done = []
    for name in methods:
        method = _methods.get(name)
        if method is not None:
            method(seed)
        elif not _seed_otherwise(name, seed):
            continue
        done.append(name)
    return done


_methods: dict[str, Callable[[int], Any]] = {}


def _seed_otherwise(name: str, seed: int) -> bool:
    """Seed by a function not called before, or keep the seed until there is one; return whether that will do."""
    library = name.partition(".")[0]
    if library in sys.modules:
        method = _loaded_method(name)
        if method is not None:
            method(seed)
        return method is not None
    waiting = _at_import.waiting.get(library)
    if waiting is not None:
        waiting[name] = seed
        return True
    if not _is_installed(library, len(sys.path)):
        return False
    _at_import.waiting[library] = {name: seed}
    if _at_import not in sys.meta_path:
        sys.meta_path.insert(0, _at_import)
    return True


def _loaded_method(name: str) -> Callable[[int], Any] | None:
    """Return the function of a dotted path whose library is loaded; None when there is none."""
    first, *rest = name.split(".")
    found: Any = sys.modules[first]
    for part in rest:
        found = getattr(found, part, None)
    if not callable(found):
        return None
    _methods[name] = found
    return cast("Callable[[int], Any]", found)


@lru_cache(maxsize=64)
def _is_installed(library: str, places: int) -> bool:  # noqa: ARG001 - a part of the key: sys.path may grow
    return find_spec(library) is not None


class _AtImport(MetaPathFinder):
    """Finds the libraries that a seed waits for, by the other finders, and sees to it that they are seeded."""

    def __init__(self) -> None:
        self.waiting: dict[str, dict[str, int]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader)
        return spec


class _Seeding(Loader):
    """The loader of a library, which gives the seed to it when it is loaded, and then is out of the way."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for name, seed in _at_import.waiting.pop(module.__name__, {}).items():
            method = _loaded_method(name)
            if method is not None:
                method(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_at_import = _AtImport()
