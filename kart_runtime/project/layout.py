"""Layout rule: every task module has a configuration file and a test, and these have their module.

`src/PKG/tasks/x/y.py` ↔ `conf/base/tasks/x/y.yaml` ↔ `tests/tasks/x/test_y.py`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import luigi

from kart_runtime.project.mirror import mirror
from kart_runtime.project.project import Project, is_leftover


@dataclass(frozen=True)
class Problem:
    """File that is missing, or that has no task module.

    Attributes
    ----------
    path
        The file, relative to the root of the project.
    message
        What is wrong, and what to do.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check_layout(project: Project) -> list[Problem]:
    """Check that task modules, configuration files and tests mirror each other, and that no class name is used twice.

    A module without task classes needs no YAML. Environments need only the files that they change.

    Parameters
    ----------
    project
        The project; its task modules are imported.

    Returns
    -------
    list of Problem
        The problems, sorted by path; empty if there are none.

    Raises
    ------
    ConfigError
        A task module cannot be imported.
    """
    tasks = project.load_tasks()
    with_tasks = {name.rpartition(".")[0] for name in tasks}
    modules = project.task_modules()
    problems = [*_missing(project, modules, with_tasks), *_orphans(project, modules)]
    problems += _same_names(project, modules, tasks)
    return sorted(problems, key=lambda problem: problem.path)


def _missing(project: Project, modules: dict[str, Path], with_tasks: set[str]) -> Iterator[Problem]:
    for module, path in modules.items():
        name = project.relative(path)
        if path.name == "__init__.py":
            if module in with_tasks:
                yield Problem(name, "define task classes in a module of their own, not in __init__.py")
            continue
        files = mirror(project, module)
        if module in with_tasks and not files.conf.is_file():
            yield Problem(
                project.relative(files.conf), f"missing: {name} defines tasks. Create the file, if only with a comment."
            )
        if not files.test.is_file():
            yield Problem(project.relative(files.test), f"missing: the test of {name}. Create it.")


def _same_names(project: Project, modules: dict[str, Path], tasks: dict[str, type[luigi.Task]]) -> Iterator[Problem]:
    """Yield the classes whose name an earlier module has: equal parameters would give them equal unique ids."""
    first: dict[str, str] = {}
    for name, cls in tasks.items():
        path = project.relative(modules[name.rpartition(".")[0]])
        if first.setdefault(cls.get_task_family(), path) != path:
            yield Problem(
                path,
                f"class {cls.__name__} has the name of a task in {first[cls.get_task_family()]}. Rename one of them.",
            )


def _orphans(project: Project, modules: Iterable[str]) -> Iterator[Problem]:
    known = set(modules)
    for layer in sorted(path for path in project.conf.iterdir() if path.is_dir()):
        for path in _files(project.conf, layer / "tasks", "*.yaml"):
            module = ".".join(path.relative_to(layer).with_suffix("").parts)
            if module not in known:
                yield Problem(project.relative(path), _no_module(project, module))
    for path in _files(project.tests, project.tests / "tasks", "test_*.py"):
        parts = path.relative_to(project.tests).with_suffix("").parts
        module = ".".join((*parts[:-1], parts[-1].removeprefix("test_")))
        if module not in known:
            yield Problem(project.relative(path), _no_module(project, module))


def _files(top: Path, folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder of `top`, without those that editors leave behind."""
    return sorted(path for path in folder.rglob(pattern) if not is_leftover(path.relative_to(top)))


def _no_module(project: Project, module: str) -> str:
    path = project.relative(mirror(project, module).module)
    return f"has no task module: {path} does not exist. Create it, or rename or delete this file."
