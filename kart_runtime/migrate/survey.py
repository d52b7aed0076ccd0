"""Which files would change, and which cannot? All files below the given paths, read once and not written.

Called by ``kart migrate``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kart_runtime.errors import ConfigError
from kart_runtime.migrate.changes import CannotMigrate, Change, Problem
from kart_runtime.migrate.hints import hints, is_configuration
from kart_runtime.migrate.ini import convert
from kart_runtime.migrate.source import migrate_source

_SKIPPED = frozenset({"venv", "node_modules", "build", "__pycache__", "site-packages"})
_OF_TOOLS = frozenset({"setup.cfg", "tox.ini", "mypy.ini", ".mypy.ini", "pytest.ini", "alembic.ini"})


@dataclass
class Survey:
    """What a migration would do.

    Attributes
    ----------
    changes
        The files that would change, sorted by path.
    problems
        The files that stay as they are although they should change.
    hints
        What a person has to change or to look at.
    """

    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def survey(paths: Iterable[str | Path], *, config: bool = False) -> Survey:
    """Return what would change below the paths; nothing is written.

    Parameters
    ----------
    paths
        Files and folders.
    config
        Whether luigi configurations are converted to YAML, too.

    Raises
    ------
    ConfigError
        A path does not exist.
    LibcstMissing
        A Python file mentions gokart, and libcst is not installed.
    """
    given = [Path(path) for path in paths]
    for path in given:
        if not path.exists():
            raise ConfigError("there is no such file or folder", file=str(path))
    found = Survey()
    for path in _files(given):
        try:
            _look_at(path, path.read_bytes(), found, config)
        except CannotMigrate as error:
            found.problems.append(Problem(path, str(error)))
        except OSError as error:
            found.problems.append(Problem(path, f"cannot be read: {error.strerror}"))
    return found


def _files(given: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once, also where the paths overlap."""
    seen = set()
    for top in given:
        for path in _below(top) if top.is_dir() else [top]:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


def _below(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        # A link may lead out of the folder; where it stays inside, the file itself is found.
        yield from (path for name in sorted(files) if not (path := here / name).is_symlink() and path.is_file())


def _is_skipped(folder: Path) -> bool:
    return folder.name in _SKIPPED or folder.name.startswith(".") or (folder / "pyvenv.cfg").exists()


def _look_at(path: Path, data: bytes, found: Survey, config: bool) -> None:
    if path.suffix in {".py", ".pyi"}:
        # Without the word there is nothing to do, and broken files elsewhere are not this command's business.
        if b"gokart" in data:
            _look_at_source(path, data, found)
    elif path.suffix in {".ini", ".cfg"} and path.name not in _OF_TOOLS:
        _look_at_ini(path, data, found, config)
    elif path.suffix == ".ipynb" or is_configuration(path):
        found.hints += hints(path, data)


def _look_at_source(path: Path, data: bytes, found: Survey) -> None:
    migrated = migrate_source(data)
    if migrated.data != data:
        counts = {"imports": migrated.imports, "strings": migrated.strings}
        found.changes.append(Change(path, data, migrated.data, migrated.encoding, **counts))
    found.hints += [f"{path}:{line}: {text} stays; change it if it is a module" for line, text in migrated.left]


def _look_at_ini(path: Path, data: bytes, found: Survey, config: bool) -> None:
    try:
        converted = convert(data.decode("utf-8-sig"), path.name)
    except (CannotMigrate, UnicodeDecodeError) as error:
        if config:  # else nobody has asked what it says
            raise CannotMigrate(str(error)) from error
        return
    if not converted.text:
        return
    if not config:
        found.hints.append(f"{path}: sections of tasks: `kart migrate {path} --config` makes YAML of them")
        return
    found.hints += [f"{path}: [{section}] stays there: it is of no task" for section in converted.stay]
    _add_yaml(path.with_suffix(".yaml"), converted.text.encode(), found)


def _add_yaml(target: Path, data: bytes, found: Survey) -> None:
    planned = next((change.after for change in found.changes if change.path == target), None)
    there = target.read_bytes() if target.exists() else planned
    if there is None:
        found.changes.append(Change(target, None, data))
    elif there != data:
        raise CannotMigrate(f"{target} exists already and says something else; move it away, or delete it")
