"""Files of a project that would change, those that cannot, and what a person has to change; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kart_runtime.edits.files import files_below
from kart_runtime.errors import ConfigError
from kart_runtime.migrate.changes import CannotMigrate, Change, Problem
from kart_runtime.migrate.facade import missing_name
from kart_runtime.migrate.ini import convert
from kart_runtime.migrate.source import migrate_source

_OF_TOOLS = frozenset({"setup.cfg", "tox.ini", "mypy.ini", ".mypy.ini", "pytest.ini", "alembic.ini"})

_PLUGIN = re.compile(r"\bgokart\.mypy\b")
_DEPENDENCY = re.compile(r"""(?:^\s*|["'])gokart(?:\[([^\]]*)\])?["']?\s*(?:[=<>~!;@,"'\]#]|$)""")
_EXTRAS = {"all": ("gcs", "s3"), "gcs": ("gcs",), "polars": ("polars",), "s3": ("s3",)}
"""gokart's extras, and those of kart that bring the same."""

_WORKER_SECTION = re.compile(r"\s*\[gokart_worker\]")
_LOGGER = re.compile(r"\s*qualname\s*[=:]\s*gokart\b")

_CELL = re.compile(rb"(?:\bimport|\bfrom) gokart\b")

_WITH_PLUGIN = frozenset({"mypy.ini", ".mypy.ini", "setup.cfg", "pyproject.toml"})
_WITH_DEPENDENCY = frozenset({"pyproject.toml", "setup.cfg", "Pipfile"})


@dataclass
class Scan:
    """Result of a scan.

    Attributes
    ----------
    changes
        Files that would change, in the order of their paths.
    problems
        Files that stay as they are although they should change.
    hints
        What a person has to change or to check.
    """

    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def scan(paths: Iterable[str | Path], *, config: bool = False) -> Scan:
    """Read all files below some paths once and return what would change.

    Parameters
    ----------
    paths
        Files and folders.
    config
        Whether to convert luigi configurations to YAML, too.

    Returns
    -------
    Scan
        Changes, problems and hints.

    Raises
    ------
    ConfigError
        A path does not exist.
    """
    tops = [Path(path) for path in paths]
    for path in tops:
        if not path.exists():
            raise ConfigError("there is no such file or folder", file=str(path))
    result = Scan()
    for path in _files(tops):
        try:
            _scan_file(path, path.read_bytes(), result, config)
        except CannotMigrate as error:
            result.problems.append(Problem(path, str(error)))
        except OSError as error:
            result.problems.append(Problem(path, f"cannot be read: {error.strerror}"))
    return result


def _files(tops: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once, also where the paths overlap."""
    seen = set()
    for top in tops:
        for path in files_below(top) if top.is_dir() else [top]:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


def _scan_file(path: Path, data: bytes, result: Scan, config: bool) -> None:
    if path.suffix in {".py", ".pyi"}:
        # Without the word there is nothing to do, and broken files elsewhere are not this command's business.
        if b"gokart" in data:
            _scan_source(path, data, result)
    elif path.suffix in {".ini", ".cfg"} and path.name not in _OF_TOOLS:
        result.hints += _ini_hints(path, data)
        _scan_ini(path, data, result, config)
    else:
        result.hints += hints(path, data)


def _scan_source(path: Path, data: bytes, result: Scan) -> None:
    migrated = migrate_source(data, missing_name)
    if migrated.data != data:
        counts = {"imports": migrated.imports, "strings": migrated.strings}
        result.changes.append(Change(path, data, migrated.data, migrated.encoding, **counts))
    result.hints += [f"{path}:{line}: {name}: kart has no such {_kind(name)}" for line, name in migrated.missing]
    result.hints += [f"{path}:{line}: {text} stays; change it if it is a module" for line, text in migrated.left]


def _kind(name: str) -> str:
    """Return what a name of gokart stands for there, as far as its form says."""
    last = name.rpartition(".")[2]
    return "module" if name.count(".") == 1 and last.islower() else "name"


def _ini_hints(path: Path, data: bytes) -> Iterator[str]:
    """Yield the lines of a luigi or logging configuration that name what kart has not, with file and line."""
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if _WORKER_SECTION.match(line):
            yield (
                f"{path}:{number}: [gokart_worker]: kart has no such section; where luigi's worker runs the tasks, its "
                "section is [worker]"
            )
        elif _LOGGER.match(line):
            yield f"{path}:{number}: {line.strip()}: kart's loggers are kart_runtime and those below"


def _scan_ini(path: Path, data: bytes, result: Scan, config: bool) -> None:
    try:
        text, other_sections = convert(data.decode("utf-8-sig"), path.name)
    except (CannotMigrate, UnicodeDecodeError) as error:
        if config:  # otherwise nobody has asked
            raise CannotMigrate(str(error)) from error
        return
    if not text:
        return
    if not config:
        result.hints.append(f"{path}: sections of tasks: `kart migrate {path} --config` converts them to YAML")
        return
    result.hints += [f"{path}: [{section}] stays there: it belongs to no task" for section in other_sections]
    _add_yaml(path.with_suffix(".yaml"), text.encode(), result)


def _add_yaml(target: Path, data: bytes, result: Scan) -> None:
    planned = next((change.after for change in result.changes if change.path == target), None)
    existing = target.read_bytes() if target.exists() else planned
    if existing is None:
        result.changes.append(Change(target, None, data))
    elif existing != data:
        raise CannotMigrate(f"{target} already exists with other contents. Move it away, or delete it.")


def hints(path: Path, data: bytes) -> Iterator[str]:
    """Yield what a person has to change in a notebook or a configuration of tools, with file and line."""
    if path.suffix == ".ipynb":
        if _CELL.search(data):
            yield f"{path}: cells that import gokart: import kart_runtime.gokart as gokart"
        return
    may_name_plugin = path.name in _WITH_PLUGIN
    may_name_dependency = path.name in _WITH_DEPENDENCY or (
        path.name.startswith("requirements") and path.suffix in {".txt", ".in"}
    )
    if not (may_name_plugin or may_name_dependency):
        return
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if may_name_plugin and _PLUGIN.search(line) and "kart_runtime.gokart" not in line:
            yield f"{path}:{number}: {line.strip()}: the plugin is kart_runtime.gokart.mypy"
        elif may_name_dependency and (match := _DEPENDENCY.search(line)):
            yield f"{path}:{number}: {line.strip()}: the dependency is {_distribution(match[1] or '')}"


def _distribution(extras: str) -> str:
    ours = sorted({name for extra in extras.split(",") for name in _EXTRAS.get(extra.strip().lower(), ())})
    return f"kart-runtime[{','.join(ours)}]" if ours else "kart-runtime"
