"""Classes of a project's package as its source shows them, without importing it: which of them are tasks, and where."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.project.project import Project, is_leftover

_TASKS = frozenset({"TaskOnKart", "ExternalTask", "InputFile", "SqlSource", "WrapperTask"})
_LIBRARIES = frozenset({"luigi", "kart_runtime", "gokart"})


@dataclass(frozen=True)
class PackageModule:
    """Module of the package: its dotted name below the package, its file, and its tree; None if it is not Python."""

    name: str
    path: Path
    tree: ast.Module | None

    @property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Classes at the top of the module."""
        body = self.tree.body if self.tree else []
        return {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    @property
    def functions(self) -> list[str]:
        """Names of the public functions at the top of the module."""
        body = self.tree.body if self.tree else []
        functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        return [node.name for node in functions if not node.name.startswith("_")]


@dataclass(frozen=True)
class PackageSource:
    """All modules of a package, by dotted name below it."""

    modules: dict[str, PackageModule]
    tasks: dict[str, set[str]]
    """Module to the names of its task classes; those with an underscore are bases."""
    bases: frozenset[str]
    """Names of the classes that others derive from."""

    def task_names(self) -> dict[str, PackageModule]:
        """Return the full names of the tasks below `tasks`, such as `tasks.model.train.TrainModel`."""
        return {
            f"{name}.{cls}": self.modules[name]
            for name, classes in self.tasks.items()
            for cls in self.modules[name].classes
            if cls in classes and not cls.startswith("_") and name.partition(".")[0] == "tasks"
        }


def read_package(project: Project) -> PackageSource:
    """Return the modules of a project's package, and which of their classes are tasks."""
    modules = {module.name: module for module in _modules(project)}
    known = set(_TASKS)
    tasks: dict[str, set[str]] = {name: set() for name in modules}
    grows = True
    while grows:  # a task may derive from one of a module that comes later
        grows = False
        for name, module in modules.items():
            new = {cls for cls, node in module.classes.items() if _is_task(node, known, module)} - tasks[name]
            tasks[name] |= new
            known |= new
            grows = grows or bool(new)
    nodes = (node for module in modules.values() for node in module.classes.values())
    bases = frozenset(base for node in nodes for base in _base_names(node))
    return PackageSource(modules, tasks, bases)


def _modules(project: Project) -> Iterator[PackageModule]:
    top = project.package_folder
    for path in sorted(top.rglob("*.py")):
        if not is_leftover(path.relative_to(top)):
            parts = path.relative_to(top).with_suffix("").parts
            yield PackageModule(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path, parse_file(path))


def parse_file(path: Path) -> ast.Module | None:
    """Return the syntax tree of a file; None if it cannot be read as Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_task(node: ast.ClassDef, known: set[str], module: PackageModule) -> bool:
    return any(name in known or (name == "Task" and _imports_tasks(module)) for name in _base_names(node))


def _base_names(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        value = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(value, ast.Name | ast.Attribute):
            yield value.id if isinstance(value, ast.Name) else value.attr


def _imports_tasks(module: PackageModule) -> bool:
    """Return whether a module imports a library of tasks, so that its `Task` is one."""
    for node in ast.walk(module.tree) if module.tree else ():
        if isinstance(node, ast.Import) and any(alias.name.partition(".")[0] in _LIBRARIES for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _LIBRARIES:
            return True
    return False
