"""Modules of a project: where the source of each is, and the definitions in it.

Nothing is imported to find out. A source is parsed once: its definitions are kept in the process while size and time of
the file stay, and beside Python's own compiled files (`__pycache__`) while its content stays.
"""

from __future__ import annotations

import importlib.util
import linecache
import marshal
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from kart_runtime.code.project_files import is_project_file
from kart_runtime.code.scan import IMPORT, Chain, Import
from kart_runtime.code.syntax import ClassHeader, LocalClass, Tree, Unit, parse

FORMAT = 1
"""Raise it when the units of a source change."""

SETTLING = 2_000_000_000
"""Nanoseconds after which a file that is changed again certainly has another time."""

ENGINE = frozenset({"kart_runtime", "luigi", "gokart"})
EMPTY = Tree((), (), {})
"""Of a module without source."""


class Module:
    """Definitions of a module by name, and what they import it as."""

    def __init__(self, name: str, label: str, package: str, tree: Tree) -> None:
        self.name, self.label, self.package, self.tree = name, label, package, tree
        self.binding: dict[str, list[tuple[int, Unit]]] = {}
        self.changing: dict[str, list[tuple[int, Unit]]] = {}
        self.changing_later: set[str] = set()
        self.was_edited = False  # since it was imported: the code that runs is not the one in the file
        for place, unit in enumerate(tree.units):
            for bound in unit.binds:
                self.binding.setdefault(bound, []).append((place, unit))
            for changed in {chain[0] for chain in unit.changes}:
                self.changing.setdefault(changed, []).append((place, unit))
            for part in parts_of(unit):
                self.changing_later.update(chain[0] for chain in part.late_changes)

    def bound(self, name: str) -> Sequence[tuple[int, Unit]]:
        """Return the units that bind a name, and their places."""
        return self.binding.get(name, ())

    @cached_property
    def import_names(self) -> tuple[str, ...]:
        """Full names of what the module imports when it is loaded or in functions, and of the packages around these."""
        parts = [part for unit in self.tree.units for part in parts_of(unit)]
        targets = {*self.tree.stars, *(target for part in parts for target in part.imports.values())}
        targets |= {(int(chain[1]), chain[2], chain[3]) for part in parts for chain in part.uses if chain[0] == IMPORT}
        names: set[str] = set()
        for target in targets:
            name = self.absolute(target)
            names |= {name, f"{name}.{target[2]}"} if target[2] else {name}
            while "." in name:
                name = name.rpartition(".")[0]
                names.add(name)
        return tuple(sorted(names))

    @cached_property
    def foreign_changes(self) -> tuple[tuple[int, Unit, Chain], ...]:
        """Changes of objects that are imported from elsewhere, with the units that make them."""
        return tuple(
            (place, unit, chain)
            for name, units in self.changing.items()
            if any(name in unit.imports for _, unit in self.bound(name))
            for place, unit in units
            for chain in unit.changes
            if chain[0] == name and not self.is_engine_call(unit)
        )

    def is_engine_call(self, unit: Unit) -> bool:
        """Return whether a statement calls the engine, such as ``build(Train())``."""
        if unit.binds:
            return False
        for root in {chain[0] for chain in unit.early}:
            for _, one in self.bound(root):
                if root in one.imports and self.absolute(one.imports[root]).partition(".")[0] in ENGINE:
                    return True
        return False

    def absolute(self, target: Import) -> str:
        """Return the full name of the module of an import."""
        level, name, _ = target
        if not level:
            return name
        package = self.package.rsplit(".", level - 1)[0] if level > 1 else self.package
        return f"{package}.{name}" if name else package


def parts_of(unit: Unit) -> Iterator[Unit]:
    """Return a unit and its members."""
    yield unit
    if unit.header is not None:
        yield from unit.header.members


class Place(NamedTuple):
    """Where the source of a module is."""

    path: str
    folders: Iterable[str] | None
    """Folders of a package."""


class _Parsed(NamedTuple):
    """Definitions of a file as it was read."""

    stamp: tuple[int, int]
    """Size in bytes, and time of the last change in nanoseconds."""
    is_settled: bool
    """Whether the stamp would be another one if the file changed again."""
    key: str
    tree: Tree


_trees: dict[str, _Parsed] = {}
_modules: dict[str, tuple[Tree, Module]] = {}
_loaded: dict[str, tuple[Any, Any, Module | None]] = {}
"""By name, what was found for a loaded module: its source as it was then, until it is imported or loaded again."""


def find_module(name: str, root: str = "") -> Module | None:
    """Return a module of the project, or None if it is another's or has no source; `root` is the project's anyway."""
    top = name.partition(".")[0]
    if top in ENGINE:
        return None
    loaded = sys.modules.get(name)
    if loaded is None:
        return _find_module(name, top == root)
    spec = getattr(loaded, "__spec__", None)
    known = _loaded.get(name)
    if known is None or known[0] is not loaded or known[1] is not spec or (known[2] is None and top == root):
        known = _loaded[name] = (loaded, spec, _find_module(name, top == root))
        if known[2] is not None:
            known[2].was_edited = _was_edited(spec)
    return known[2]


def _find_module(name: str, is_own: bool) -> Module | None:
    place = place_of(name)
    if place is None or not (is_own or is_project_file(place.path or f"{next(iter(place.folders or ()), '')}/")):
        return None
    tree = _tree(place.path, name) if place.path else EMPTY
    known = _modules.get(name)
    if known is None or known[0] is not tree or known[1].was_edited:
        known = _modules[name] = (tree, _module(name, place, tree))
    return known[1]


def _was_edited(spec: Any) -> bool:
    """Return whether a file has changed since it was imported, by what Python noted of it when it compiled it."""
    if getattr(spec, "cached", None) is None or spec.origin is None or sys.dont_write_bytecode:
        return False
    try:
        with Path(spec.cached).open("rb") as file:
            head = file.read(16)
        status = Path(spec.origin).stat()
    except OSError:
        return False
    noted = int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:16], "little")
    current = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    return head[4:8] == bytes(4) and noted != current and os.access(Path(spec.cached).parent, os.W_OK)


def _module(name: str, place: Place, tree: Tree) -> Module:
    file = Path(place.path).name
    spec = getattr(sys.modules.get(name), "__spec__", None)
    full = spec.name if name == "__main__" and spec is not None else name
    is_package = place.folders is not None
    package = full if is_package else full.rpartition(".")[0]
    parents = (full if is_package else full.rpartition(".")[0]).replace(".", "/")
    return Module(name, f"{parents}/{file}" if parents else file, package, tree)


def place_of(name: str) -> Place | None:
    """Find a module without importing anything."""
    loaded = sys.modules.get(name)
    if loaded is None:
        return _place_of_unloaded(name, tuple(sys.path))
    path, folders = file_of(loaded), getattr(loaded, "__path__", None)
    if path is None:
        return Place("", list(folders)) if folders is not None else None
    return Place(_absolute(path), folders) if _is_source(path) else None


def file_of(module: Any) -> str | None:
    """Return the file of a loaded module; ``<stdin>`` is none."""
    path: str | None = getattr(module, "__file__", None)
    return None if path is None or path.startswith("<") else path


@lru_cache(maxsize=4096)
def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _is_source(path: str) -> bool:
    return path.endswith((".py", ".pyw")) or not path.endswith((".so", ".pyd", ".pyc"))


@lru_cache(maxsize=4096)
def _place_of_unloaded(name: str, _path: tuple[str, ...]) -> Place | None:
    parent, _, _ = name.rpartition(".")
    folders = None
    if parent:
        package = place_of(parent)
        if package is None or package.folders is None:
            return None
        folders = list(package.folders)
    for finder in sys.meta_path:
        spec = None
        with suppress(Exception):
            spec = finder.find_spec(name, folders)
        if spec is not None:
            is_file = spec.has_location and spec.origin is not None and _is_source(spec.origin)
            inside = spec.submodule_search_locations
            if not is_file and (inside is None or spec.origin not in (None, "namespace")):
                return None
            path = _absolute(spec.origin) if is_file and spec.origin else ""
            return Place(path, None if inside is None else list(inside))
    return None


def _tree(path: str, name: str) -> Tree:
    """Return the definitions in a file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once a module and class
    except OSError:
        return tree_of_text(_source_by_loader(path, name))
    stamp = (status.st_size, status.st_mtime_ns)
    known = _trees.get(path)
    if known is None or known.stamp != stamp or not known.is_settled:
        known = _trees[path] = _read_tree(path, stamp, known)
    return known.tree


def _source_by_loader(path: str, name: str) -> str:
    variables = getattr(sys.modules.get(name), "__dict__", None)
    return "".join(linecache.getlines(path, variables))


@lru_cache(maxsize=1024)
def tree_of_text(source: str) -> Tree:
    """Return the definitions in a text, none if it is not Python's."""
    try:
        return parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return EMPTY


def _read_tree(path: str, stamp: tuple[int, int], known: _Parsed | None) -> _Parsed:
    is_settled = time.time_ns() - stamp[1] > SETTLING
    try:
        source = Path(path).read_bytes()
    except OSError:
        return _Parsed(stamp, False, "", EMPTY)
    key = f"{FORMAT} {sys.hexversion} {xxhash.xxh3_128_hexdigest(source)}"
    if known is not None and known.key == key:
        return known._replace(stamp=stamp, is_settled=is_settled)
    return _Parsed(stamp, is_settled, key, _cached_tree(path, source, key))


def _cached_tree(path: str, source: bytes, key: str) -> Tree:
    """Return the definitions in a source, from the file beside Python's compiled ones if they are there."""
    cache = _cache_file(path)
    try:
        found, stored = marshal.loads(cache.read_bytes()) if cache else ("", None)  # noqa: S302 - trusted as its neighbors
        if found == key:
            return _restored(stored)
    except (OSError, ValueError, EOFError, TypeError):
        pass
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return EMPTY
    if cache is not None and not sys.dont_write_bytecode:
        _write(cache, marshal.dumps((key, _stored(tree))))
    return tree


def _cache_file(path: str) -> Path | None:
    try:
        return Path(importlib.util.cache_from_source(path)).with_suffix(".kart-code")
    except NotImplementedError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file of the cache; a folder that cannot be written to has none."""
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)


def _stored(value: Any) -> Any:
    """Return a value in types that `marshal` knows."""
    if isinstance(value, tuple):
        return tuple(map(_stored, value))
    return {key: _stored(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _restored(stored: Any) -> Tree:
    units, stars, local_classes = stored
    local = {name: LocalClass(_restored_unit(unit), *rest) for name, (unit, *rest) in local_classes.items()}
    return Tree(tuple(map(_restored_unit, units)), stars, local)


def _restored_unit(stored: Any) -> Unit:
    if stored[-1] is None:
        return Unit._make(stored)
    bases, decorated, members, bare, fields, annotations = stored[-1]
    header = ClassHeader(
        bases,
        decorated,
        tuple(map(_restored_unit, members)),
        {name: _restored_unit(unit) for name, unit in bare.items()},
        fields,
        _restored_unit(annotations),
    )
    return Unit._make((*stored[:-1], header))
