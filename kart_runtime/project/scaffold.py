"""Scaffold of a new task: its module, its configuration and a test that passes, where the layout rule expects them."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from kart_runtime.errors import ConfigError
from kart_runtime.project.layout import Mirror, mirror
from kart_runtime.project.project import Project, is_leftover

_MODULE = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
_EXPECTED = "MODULE.ClassName, such as features.encode.EncodeColumns"
_RESERVED = frozenset({"TaskOnKart", "None", "True", "False"})
_LONGEST = 80

_TASK = '''\
"""{title}."""

import luigi
{imports}


class {name}(TaskOnKart[list[int]]):
    """{title}: the numbers below `size`, until you write what it computes."""

    size: luigi.IntParameter = luigi.IntParameter(default=3)

    def run(self) -> None:
        self.dump(list(range(self.size)))
'''

_CONF = """\
{name}:
  size: 3
"""

_TEST = '''\
"""Tests of {name}."""

from kart_runtime import build

from {module} import {name}


def test_counts_up_to_its_size() -> None:
    assert build({name}(size=4)) == [0, 1, 2, 3]
'''


def new_task(project: Project, name: str) -> list[Path]:
    """Write the module, configuration and test of a new task.

    Parameters
    ----------
    project
        The project.
    name
        Module below `tasks` and class, such as `features.encode.EncodeColumns`.

    Returns
    -------
    list of Path
        The files, the module first.

    Raises
    ------
    ConfigError
        The name is invalid, or one of the files exists. Nothing has been written.
    """
    module, class_name = _split(project, name)
    files = mirror(project, module)
    _check_free(project, files)
    content = _content(project, files, module, class_name)
    _write_all(content)
    return [files.module, files.conf, files.test, *(path for path in content if path.name == "__init__.py")]


def _split(project: Project, name: str) -> tuple[str, str]:
    """Return the module below the package, and the class."""
    short = name.removeprefix(f"{project.package}.").removeprefix("tasks.")
    *modules, class_name = short.split(".")
    if len(short) > _LONGEST:
        raise ConfigError(f"{name!r} is longer than {_LONGEST} characters", expected=_EXPECTED)
    if not modules:
        raise ConfigError(f"{name!r} names no module", expected=_EXPECTED)
    for part in modules:
        if not _MODULE.fullmatch(part) or keyword.iskeyword(part) or part.startswith("test_"):
            raise ConfigError(f"{part!r} in {name!r} is not a valid name of a module", expected=_EXPECTED)
    if not _CLASS.fullmatch(class_name) or class_name in _RESERVED:
        raise ConfigError(f"{class_name!r} in {name!r} is not a valid name of a task class", expected=_EXPECTED)
    return ".".join(("tasks", *modules)), class_name


def _check_free(project: Project, files: Mirror) -> None:
    for path in (files.module, files.conf, files.test):
        if path.exists() or path.is_symlink():
            raise ConfigError("already exists; nothing was written", file=project.relative(path))
        for folder in path.parents:
            if folder.exists() and not folder.is_dir():
                raise ConfigError(
                    "is a file where a folder is needed; nothing was written", file=project.relative(folder)
                )
    package = files.module.with_suffix("")
    if package.exists():
        raise ConfigError(
            "is a folder, so a module cannot have this name; nothing was written", file=project.relative(package)
        )
    for folder in files.module.relative_to(project.tasks_folder).parents:
        module = (project.tasks_folder / folder).with_suffix(".py")
        if folder.name and module.exists():
            raise ConfigError(
                "is a module, so a folder cannot have this name; nothing was written",
                file=project.relative(module),
            )


def _content(project: Project, files: Mirror, module: str, class_name: str) -> dict[Path, str]:
    words: Mapping[str, str] = {
        "name": class_name,
        "module": f"{project.package}.{module}",
        "title": _title(class_name),
        "imports": _import_of_base(project),
    }
    content = {
        path: text.format_map(words) for path, text in ((files.module, _TASK), (files.conf, _CONF), (files.test, _TEST))
    }
    return content | dict.fromkeys(_missing_packages(project, files), "")


def _import_of_base(project: Project) -> str:
    """Return the import of the project's own `TaskOnKart` if its module `base` has one, else of kart's."""
    base = project.package_folder / "base.py"
    if base.is_file() and "TaskOnKart" in _top_names(base):
        return f"\nfrom {project.package}.base import TaskOnKart"
    return "from kart_runtime import TaskOnKart"


def _top_names(path: Path) -> set[str]:
    """Return the names that a module imports, defines or assigns, without importing it."""
    try:
        statements = ast.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    return names


def _title(class_name: str) -> str:
    """Return a class name as words: EncodeColumns is 'Encode columns'."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[0-9]+", class_name)
    return " ".join([words[0], *(word if word.isupper() and len(word) > 1 else word.lower() for word in words[1:])])


def _missing_packages(project: Project, files: Mirror) -> list[Path]:
    """Return each `__init__.py` that new folders need, in a project whose other folders have one."""
    missing = []
    for top, path in ((project.tasks_folder, files.module), (project.tests / "tasks", files.test)):
        if any(not is_leftover(path.relative_to(top)) for path in top.glob("*/__init__.py")):
            between = path.parent.relative_to(top).parts
            folders = [top.joinpath(*between[:end]) for end in range(1, len(between) + 1)]
            missing += [folder / "__init__.py" for folder in folders if not (folder / "__init__.py").exists()]
    return missing


def _write_all(content: Mapping[Path, str]) -> None:
    """Write all files, or none: delete what was created if anything fails, also on Ctrl-C."""
    created: list[Path] = []
    try:
        for path, text in content.items():
            for folder in reversed([path.parent, *path.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    created.append(folder)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                created.append(path)
                file.write(text)
    except BaseException:
        for path in reversed(created):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
        raise
