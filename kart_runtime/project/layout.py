"""Layout rule: every task module has a test, and a configuration file if it sets something; these have their module.

`src/PKG/tasks/x/y.py` ↔ `conf/base/tasks/x/y.yaml` ↔ `tests/tasks/x/test_y.py`
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.tree import GROUPS
from kart_runtime.project.mirror import Mirror, is_module_name, mirror, module_name
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project, distinct_causes, is_leftover
from kart_runtime.project.task_classes import PackageModule, PackageSource, parse_file, read_package


class Kind(enum.Enum):
    """Kind of a problem, by which `kart check --fix` finds what to do."""

    NO_TEST = "no test"
    EMPTY_TEST = "empty test"
    NO_MODULE = "no module"
    NAME = "module name"
    OUTSIDE = "task outside tasks"
    UNTESTED = "untested function"
    OTHER = "other"


@dataclass(frozen=True)
class Problem:
    """File that is missing, incomplete or in the wrong place.

    Attributes
    ----------
    path
        The file, relative to the root of the project.
    message
        What is wrong, and what to do.
    kind
        What kind of problem it is.
    module
        The module below the package that it is about, such as `tasks.model.train`.
    names
        The task classes that it is about.
    """

    path: str
    message: str
    kind: Kind = Kind.OTHER
    module: str = ""
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check_layout(project: Project) -> list[Problem]:
    """Check that task modules, configuration files and tests mirror each other, and that no class name is used twice.

    A module needs a YAML file only for the parameters that it sets, in each environment.

    Parameters
    ----------
    project
        The project; its task modules are imported.

    Returns
    -------
    list of Problem
        The problems, sorted by path; empty if there are none. `layout_warnings` has what is no error.

    Raises
    ------
    ConfigError
        A task module cannot be imported.
    """
    tasks, failed = project.import_tasks()
    raise_all(distinct_causes(list(failed.values())))
    return layout_problems(project, tasks, failed)


def layout_problems(
    project: Project, tasks: Mapping[str, type[luigi.Task]], failed: Mapping[str, ConfigError]
) -> list[Problem]:
    """Return the problems of a project whose task modules have been imported, except of those that failed."""
    by_module: dict[str, list[str]] = {}
    for name in tasks:
        by_module.setdefault(name.rpartition(".")[0], []).append(name.rpartition(".")[2])
    modules = {name: path for name, path in project.task_modules().items() if name not in failed}
    package = read_package(project)
    problems = [
        *_missing(project, modules, by_module),
        *_orphans(project, {*modules, *failed}),
        *_same_names(project, modules, tasks),
        *_names(project, modules, by_module),
        *_outside(project, package),
    ]
    return sorted(problems, key=lambda problem: problem.path)


def layout_warnings(project: Project) -> list[Problem]:
    """Return the modules of `lib` with functions or classes and no test, and the empty test files of task modules."""
    warnings = []
    package = read_package(project)
    for module in package.modules.values():
        folder, classes = module.name.partition(".")[0], tuple(package.tasks.get(module.name, ()))
        test, source = mirror(project, module.name).test, project.relative(module.path)
        if folder == "tasks" and classes and test.is_file() and _is_empty(test):
            message, kind = _no_test_function(source), Kind.EMPTY_TEST
        elif folder == "lib" and not _is_hidden(module.path) and _is_worth_a_test(module) and not test.is_file():
            message, kind = f"missing: no test of {source}. Write one.", Kind.UNTESTED
        else:
            continue
        warnings.append(Problem(project.relative(test), message, kind, module.name, classes))
    return sorted(warnings, key=lambda problem: problem.path)


def _is_worth_a_test(module: PackageModule) -> bool:
    return bool(module.functions or module.classes)


def _is_empty(path: Path) -> bool:
    """Return whether a file holds nothing, as one that somebody means to fill."""
    return not path.read_bytes().strip()


def _no_test_function(source: str) -> str:
    return f"has no test function: {source} is not tested. Write `def test_...`, or run `kart check --fix`."


def _is_hidden(path: Path) -> bool:
    return path.name.startswith("_")


# -- files of a module -----------------------------------------------------------------------------------------------


def _missing(project: Project, modules: Mapping[str, Path], tasks: Mapping[str, list[str]]) -> Iterator[Problem]:
    for module, path in modules.items():
        name, classes = project.relative(path), tuple(tasks.get(module, ()))
        if path.name == "__init__.py":
            if classes:
                yield Problem(name, "define task classes in a module of their own, not in __init__.py")
            continue
        files = mirror(project, module)
        yield from _check_test(project, module, files, classes)


def _check_test(project: Project, module: str, files: Mirror, classes: tuple[str, ...]) -> Iterator[Problem]:
    path, source = project.relative(files.test), project.relative(files.module)
    if not files.test.is_file():
        message = f"missing: the test of {source}. Create it, or run `kart check --fix`."
        yield Problem(path, message, Kind.NO_TEST, module, classes)
        return
    tree = parse_file(files.test)
    if tree is None:
        yield Problem(path, "is not Python that can be read. Correct it.")
    elif not _has_tests(tree) and not _is_empty(files.test):  # of an empty file the warnings tell
        yield Problem(path, _no_test_function(source), Kind.EMPTY_TEST, module, classes)


def _has_tests(tree: ast.Module) -> bool:
    """Return whether a module defines or imports something that pytest collects."""
    return any(_is_test(name) for node in ast.walk(tree) for name in _defined(node))


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.ImportFrom):
        yield from ("test_" if alias.name == "*" else alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_test(name: str) -> bool:
    return name.startswith(("test", "Test"))


# -- names and places ------------------------------------------------------------------------------------------------


def _same_names(
    project: Project, modules: Mapping[str, Path], tasks: Mapping[str, type[luigi.Task]]
) -> Iterator[Problem]:
    """Yield the classes whose name an earlier module has: equal parameters would give them equal unique ids."""
    first: dict[str, str] = {}
    for name, cls in tasks.items():
        path = project.relative(modules[name.rpartition(".")[0]])
        if first.setdefault(cls.get_task_family(), path) != path:
            yield Problem(
                path,
                f"class {cls.__name__} has the name of a task in {first[cls.get_task_family()]}. Rename one of them: "
                f"`kart rename-task {name} NEW`.",
            )


def _names(project: Project, modules: Mapping[str, Path], tasks: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Yield the task modules whose path has a private, upper-case or otherwise invalid name."""
    for module in tasks:
        parts = module.split(".")[1:]
        if modules[module].name == "__init__.py" or all(map(is_module_name, parts)):
            continue
        cls = tasks[module][0]
        new = ".".join(part if is_module_name(part) else module_name(part) for part in parts)
        yield Problem(
            project.relative(modules[module]),
            "names of task modules and their folders are lower case and do not start with _. "
            f"Run `kart rename-task {module}.{cls} {new}.{cls}`.",
            Kind.NAME,
            module,
            (f"tasks.{new}",),
        )


def _outside(project: Project, package: PackageSource) -> Iterator[Problem]:
    """Yield the modules of the package that define tasks outside `tasks`; base classes may be anywhere."""
    for name, module in package.modules.items():
        classes = tuple(cls for cls in module.classes if cls in tasks_outside(package, module))
        if classes:
            folder = project.relative(project.tasks_folder)
            yield Problem(
                project.relative(module.path),
                f"defines {', '.join(classes)}; tasks belong in modules of {folder}/, where they are found. "
                "Move it there, or run `kart check --fix`.",
                Kind.OUTSIDE,
                name,
                classes,
            )


def tasks_outside(package: PackageSource, module: PackageModule) -> Collection[str]:
    """Return the tasks of a module that is not below `tasks`, without bases of others."""
    if module.name.partition(".")[0] in ("tasks", "base"):
        return ()
    return {cls for cls in package.tasks[module.name] if not cls.startswith("_")} - package.bases


def _orphans(project: Project, modules: Iterable[str]) -> Iterator[Problem]:
    known = set(modules)
    for layer in sorted(path for path in project.conf.iterdir() if path.is_dir() and path.name != GROUPS):
        for path in _files(project.conf, layer / "tasks", "*.yaml"):
            module = ".".join(path.relative_to(layer).with_suffix("").parts)
            if module not in known:
                yield _no_module(project, path, module)
    for path in _files(project.tests, project.tests / "tasks", "test_*.py"):
        parts = path.relative_to(project.tests).with_suffix("").parts
        module = ".".join((*parts[:-1], parts[-1].removeprefix("test_")))
        if module not in known:
            yield _no_module(project, path, module)


def _files(top: Path, folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder of `top`, without those that editors leave behind."""
    return sorted(path for path in folder.rglob(pattern) if not is_leftover(path.relative_to(top)))


def _no_module(project: Project, path: Path, module: str) -> Problem:
    source = project.relative(mirror(project, module).module)
    message = f"has no task module: {source} does not exist. Create it, or rename or delete this file."
    return Problem(project.relative(path), message, Kind.NO_MODULE, module)
