"""Used projects: other installed kart projects, `uses` of `[tool.kart]`, whose tasks and configuration are known here.

A project that is installed from a wheel has its configuration in the folder `_conf` of its package, and its
pyproject.toml in its metadata; any other one is found above its package. The full names of its tasks begin with it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import luigi

from kart_runtime.code.project_files import count_as_project
from kart_runtime.errors import ConfigError
from kart_runtime.project.project import Project, kart_table
from kart_runtime.task.input_file import InputFile
from kart_runtime.task.parameters import Override, declaration
from kart_runtime.task.sql_source import SqlSource

INSTALLED_CONF = "_conf"
_KEY = "tool.kart.uses"
Paths = Callable[[type], "Override | None"]
_RESERVED = frozenset({"tasks", "run", "logging", "shared", "groups"})


@dataclass(frozen=True)
class UsedProject(Project):
    """Project that another one uses; `root` is the folder that its package is in if it is installed from a wheel."""

    is_installed: bool = False

    @property
    def source(self) -> Path:
        """Folder that the package is in."""
        return self.root if self.is_installed else super().source

    def relative(self, path: Path) -> str:
        """Return a path for messages: the package, and the path in the package or the project."""
        if path.is_relative_to(self.conf):
            return f"{self.package}/{'/'.join(('conf', *path.relative_to(self.conf).parts))}"
        if path.is_relative_to(self.package_folder):
            return f"{self.package}/{path.relative_to(self.package_folder).as_posix()}"
        return f"{self.package}: {path}"

    def put_on_path(self) -> None:
        """Do nothing: the package is importable already."""

    @property
    def files_root(self) -> str | None:
        """Folder that the project's input files are relative to; None if it is installed without it."""
        return None if self.is_installed else str(self.root)


def used_projects(project: Project, errors: list[ConfigError]) -> tuple[UsedProject, ...]:
    """Return the projects that a project uses, directly or not, each once, and before those that use it."""
    found: dict[str, UsedProject] = {}
    _collect(project, (project.package,), found, errors)
    return tuple(found.values())


def _collect(project: Project, path: tuple[str, ...], found: dict[str, UsedProject], errors: list[ConfigError]) -> None:
    file = "pyproject.toml" if len(path) == 1 else f"{project.package}/pyproject.toml"
    for name in project.uses:
        try:
            if name in path:
                cycle = " uses ".join((*path[path.index(name) :], name))
                message = (
                    f"{name} uses itself" if len(path) == 1 else f"cycle of projects: {cycle}. Remove one of them."
                )
                raise ConfigError(message, file=file, key=_KEY)
            if name not in found:
                used = _find(name, file)
                _collect(used, (*path, name), found, errors)
                found[name] = used
                count_as_project(str(used.package_folder))
        except ConfigError as error:
            errors.append(error)


def _find(name: str, file: str) -> UsedProject:
    """Return an installed project by the name of its package."""
    if name.partition(".")[0] in _RESERVED:
        raise ConfigError(
            f"a package named {name} cannot be used: it is a key of the configuration", file=file, key=_KEY
        )
    if not all(part.isidentifier() for part in name.split(".")):
        guess = name.replace("-", "_")
        raise ConfigError(
            f"{name!r} is not the name of a package, as Python imports it",
            file=file,
            key=_KEY,
            suggestion=guess if guess.isidentifier() else None,
        )
    folder = _folder_of(name, file)
    if not (folder / "tasks").is_dir():
        raise ConfigError(f"{name} is no kart project: {folder} has no folder tasks", file=file, key=_KEY)
    return _from_source(name, folder) or _from_wheel(name, folder, file)


def _folder_of(name: str, file: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"{name} cannot be imported: {error}", file=file, key=_KEY) from error
    if spec is None:
        raise ConfigError(
            f"no package {name} is installed in this environment. Install it, for example by `uv add`, or correct the "
            "name",
            file=file,
            key=_KEY,
        )
    if not spec.submodule_search_locations:
        raise ConfigError(f"{name} is no kart project: it is a module, {spec.origin}", file=file, key=_KEY)
    return Path(next(iter(spec.submodule_search_locations)))


def _from_source(name: str, folder: Path) -> UsedProject | None:
    """Return the project whose folder the package is in, as after an editable install."""
    try:
        project = Project.find(folder)
    except ConfigError as error:
        if error.message.startswith("not inside a kart project"):
            return None
        raise ConfigError(error.message, file=f"{name}/{error.file}", key=error.key, expected=error.expected) from error
    if project.package != name or project.package_folder.resolve() != folder.resolve():
        return None
    return UsedProject(project.root, name, project.conf, project.tests, project.uses)


def _from_wheel(name: str, folder: Path, file: str) -> UsedProject:
    conf = folder / INSTALLED_CONF
    if not conf.is_dir():
        raise ConfigError(
            f"{name} is installed without its configuration: neither {conf} nor a pyproject.toml with "
            f'[tool.kart] package = "{name}" exists. Let its wheel contain conf/, as "Reuse tasks" says, or install it '
            "as editable.",
            file=file,
            key=_KEY,
        )
    root = folder.parents[name.count(".")]
    return UsedProject(root, name, conf, root / "tests", _uses_of_wheel(name, root, conf), is_installed=True)


def _uses_of_wheel(name: str, root: Path, conf: Path) -> tuple[str, ...]:
    """Return what an installed project uses, by the pyproject.toml in its metadata or beside its configuration."""
    for path in (conf / "pyproject.toml", *sorted(root.glob("*.dist-info/extra_metadata/pyproject.toml"))):
        table = kart_table(path) if path.is_file() else None
        if table is not None and table.get("package") == name:
            uses = table.get("uses", ())
            return tuple(uses) if isinstance(uses, list) else ()
    return ()


def import_all(
    project: Project, used: Sequence[UsedProject]
) -> tuple[dict[str, type[luigi.Task]], dict[str, ConfigError]]:
    """Import the task modules of a project and those it uses; return classes and errors, as `Project.import_tasks`."""
    tasks, failed = project.import_tasks()
    for other in used:
        others, broken = other.import_tasks()
        tasks |= {f"{other.package}.{name}": cls for name, cls in others.items()}
        failed |= {f"{other.package}.{name}": error for name, error in broken.items()}
    return tasks, failed


def file_roots(
    project: Project, used: Sequence[UsedProject], tasks: Mapping[str, type[luigi.Task]], paths: Paths
) -> dict[type, dict[str, Override]]:
    """Return the overrides that make a relative path of an input file relative to the project that sets it.

    `paths` returns the configured path of a class. A file of a project that is installed without its folder is an error
    of the tasks that need it.
    """
    root = {"root": Override(str(project.root), "pyproject.toml")}
    overrides: dict[type, dict[str, Override]] = {InputFile: root, SqlSource: root}
    by_package = {other.package: other for other in used}
    for name, cls in tasks.items() if used else ():
        if issubclass(cls, SqlSource):
            overrides[cls] = _root_of_query(cls, by_package) or root
        if not issubclass(cls, InputFile):
            continue
        path = paths(cls)
        owner = by_package.get(_package_of(cls, path, by_package))
        if owner is None:
            overrides[cls] = root
        elif owner.files_root is not None:
            overrides[cls] = {"root": Override(owner.files_root, owner.package)}
        elif path is None or path.error is None:
            value = getattr(declaration(cls).params["path"], "_default", None) if path is None else path.value
            if isinstance(value, str) and "://" not in value and not os.path.isabs(value):  # noqa: PTH117
                overrides[cls] = {"path": Override(None, owner.package, error=_no_file(name, value, path, owner))}
    return overrides


def _root_of_query(cls: type, packages: Mapping[str, UsedProject]) -> dict[str, Override] | None:
    """Return the root of a query in a file of a used project; None for a query of this project."""
    owner = next((packages[name] for name in packages if f"{cls.__module__}.".startswith(f"{name}.")), None)
    return {"root": Override(owner.files_root, owner.package)} if owner is not None and owner.files_root else None


def _package_of(cls: type, path: Override | None, packages: Iterable[str]) -> str:
    """Return the package of the project that sets the path of an input file, in its configuration or its code."""
    if path is not None:
        return next((package for package in packages if path.origin.startswith(f"{package}/")), "")
    module = next(base for base in cls.__mro__ if "path" in vars(base)).__module__
    return next((package for package in packages if f"{module}.".startswith(f"{package}.")), "")


def _no_file(name: str, value: str, path: Override | None, owner: UsedProject) -> ConfigError:
    return ConfigError(
        f"{value} is a file of the project of {owner.package}, which is installed without its files. Set "
        f"another path or a url in conf/base/{'/'.join(name.split('.')[:-1])}.yaml.",
        file=None if path is None else path.origin,
        key=f"{name}.path",
    )
