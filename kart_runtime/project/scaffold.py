"""Scaffold of a new task: its class and a test that passes, where the layout rule expects them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_origin

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.project.mirror import Mirror, check_folders, mirror, missing_packages, split_name
from kart_runtime.project.names import TaskNames, parameters
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.extraction import add_definition
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.result_types import ResultType, is_known, result_type, type_text
from kart_runtime.project.task_classes import parse_file
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.declared_type import declared_type

_LINE = 120
"""Length of a line in a generated project."""


def new_task(
    project: Project, name: str, *, needs: Sequence[str] = (), output: str | None = None, type_name: str | None = None
) -> list[Path]:
    """Write the class and test of a new task; an existing module gets a further class.

    The task has no parameters to configure yet, so it needs no YAML.

    Parameters
    ----------
    project
        The project.
    name
        Module below `tasks` and class, such as `features.encode.EncodeColumns`.
    needs
        Tasks that it depends on: class names, or longer dotted suffixes.
    output
        Format of its output: parquet, json, csv, pkl or png. None: what suits the type.
    type_name
        Type of its result, such as `pd.DataFrame`. None: what suits the format, else that of the only task in `needs`.

    Returns
    -------
    list of Path
        The files that were written or changed, the module first.

    Raises
    ------
    ConfigError
        A name, the format or the type is invalid, the class exists, or a file is in the way. Nothing has been written.
    """
    module, class_name = split_name(project, name)
    result_type(output, type_name)  # raises before anything is imported
    dependencies = _dependencies(project, needs, f"{module}.{class_name}")
    if output is None and type_name is None and len(dependencies) == 1 and is_known(dependencies[0].type_text):
        type_name = dependencies[0].type_text
    kind = result_type(output, type_name)
    files = mirror(project, module)
    exists = files.module.is_file() and not files.module.is_symlink()
    _check_free(project, files, class_name, exists=exists)
    task = _Task(project, module, class_name, kind, dependencies)
    written = ProjectFiles(project)
    draft = written.draft
    title = f'"""{task.title}."""\n'
    add_definition(written, files.module, task.source(), task.imports(), title=title)
    test_title = f'"""Tests of {class_name}."""\n'
    add_definition(written, files.test, task.test(), task.test_imports(), title=test_title)
    packages = missing_packages(project, files)
    for path in packages:
        draft.write(path, b"")
    draft.commit()
    return [files.module, files.test, *packages]


def _check_free(project: Project, files: Mirror, class_name: str, *, exists: bool) -> None:
    """Raise `ConfigError` if something is in the way: the class, or, for a new module, any of its files."""
    if exists:
        tree = parse_file(files.module)
        if tree is None:
            raise ConfigError(
                "is not Python that can be read; nothing was written", file=project.relative(files.module)
            )
        names = {getattr(node, "name", "") for node in tree.body}
        if class_name in names:
            raise ConfigError(f"defines {class_name} already; nothing was written", file=project.relative(files.module))
        return
    for path in (files.module, files.test):
        if path.exists() or path.is_symlink():
            raise ConfigError("already exists; nothing was written", file=project.relative(path))
    check_folders(project, files)


# -- dependencies ----------------------------------------------------------------------------------------------------


class _Dependency:
    """Task that a new one needs."""

    def __init__(self, full: str, task: type[luigi.Task]) -> None:
        self.module, _, self.name = full.rpartition(".")
        self.field = "_".join(word.lower() for word in _words(self.name))
        family = task.get_task_family()
        declared = parameters(task).items()
        self.required = [key for key, param in declared if not param.has_task_value(family, key)]
        declared_as = declared_type(task, TaskOnKart) if issubclass(task, TaskOnKart) else None
        self.type_text = type_text(declared_as)
        self.is_sized = isinstance(get_origin(declared_as) or declared_as, type) and hasattr(
            get_origin(declared_as) or declared_as, "__len__"
        )


def _dependencies(project: Project, needs: Sequence[str], name: str) -> list[_Dependency]:
    requested = [word.strip() for text in needs for word in text.split(",")]
    if not requested:
        return []
    tasks, failed = project.import_tasks()
    names = TaskNames(tasks)
    found: dict[str, _Dependency] = {}
    errors: list[ConfigError] = []
    for word in requested:
        try:
            full = names.resolve(word.removeprefix(f"{project.package}."), file="--needs")
            found[full] = _Dependency(full, tasks[full])
        except ConfigError as error:
            errors.append(error)
    raise_all([*errors, *(failed.values() if errors else ())])
    if name in found:
        raise ConfigError(f"{name} cannot need itself", file="--needs")
    return list(found.values())


# -- texts -----------------------------------------------------------------------------------------------------------


class _Task:
    """Texts of a new task."""

    def __init__(
        self, project: Project, module: str, name: str, kind: ResultType, dependencies: list[_Dependency]
    ) -> None:
        self.project, self.module, self.name, self.kind, self.dependencies = project, module, name, kind, dependencies
        self.title = _title(name)
        self.full_module = f"{project.package}.{module}"

    def source(self) -> str:
        """Return the class."""
        lines = [f"class {self.name}(TaskOnKart[{self.kind.annotation}]):", f'    """{self.title}."""', ""]
        members = [f"    {self._field(dependency)}" for dependency in self.dependencies]
        if self.kind.suffix:
            members.append(f'    suffix = ".{self.kind.suffix}"')
        lines += [*members, ""] if members else []
        lines.append("    def run(self) -> None:")
        lines += [f"        {line}" for line in self._body()]
        return "\n".join(lines) + "\n"

    def _body(self) -> list[str]:
        """Return the lines of `run()`: they load what the task needs, and store a value of its type, to edit."""
        names = [item.field for item in self.dependencies]
        lines = [f"{item.field} = self.load(self.{item.field})" for item in self.dependencies]
        if self._passes_on():
            return [*lines, f"self.dump({names[0]})"]
        if not self.kind.empty:
            return [*lines, f"raise NotImplementedError({', '.join(names)})" if names else "raise NotImplementedError"]
        if not names:
            return [f"self.dump({self.kind.empty})"]
        if not self.kind.value:  # nothing that uses what was loaded is of this type
            return [*lines, f"_ = {', '.join(names)}  # compute the result from this", f"self.dump({self.kind.empty})"]
        are_sized = all(item.is_sized for item in self.dependencies)
        size = " + ".join(f"len({name})" for name in names) if are_sized else f"len([{', '.join(names)}])"
        return [*lines, f"self.dump({self.kind.value.replace('SIZE', size)})"]

    def _passes_on(self) -> bool:
        """Return whether the result begins as the only input: they have the same type."""
        return len(self.dependencies) == 1 and self.dependencies[0].type_text == self.kind.annotation

    def _field(self, item: _Dependency) -> str:
        default = "" if item.required else f"default={item.name}"
        head = f"{item.field}: {item.name} = parameter("
        line = f"{head}{default})"
        return line if len(line) <= _LINE - 4 else f"{head}\n        {default}\n    )"

    def imports(self) -> list[tuple[str, str]]:
        """Return module and name of what the class needs."""
        needed = list(self.kind.imports)
        needed += [("kart_runtime", "parameter")] if self.dependencies else []
        needed.append(_base(self.project))
        return needed + [(f"{self.project.package}.{item.module}", item.name) for item in self.dependencies]

    def _reason(self) -> str:
        """Return why the test cannot create the task; "" if it can."""
        for item in self.dependencies:
            if item.required:
                return f"write it: {self.name} takes a {item.name}, which has no default for {', '.join(item.required)}"
        return "" if self.kind.empty or self._passes_on() else f"{self.name}.run() is not written yet"

    def test(self) -> str:
        """Return the test function."""
        name = f"test_{snake_case(self.name)}_returns_{self.kind.noun}"
        check = self.kind.check.replace("RESULT", f"build({self.name}())")
        mark = f'@pytest.mark.skip(reason="{reason}")\n' if (reason := self._reason()) else ""
        return f"{mark}def {name}() -> None:\n    assert {check}\n"

    def test_imports(self) -> list[tuple[str, str]]:
        """Return module and name of what the test needs."""
        mark = [("pytest", "")] if self._reason() else []
        return [*mark, *self.kind.test_imports, ("kart_runtime", "build"), (self.full_module, self.name)]


def _base(project: Project) -> tuple[str, str]:
    """Return module and name of the project's own `TaskOnKart` if its module `base` has one, else of kart's."""
    base = project.package_folder / "base.py"
    if base.is_file() and "TaskOnKart" in _top_names(base):
        return f"{project.package}.base", "TaskOnKart"
    return "kart_runtime", "TaskOnKart"


def _top_names(path: Path) -> set[str]:
    """Return the names that a module imports, defines or assigns, without importing it."""
    tree = parse_file(path)
    names: set[str] = set()
    for statement in tree.body if tree else ():
        if isinstance(statement, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    return names


def _words(class_name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[0-9]+", class_name)


def snake_case(class_name: str) -> str:
    """Return the name of a class in the form of a function."""
    return "_".join(word.lower() for word in _words(class_name))


def _title(class_name: str) -> str:
    """Return a class name as words: EncodeColumns is 'Encode columns'."""
    words = _words(class_name)
    return " ".join([words[0], *(word if word.isupper() and len(word) > 1 else word.lower() for word in words[1:])])
