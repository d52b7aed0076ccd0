"""`repair`: create, complete and move files, so that task modules, configuration and tests mirror each other.

Nothing that a person wrote is overwritten or deleted: files are created, lines are added below others, and files move
where they clearly belong, with the references to them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.edits.python_source import CannotEdit
from kart_runtime.errors import ConfigError
from kart_runtime.project.layout import Kind, Problem, layout_problems, layout_warnings, tasks_outside
from kart_runtime.project.mirror import check_folders, mirror
from kart_runtime.project.names import parameters
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.extraction import add_definition
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.refactor.references import ModuleMove
from kart_runtime.project.refactor.renaming import move_module
from kart_runtime.project.refactor.yaml_file import YamlFile
from kart_runtime.project.scaffold import snake_case
from kart_runtime.project.task_classes import parse_file, read_package
from kart_runtime.task.base import TaskOnKart


def repair(project: Project) -> Iterator[str]:
    """Mend what can be mended, and yield a line for each change.

    Parameters
    ----------
    project
        The project; its task modules are imported.

    Yields
    ------
    str
        What was changed.

    Raises
    ------
    ConfigError
        A file cannot be written.
    """
    for kinds in ((Kind.NAME, Kind.OUTSIDE), (Kind.NO_MODULE,)):  # each may change what the next one sees
        problems, _ = _problems(project)
        for problem in problems:
            if problem.kind in kinds:
                yield from _move(project, problem, problems)
    problems, tasks = _problems(project)
    for problem in [*problems, *layout_warnings(project)]:
        yield from _complete(project, problem, tasks)
    _forget(project)


def _problems(project: Project) -> tuple[list[Problem], dict[str, type[luigi.Task]]]:
    _forget(project)
    tasks, failed = project.import_tasks()
    return layout_problems(project, tasks, failed), tasks


def _forget(project: Project) -> None:
    """Have the modules of the package imported again: their files have changed."""
    inside = f"{project.package}."
    for name in [name for name in sys.modules.copy() if name == project.package or name.startswith(inside)]:
        del sys.modules[name]


# -- moves -----------------------------------------------------------------------------------------------------------


def _move(project: Project, problem: Problem, problems: Iterable[Problem]) -> Iterator[str]:
    try:
        if problem.kind is Kind.NAME:
            yield from _move_module(project, problem.module, problem.names[0])
        elif problem.kind is Kind.OUTSIDE:
            yield from _move_into_tasks(project, problem)
        elif (target := _belongs_to(project, problem, problems)) is not None:
            yield from _move_orphan(project, problem, *target)
    except (CannotEdit, ConfigError) as error:
        if isinstance(getattr(error, "__cause__", None), OSError):
            raise
        # The problem stays, and the check names it.


def _move_module(project: Project, old: str, new: str) -> Iterator[str]:
    package = read_package(project)
    if new in package.modules:
        return
    check_folders(project, mirror(project, new))
    files = ProjectFiles(project)
    move_module(files, old, new, sorted(package.tasks[old]))
    summary = files.draft.summary()
    files.draft.commit()
    yield from summary
    yield f"{new}: its outputs have other ids now, and are computed again"


def _move_into_tasks(project: Project, problem: Problem) -> Iterator[str]:
    """Move a module that holds nothing but tasks into the folder of tasks."""
    package = read_package(project)
    module = package.modules[problem.module]
    others = {*module.classes} - {*tasks_outside(package, module)}
    public = [*module.functions, *(name for name in others if not name.startswith("_"))]
    *folders, name = problem.module.split(".")
    if public or not name or folders[:1] == ["lib"] or module.path.name == "__init__.py" or name.startswith("_"):
        return
    yield from _move_module(project, problem.module, f"tasks.{problem.module}")


def _belongs_to(project: Project, problem: Problem, problems: Iterable[Problem]) -> tuple[str, Path] | None:
    """Return the module and path that a file without a module clearly belongs to, by what it names, or its name."""
    path = project.root / problem.path
    is_test = path.suffix == ".py"
    lacking = {other.module for other in problems if other.kind is Kind.NO_TEST}
    layer = None if is_test else project.conf / path.relative_to(project.conf).parts[0]
    package = read_package(project)
    if layer is not None:
        lacking = {name for name, classes in package.tasks.items() if classes and name.startswith("tasks.")}
    content = _names_in(path)
    by_content = [name for name in lacking if name in package.tasks and content & package.tasks[name]]
    by_name = [name for name in lacking if name.rpartition(".")[2] == problem.module.rpartition(".")[2]]
    candidates = by_content or (by_name if is_test else [])
    if len(candidates) != 1:
        return None
    files = mirror(project, candidates[0])
    relative = files.conf.relative_to(project.conf / "base")
    target = files.test if layer is None else layer / relative
    return None if target.exists() else (candidates[0], target)


def _names_in(path: Path) -> set[str]:
    """Return the keys of a YAML file, or the words that a test may name a task by."""
    if path.suffix == ".yaml":
        return _keys(path)
    tree = parse_file(path)
    names = (node.__dict__ for node in _walk(tree))
    return {str(value) for values in names for key, value in values.items() if key in ("id", "attr", "name")}


def _keys(path: Path) -> set[str]:
    try:
        return set(YamlFile.parse(path.read_bytes(), ()).keys())
    except CannotEdit:
        return set()


def _walk(tree: Any) -> Iterator[Any]:
    return ast.walk(tree) if tree is not None else iter(())


def _move_orphan(project: Project, problem: Problem, module: str, target: Path) -> Iterator[str]:
    path = project.root / problem.path
    files = ProjectFiles(project)
    if path.suffix == ".py":
        classes = sorted(read_package(project).tasks[module])
        move = ModuleMove(f"{project.package}.{problem.module}", f"{project.package}.{module}", classes)
        file = files.python(path)
        files.draft.write(path, file.edited(move.edits(file)))
    files.draft.move(path, target)
    summary = files.draft.summary()
    files.draft.commit()
    yield from summary


# -- what is missing -------------------------------------------------------------------------------------------------


def _complete(project: Project, problem: Problem, tasks: Mapping[str, type[luigi.Task]]) -> Iterator[str]:
    files = ProjectFiles(project)
    draft, path = files.draft, project.root / problem.path
    classes = {name: tasks[f"{problem.module}.{name}"] for name in problem.names if f"{problem.module}.{name}" in tasks}
    if problem.kind not in (Kind.NO_TEST, Kind.EMPTY_TEST):
        return
    try:
        _add_tests(project, files, path, problem.module, classes)
    except CannotEdit:
        return  # the problem stays, and the check names it
    is_new = not path.exists()
    draft.commit()
    yield f"wrote {problem.path}" if is_new else f"added {problem.path}: {', '.join(classes) or problem.module}"


def _add_tests(
    project: Project, files: ProjectFiles, path: Path, module: str, classes: Mapping[str, type[luigi.Task]]
) -> None:
    """Add a test of each class: it has an id, or, if it cannot be made without arguments, a test that is skipped."""
    short = module.rpartition(".")[2]
    title = f'"""Tests of {", ".join(classes) or short}."""\n'
    if not classes:
        text = (
            f'@pytest.mark.skip(reason="write it: {short} has no test")\ndef test_{short}() -> None:\n    assert True\n'
        )
        add_definition(files, path, text, [("pytest", "")], title=title)
    for name, cls in classes.items():
        family = cls.get_task_family()
        missing = [key for key, param in parameters(cls).items() if not param.has_task_value(family, key)]
        imports: list[tuple[str, str]] = [(f"{project.package}.{module}", name)]
        if missing or not issubclass(cls, TaskOnKart):
            reason = f"write it: {name} needs {', '.join(missing) or 'a result to check'}"
            head, body = f'@pytest.mark.skip(reason="{reason}")\n', f"assert {name}.__name__"
            imports.append(("pytest", ""))
        else:
            head, body = "", f"assert {name}().make_unique_id()  # write here what it computes"
        add_definition(files, path, f"{head}def test_{snake_case(name)}() -> None:\n    {body}\n", imports, title=title)
