"""The program's own packages: packed here, unpacked and imported on workers. Installed packages are not sent."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
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
        declared = _declared_data(place, name)
        for inside, path in _files_below(place):
            if _is_sent(path, inside, declared):
                yield f"{name}/{inside}", path


def files_left_out(name: str) -> list[str]:
    """Return the files of a package that are not sent, because they are not code and are not declared as its data."""
    sent = dict(_files_of(name))
    places = [place for place in _places(name) if place.is_dir()]
    found = (f"{name}/{inside}" for place in places for inside, _ in _files_below(place))
    return sorted(file for file in found if file not in sent)


def shortened_list(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _files_below(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder, by their paths in it; no hidden one, and no link, which may lead anywhere."""
    for folder, subfolders, files in os.walk(place):
        subfolders[:] = [sub for sub in subfolders if not sub.startswith(".") and sub != "__pycache__"]
        for path in (Path(folder, file) for file in files if not file.startswith(".") and not file.endswith(".pyc")):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(place).as_posix(), path


_CODE = frozenset({".py", ".pyi", ".so", ".pyd"})

_SETTINGS = frozenset(
    {"", ".bak", ".cfg", ".cnf", ".conf", ".credentials", ".crt", ".db", ".env", ".ini", ".ipynb", ".jks", ".json"}
    | {".json5", ".kdbx", ".key", ".keystore", ".keytab", ".log", ".netrc", ".p12", ".orig", ".pem", ".pfx", ".pgpass"}
    | {".ppk", ".properties", ".sqlite", ".sqlite3", ".tfstate", ".tfvars", ".toml", ".url"}
    | {".xml", ".yaml", ".yml"}
)
"""Suffixes of files in which credentials lie: they go with a package only if they are declared as its data."""

_NAMES = re.compile(r"secret|credential|passw|token|api_?key|private|account|id_(rsa|dsa|ecdsa)|ed25519", re.IGNORECASE)
_CONTENTS = re.compile(
    rb"PRIVATE KEY-----|\"private_key\"|(?i:passw(?:or)?d\s*[=:]\s*\S)|://[^\s/:@]+:[^\s/@]+@|aws_secret_access_key"
    rb"|_authToken|\bAKIA[0-9A-Z]{16}\b"
)
_HEAD = 1 << 16


def _is_sent(path: Path, inside: str, declared: Sequence[str]) -> bool:
    """Return whether a file of a package is code or its data, and does not look like credentials."""
    if path.suffix in _CODE or inside in declared:
        return True
    suffixes = {suffix.lower() for suffix in path.suffixes or [path.suffix]}  # also those of config.yaml.j2
    is_data = _SETTINGS.isdisjoint(suffixes) or any(fnmatch(inside, pattern) for pattern in declared)
    return is_data and not _NAMES.search(path.name) and not _holds_credentials(path)


def _holds_credentials(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return _CONTENTS.search(file.read(_HEAD)) is not None
    return True


def _declared_data(place: Path, name: str) -> list[str]:
    """Return the patterns of the package's data in the closest pyproject.toml above it."""
    for folder in place.resolve().parents:
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                tools = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
                data = tools.get("setuptools", {}).get("package-data", {})
                found = [pattern for key in ("*", name) for pattern in data.get(key, ())]
            except (OSError, ValueError, AttributeError, TypeError):  # it is not for us to judge
                return []
            return [pattern for pattern in found if isinstance(pattern, str) and pattern.strip("*/") not in ("", ".")]
    return []


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
