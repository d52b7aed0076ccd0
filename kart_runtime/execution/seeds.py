"""Seeds of the global random generators, set by the functions that a task names.

`numpy.random.seed` is one of them by default, and importing numpy costs more than a thousand small tasks. A library
that is installed but not imported yet has nothing to seed: it gets the seed at the end of its import, before its
importer can draw a number.
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
    """Call functions, named by dotted paths, with a seed; return the names of those that exist."""
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
    """Seed by a function not called before, or at the import of its library; return whether the function exists."""
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
    """Return the function of a dotted path whose library is imported; None if there is none."""
    first, *rest = name.split(".")
    member: Any = sys.modules[first]
    for part in rest:
        member = getattr(member, part, None)
    if not callable(member):
        return None
    _methods[name] = member
    return cast("Callable[[int], Any]", member)


@lru_cache(maxsize=64)
def _is_installed(library: str, places: int) -> bool:  # noqa: ARG001 - a part of the key: sys.path may grow
    return find_spec(library) is not None


class _AtImport(MetaPathFinder):
    """Finder that has the libraries seeded that a seed waits for."""

    def __init__(self) -> None:
        self.waiting: dict[str, dict[str, int]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((candidate for finder in others if (candidate := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader)
        return spec


class _Seeding(Loader):
    """Loader that seeds a library when it is imported."""

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
