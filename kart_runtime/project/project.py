"""Project folder: the folder whose `pyproject.toml` has a `[tool.kart]` table, with its task modules."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.owner import check_owner
from kart_runtime.project.problems import raise_all
from kart_runtime.project.template.record import first_marker

if TYPE_CHECKING:
    import luigi

_TABLE = '[tool.kart]\npackage = "NAME_OF_YOUR_PACKAGE"'
_KEYS = {"package": None, "conf": "conf", "tests": "tests"}
_USES = "uses"
_TEMPLATE = "template"
"""Table of `kart update`."""


@dataclass(frozen=True)
class Project:
    """Folders of a project.

    Attributes
    ----------
    root
        Folder of `pyproject.toml`.
    package
        Name of the package, whose folder is `src/PACKAGE` or `PACKAGE`.
    conf
        Folder of the configuration.
    tests
        Folder of the tests.
    uses
        Packages of the installed kart projects whose tasks are known here.
    """

    root: Path
    package: str
    conf: Path
    tests: Path
    uses: tuple[str, ...] = ()

    @classmethod
    def find(cls, start: str | Path | None = None) -> Project:
        """Return the project that contains a folder.

        Parameters
        ----------
        start
            Folder or file to search from, upwards. None: the current directory.

        Returns
        -------
        Project
            The project of the closest `pyproject.toml` with a `[tool.kart]` table.

        Raises
        ------
        ConfigError
            There is none, or its `[tool.kart]` table is invalid.
        """
        begin = Path.cwd() if start is None else Path(start).absolute()
        if not begin.exists():
            raise ConfigError("no such folder", file=str(begin))
        searched: list[Path] = []
        for folder in (begin, *begin.parents):
            path = folder / "pyproject.toml"
            if path.is_file():
                table = kart_table(path)
                if table is not None:
                    check_owner(folder, path)
                    return _from_table(folder, table)
                searched.append(path)
        seen = "".join(f"\n  {path} has no [tool.kart] table" for path in searched)
        raise ConfigError(
            f"not inside a kart project: no pyproject.toml with a [tool.kart] table in {begin} or above it.{seen}\n"
            "Change to the folder of a project, pass it as --project DIR, or turn a folder into a project by adding to "
            f"its pyproject.toml:\n{_TABLE}"
        )

    @property
    def source(self) -> Path:
        """Folder to put on `sys.path`: `src` if it contains the package, else the root."""
        src = self.root / "src"
        return src if src.joinpath(*self.package.split(".")).is_dir() else self.root

    @property
    def package_folder(self) -> Path:
        """Folder of the package."""
        return self.source.joinpath(*self.package.split("."))

    @property
    def tasks_folder(self) -> Path:
        """Folder of the task modules."""
        return self.package_folder / "tasks"

    def relative(self, path: Path) -> str:
        """Return a path relative to the root, with forward slashes, for messages."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def task_modules(self) -> dict[str, Path]:
        """Return the file of each task module, such as `tasks.model.train`, sorted by name."""
        modules = {}
        for path in sorted(self.tasks_folder.rglob("*.py")):
            parts = path.relative_to(self.package_folder).with_suffix("").parts
            if is_leftover(path.relative_to(self.tasks_folder)):
                continue
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return modules

    def load_tasks(self) -> dict[str, type[luigi.Task]]:
        """Import every task module and return the task classes.

        Classes whose name starts with an underscore are base classes, not tasks of the project.

        Returns
        -------
        dict
            Full name, such as `tasks.model.train.TrainModel`, to class.

        Raises
        ------
        ConfigError
            A module cannot be imported; the message names it and the line.
        """
        tasks, failed = self.import_tasks()
        raise_all(distinct_causes(list(failed.values())))
        return tasks

    def import_tasks(self) -> tuple[dict[str, type[luigi.Task]], dict[str, ConfigError]]:
        """Import every task module; return the classes by full name, and the error of each module that is broken."""
        self.put_on_path()
        tasks: dict[str, type[luigi.Task]] = {}
        failed: dict[str, ConfigError] = {}
        for name, path in self.task_modules().items():
            try:
                module = self._import(name, path)
            except ConfigError as error:
                failed[name] = error
            else:
                tasks.update(_task_classes(name, module))
        return tasks, failed

    def put_on_path(self) -> None:
        """Make the package importable in this process, behind all else: a random.py beside it replaces nothing."""
        source = str(self.source)
        if source not in sys.path:
            sys.path.append(source)
        importlib.invalidate_caches()

    def _import(self, name: str, path: Path) -> ModuleType:
        full = f"{self.package}.{name}"
        try:
            module = importlib.import_module(full)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a user's module raises while it is imported, also SystemExit
            line = _last_line(error, self)
            raise ConfigError(
                f"{full} cannot be imported: {type(error).__name__}: {error}", file=line or self.relative(path)
            ) from error
        if module.__file__ is not None and Path(module.__file__).resolve() != path.resolve():
            raise ConfigError(
                f"{full} was imported from {module.__file__}, another package with the same name. "
                f"Uninstall that package, or install this project ('pip install -e .').",
                file=self.relative(path),
            )
        return module


def is_leftover(path: Path) -> bool:
    """Return whether a path is hidden, or of a cache: editors and systems leave such files in a project."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def distinct_causes(errors: list[ConfigError]) -> list[ConfigError]:
    """Return one error for each cause: modules that import a broken module fail with the same error."""
    first: dict[tuple[str | None, str], ConfigError] = {}
    for error in errors:
        first.setdefault((error.file, repr(error.__cause__)), error)
    return list(first.values())


def kart_table(path: Path) -> dict[str, Any] | None:
    """Return the `[tool.kart]` table of a pyproject.toml; None if it has none."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = first_marker(path.read_bytes())
        if line is not None:
            raise ConfigError(
                "conflict of a merge. Merge the lines, and delete the markers.", file=f"{path}:{line}"
            ) from error
        raise ConfigError(f"not valid TOML: {error}", file=str(path)) from error
    tool = document.get("tool", {})
    table = tool.get("kart") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError("is not a table", file=str(path), key="tool.kart", expected=_TABLE.replace("\n", " "))
    return table


def _from_table(root: Path, table: dict[str, Any]) -> Project:
    file = "pyproject.toml"
    errors = [
        ConfigError(
            "unknown key",
            file=file,
            key=f"tool.kart.{key}",
            expected=", ".join((*_KEYS, _USES)),
            suggestion=closest_match(key, (*_KEYS, _USES)),
        )
        for key in table
        if key not in _KEYS and key not in {_USES, _TEMPLATE}
    ]
    values: dict[str, str] = {}
    for key, default in _KEYS.items():
        value = table.get(key, default)
        if isinstance(value, str) and value:
            values[key] = value
        else:
            message = f"is {value!r}" if key in table else "is missing"
            errors.append(ConfigError(message, file=file, key=f"tool.kart.{key}", expected="a name in quotes"))
    uses = table.get(_USES, [])
    if not isinstance(uses, list) or not all(isinstance(name, str) for name in uses):
        expected = 'a list of packages, such as ["features_project"]'
        errors.append(ConfigError(f"is {uses!r}", file=file, key=f"tool.kart.{_USES}", expected=expected))
    raise_all(errors)
    project = Project(root, values["package"], root / values["conf"], root / values["tests"], tuple(uses))
    _check_folders(project)
    check_owner(root, project.package_folder, project.conf)
    return project


def _check_folders(project: Project) -> None:
    errors = []
    if not all(part.isidentifier() for part in project.package.split(".")):
        raise ConfigError(
            f"{project.package!r} is not the name of a package", file="pyproject.toml", key="tool.kart.package"
        )
    if not project.package_folder.is_dir():
        errors.append(
            ConfigError(
                f"neither src/{project.package} nor {project.package} exists in {project.root}",
                file="pyproject.toml",
                key="tool.kart.package",
            )
        )
    if not (project.conf / "base").is_dir():
        errors.append(
            ConfigError(
                f"folder {project.relative(project.conf / 'base')} does not exist in {project.root}",
                file="pyproject.toml",
                key="tool.kart.conf",
            )
        )
    raise_all(errors)


def _task_classes(name: str, module: ModuleType) -> dict[str, type[luigi.Task]]:
    import luigi  # slow to import, and not needed to read the configuration

    return {
        f"{name}.{value.__name__}": value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, luigi.Task)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    }


def _last_line(error: BaseException, project: Project) -> str | None:
    """Return the last line of the project's own code that an import went through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{project.relative(Path(error.filename))}:{error.lineno}"
    folder = project.package_folder
    trace = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in trace if Path(frame.filename).is_relative_to(folder)]
    return f"{project.relative(Path(own[-1].filename))}:{own[-1].lineno}" if own else None


def local_folder(workspace: str, root: Path) -> str:
    """Return a workspace as tasks take it: a local one is relative to the project, not to the current directory."""
    folder = workspace.removeprefix("file://")
    if "://" in folder or os.path.isabs(folder):  # noqa: PTH117 - a url is not a path
        return workspace
    expanded = os.path.expanduser(folder)  # noqa: PTH111 - keeps a trailing slash
    if os.path.isabs(expanded) or Path.cwd() == root:  # noqa: PTH117
        return expanded
    return str(root / expanded)
