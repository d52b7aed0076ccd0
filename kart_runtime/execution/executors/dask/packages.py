"""How does the program's own code get to the workers of a cluster? As archives of its packages.

`dask_cluster` finds out which packages are not installed, and packs them; `dask_worker` unpacks them and has them
imported from there. What is installed (in a `site-packages`) is the business of whoever sets workers up.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from luigi import task_register

LIMIT = 50_000_000
"""How large a package may be, in bytes before it is packed."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_OURS = __name__.partition(".")[0]
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+(\w+)[\w. \t]*[ \t]import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive, so that the same files make the same archive."""


@dataclass(frozen=True)
class Package:
    """A package, or a module that is in none, as it is sent.

    Attributes
    ----------
    name
        What it is imported as.
    digest
        Tells its content from any other.
    archive
        Its files, in a zip archive.
    """

    name: str
    digest: str
    archive: bytes


def imported_by(module: ModuleType) -> set[str]:
    """Return what a module that is sent as code imports, in its source or, in a notebook, into its names.

    Parameters
    ----------
    module
        The module.
    """
    file = getattr(module, "__file__", None)
    if file is not None and Path(file).suffix == ".py" and Path(file).exists():
        return _imported(Path(file))
    return {
        name
        for value in list(vars(module).values())
        if isinstance(name := getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None), str)
    }


class TooLarge(Exception):
    """A package is larger than what is sent; the text says how large, and which files make it so."""


def own_packages(modules: Iterable[str]) -> dict[str, dict[str, Path]]:
    """Return the packages that are not installed, of some modules and of whatever their code imports.

    Parameters
    ----------
    modules
        Names of modules; of those that are not found, nothing is returned.

    Returns
    -------
    Package to its files: the name in the archive to the path.
    """
    found: dict[str, dict[str, Path]] = {}
    left = {name.partition(".")[0] for name in modules}
    seen: set[str] = set()
    while left:
        name = left.pop()
        seen.add(name)
        files = dict(_files_of(name))
        if files:
            found[name] = files
            left |= {other for path in files.values() if path.suffix == ".py" for other in _imported(path)} - seen
    return found


def pack(name: str, files: Mapping[str, Path]) -> Package:
    """Return a package as it is sent.

    Parameters
    ----------
    name, files
        As `own_packages` returns them.

    Raises
    ------
    TooLarge
        When its files are larger than `LIMIT`.
    """
    sizes = {inside: path.stat().st_size for inside, path in files.items()}
    if sum(sizes.values()) > LIMIT:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        raise TooLarge(f"{sum(sizes.values()) / 1e6:.0f} MB; its largest files are {', '.join(largest)}")
    digest, buffer = hashlib.sha256(), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside in sorted(files):
            content = files[inside].read_bytes()
            digest.update(f"{inside}\0{len(content)}\0".encode())
            digest.update(content)
            archive.writestr(zipfile.ZipInfo(inside, _BEGINNING), content, zipfile.ZIP_DEFLATED)
    return Package(name, digest.hexdigest(), buffer.getvalue())


def _files_of(name: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a package or module by their names in an archive; nothing when it is installed."""
    for place in _places(name):
        if place.is_file():
            yield place.name, place
            continue
        for folder, below, files in os.walk(place):
            below[:] = [one for one in below if not one.startswith(".") and one != "__pycache__"]
            for path in (Path(folder, one) for one in files if not one.startswith(".") and not one.endswith(".pyc")):
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
    where = list(spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else []))
    places = [Path(one) for one in where]
    return [] if any(map(_is_installed, places)) else [place for place in places if place.exists()]


def _is_installed(place: Path) -> bool:
    library = Path(sysconfig.get_path("stdlib"))
    return not _INSTALLED.isdisjoint(place.parts) or place.is_relative_to(library)


def _imported(path: Path) -> set[str]:
    """Return the packages that a source file imports, as far as a look at its lines tells."""
    found: set[str] = set()
    for source, names in _IMPORT.findall(path.read_bytes()):
        for name in [source] if source else names.split(b","):
            top = name.strip().partition(b" ")[0].partition(b".")[0].decode()
            if top.isidentifier():
                found.add(top)
    return found


_in_use: dict[str, tuple[str, Path]] = {}
"""Package to the digest of what this worker has of it, and the folder on `sys.path` that it is in."""


def use(packages: Iterable[Package], folder: Path) -> None:
    """Have this worker import these packages, and no others that were sent; nothing may run meanwhile.

    Modules of another content that are loaded are forgotten, and imported anew when they are next needed.

    Parameters
    ----------
    packages
        All that the present build has sent.
    folder
        Where they are unpacked.
    """
    wanted = {package.name: package for package in packages}
    for name, (digest, place) in list(_in_use.items()):
        if name not in wanted or wanted[name].digest != digest:
            del _in_use[name]
            sys.path[:] = [entry for entry in sys.path if entry != str(place)]
            _forget(name)
    for name, package in wanted.items():
        if name not in _in_use:
            place = _unpack(package, folder)
            _forget(name)
            sys.path.insert(0, str(place))
            _in_use[name] = package.digest, place
    invalidate_caches()


def _unpack(package: Package, folder: Path) -> Path:
    place = folder / f"{package.name}-{package.digest[:16]}"
    if not place.exists():
        unfinished = place.with_name(f"{place.name}.unfinished")
        with zipfile.ZipFile(io.BytesIO(package.archive)) as archive:
            archive.extractall(unfinished)
        unfinished.rename(place)
    return place


def _forget(name: str) -> None:
    inside = f"{name}."
    for module in [module for module in sys.modules if module == name or module.startswith(inside)]:
        del sys.modules[module]
    # Else luigi would find two classes of one name.
    known = task_register.Register._reg
    known[:] = [cls for cls in known if cls.__module__ != name and not cls.__module__.startswith(inside)]
