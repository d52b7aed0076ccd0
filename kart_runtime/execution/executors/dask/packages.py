"""The program's own packages: packed here, unpacked and imported on workers. Installed packages are not sent."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from luigi import task_register

LIMIT = 50_000_000
"""Maximum size of a package, in bytes before it is packed."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_OURS = __name__.partition(".")[0]
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+(\w+)[\w. \t]*[ \t]import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Time of every file in an archive, so that the same files make the same archive."""


class Package(NamedTuple):
    """A package, or a module that is in none: its name, the digest of its files, and a zip archive of them."""

    name: str
    digest: str
    archive: bytes


class TooLarge(Exception):
    """A package exceeds `LIMIT`; the text says its size and its largest files."""


def imported_by(module: ModuleType) -> set[str]:
    """Return what a module imports, by its source or, for a notebook, by the values of its names."""
    file = getattr(module, "__file__", None)
    if file is not None and Path(file).suffix == ".py" and Path(file).exists():
        return _imported(Path(file))
    return {
        name
        for value in list(vars(module).values())
        if isinstance(name := getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None), str)
    }


def own_packages(modules: Iterable[str]) -> dict[str, dict[str, Path]]:
    """Return the packages of some modules, and of what their code imports, that are not installed.

    Each with its files: the name in the archive to the path.
    """
    packages: dict[str, dict[str, Path]] = {}
    to_visit = {name.partition(".")[0] for name in modules}
    visited: set[str] = set()
    while to_visit:
        name = to_visit.pop()
        visited.add(name)
        files = dict(_files_of(name))
        if files:
            packages[name] = files
            sources = [path for path in files.values() if path.suffix == ".py"]
            to_visit |= set().union(*map(_imported, sources)) - visited
    return packages


def pack(name: str, files: Mapping[str, Path]) -> Package:
    """Return a package of `own_packages` as it is sent, or raise `TooLarge`."""
    sizes = {inside: path.stat().st_size for inside, path in files.items()}
    if sum(sizes.values()) > LIMIT:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        raise TooLarge(f"{sum(sizes.values()) / 1e6:.0f} MB; its largest files are {', '.join(largest)}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside in sorted(files):
            archive.writestr(zipfile.ZipInfo(inside, _ZIP_TIME), files[inside].read_bytes(), zipfile.ZIP_DEFLATED)
    return Package(name, hashlib.sha256(buffer.getvalue()).hexdigest(), buffer.getvalue())


def _files_of(name: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a package or module by their names in an archive; nothing when it is installed."""
    for place in _places(name):
        if place.is_file():
            yield place.name, place
            continue
        for folder, subfolders, files in os.walk(place):
            subfolders[:] = [sub for sub in subfolders if not sub.startswith(".") and sub != "__pycache__"]
            for path in (
                Path(folder, file) for file in files if not file.startswith(".") and not file.endswith(".pyc")
            ):
                if path.is_file():
                    yield f"{name}/{path.relative_to(place).as_posix()}", path


def _places(name: str) -> list[Path]:
    """Return the folders of a package, or the file of a module; nothing when it is installed, or not in files."""
    if name in sys.stdlib_module_names or name in {_OURS, "__main__"}:
        return []
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand has no spec
        return []
    if spec is None:
        return []
    origin = [spec.origin] if spec.has_location and spec.origin else []
    places = [Path(place) for place in spec.submodule_search_locations or origin]
    return [] if any(map(_is_installed, places)) else [place for place in places if place.exists()]


def _is_installed(place: Path) -> bool:
    return not _INSTALLED.isdisjoint(place.parts) or place.is_relative_to(sysconfig.get_path("stdlib"))


def _imported(path: Path) -> set[str]:
    """Return the packages that a source file imports, as far as its lines show."""
    names: set[str] = set()
    for source, listed in _IMPORT.findall(path.read_bytes()):
        for name in [source] if source else listed.split(b","):
            names.add(name.strip().partition(b" ")[0].partition(b".")[0].decode())
    return set(filter(str.isidentifier, names))


_active: dict[str, tuple[str, Path]] = {}
"""Package to the digest of what this worker has of it, and its folder on `sys.path`."""


def activate_packages(packages: Iterable[Package], folder: Path) -> None:
    """Have this worker import these packages, unpacked below `folder`, and no others that were sent.

    Modules of another content are forgotten, and imported again when they are next needed. Nothing may run meanwhile.
    """
    requested = {package.name: package for package in packages}
    for name, (digest, place) in list(_active.items()):
        if name not in requested or requested[name].digest != digest:
            del _active[name]
            sys.path[:] = [entry for entry in sys.path if entry != str(place)]
            _forget_modules(name)
    for name, package in requested.items():
        if name not in _active:
            place = _unpack(package, folder)
            _forget_modules(name)
            sys.path.insert(0, str(place))
            _active[name] = package.digest, place
    invalidate_caches()


def _unpack(package: Package, folder: Path) -> Path:
    place = folder / f"{package.name}-{package.digest[:16]}"
    if not place.exists():
        unfinished = place.with_name(f"{place.name}.unfinished")
        with zipfile.ZipFile(io.BytesIO(package.archive)) as archive:
            archive.extractall(unfinished)
        unfinished.rename(place)
    return place


def _forget_modules(name: str) -> None:
    inside = f"{name}."
    for module in [module for module in sys.modules.copy() if module == name or module.startswith(inside)]:
        del sys.modules[module]
    # Otherwise luigi would find two classes of one name.
    register = task_register.Register._reg
    register[:] = [cls for cls in register if cls.__module__ != name and not cls.__module__.startswith(inside)]
