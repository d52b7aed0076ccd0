"""`rename_task`: another name or module for a task, with its configuration, its test and every reference to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import luigi
import yaml

from kart_runtime.edits.draft import Draft
from kart_runtime.edits.python_source import CannotEdit
from kart_runtime.errors import ConfigError
from kart_runtime.project.mirror import check_class_name, check_folders, mirror, missing_packages, split_name
from kart_runtime.project.names import TaskNames
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.extraction import extract
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.refactor.references import ClassRename, ModuleMove, new_suffix
from kart_runtime.project.refactor.yaml_file import YamlFile, interpolation_edits, scalar_edit
from kart_runtime.project.task_classes import PackageSource, read_package

_EXPECTED = "ClassName, to stay in its module, or MODULE.ClassName, such as features.encode.EncodeColumns"


@dataclass
class Refactoring:
    """Planned change of a project.

    Attributes
    ----------
    draft
        The changes; `draft.commit()` makes them.
    old, new
        Full names of the task before and after; `new` is "" for one that goes.
    mentions
        Lines that still name the task, which a person has to change.
    notes
        What else to do.
    """

    draft: Draft
    old: str
    new: str = ""
    mentions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve_task(package: PackageSource, project: Project, name: str) -> str:
    """Return the full name of a task, as the sources show it; raise `ConfigError` unless it is unique."""
    names = TaskNames(dict.fromkeys(package.task_names(), luigi.Task))
    return names.resolve(name.removeprefix(f"{project.package}."), file="command line")


def rename_task(project: Project, old: str, new: str) -> Refactoring:
    """Plan another name, another module, or both, for a task.

    Parameters
    ----------
    project
        The project. Nothing of it is imported.
    old
        Class name of the task, or a longer dotted suffix.
    new
        Class name, to stay in its module, or `MODULE.ClassName`.

    Returns
    -------
    Refactoring
        The changes, not made yet.

    Raises
    ------
    ConfigError
        The task is unknown, the new name is invalid or taken, or a file that mentions the task cannot be read.
    """
    package = read_package(project)
    full = resolve_task(package, project, old)
    module, _, cls = full.rpartition(".")
    if "." in new:
        new_module, new_cls = split_name(project, new, _EXPECTED)
    else:
        new_module, new_cls = module, new
        check_class_name(new, new, _EXPECTED)
    target = f"{new_module}.{new_cls}"
    _check_target(package, project, full, target)
    files = ProjectFiles(project)
    if new_cls != cls:
        rename_class(files, module, cls, new_cls)
    if new_module != module:
        alone = package.tasks[module] & set(package.modules[module].classes) == {cls}
        if alone and new_module not in package.modules:
            move_module(files, module, new_module, [new_cls])
        else:
            extract(files, module, new_cls, new_module, package.tasks[module])
    words = [cls] if new_cls != cls else []
    if files.draft.read(mirror(project, module).module) is None:
        words += module_words(project, module)
    mentions = files.mentions(words) if words else []
    return Refactoring(files.draft, full, target, mentions)


def module_words(project: Project, module: str) -> list[str]:
    """Return the forms in which texts name a module that moves or goes."""
    folders, _, name = module.replace(".", "/").rpartition("/")
    return [f"{project.package}.{module}", module, f"{folders}/{name}", f"{folders}/test_{name}"]


def _check_target(package: PackageSource, project: Project, full: str, target: str) -> None:
    if target == full:
        raise ConfigError(f"{target} is the name that the task has", file="command line")
    module, _, cls = target.rpartition(".")
    others = {name for name in package.task_names() if name.rpartition(".")[2] == cls and name != full}
    if others:
        path = project.relative(package.task_names()[min(others)].path)
        raise ConfigError(f"there is a task {cls} already; choose another name. Nothing was changed", file=path)
    own = package.modules.get(module)
    if own is None:
        check_folders(project, mirror(project, module))
    elif own.path.name == "__init__.py":
        folder = project.relative(own.path.parent)
        raise ConfigError("is a folder, so a module cannot have this name. Nothing was changed", file=folder)
    elif own.tree is None:
        raise ConfigError("is not Python that can be read", file=project.relative(own.path))
    elif cls in own.classes or cls in own.functions:
        raise ConfigError(f"has a {cls} already. Nothing was changed", file=project.relative(own.path))


def rename_class(files: ProjectFiles, module: str, old: str, new: str) -> None:
    """Rename a class of a module everywhere."""
    full = f"{files.project.package}.{module}"
    rename = ClassRename(full, old, new)
    homes: set[str] = set()
    while homes != rename.homes:  # a package may export what another one exports
        homes = set(rename.homes)
        for path in files.mentioning([old], ".py"):
            if files.module(path):
                _collect_homes(files, path, rename)
    files.edit_python([old], rename.edits)
    keys = (*module.split("."), old)

    def edits(file: YamlFile) -> list[tuple[int, int, str]]:
        found = [scalar_edit(file, node, new) for place, node, is_key in file.scalars() if is_key and place == keys]
        found += run_task_edits(file, ".".join(keys), f"{module}.{new}")
        return found + interpolation_edits(file.text, ".".join(keys), f"{module}.{new}")

    files.edit_yaml([old], edits)


def _collect_homes(files: ProjectFiles, path: Path, rename: ClassRename) -> None:
    try:
        rename.edits(files.python(path))
    except CannotEdit:
        return  # raised, with all others, when the file is edited


def run_task_edits(file: YamlFile, old: str, new: str) -> list[tuple[int, int, str]]:
    """Return the edit of `run.task`, which may be any dotted suffix of a name."""
    return [
        scalar_edit(file, node, new_suffix(node.value, f"_.{old}", f"_.{new}"))
        for place, node, is_key in file.scalars()
        if place == ("run", "task") and not is_key and f".{old}".endswith(f".{node.value}")
    ]


def move_module(files: ProjectFiles, old: str, new: str, classes: list[str]) -> None:
    """Move a whole module with its configuration and test, and follow it everywhere."""
    project, draft = files.project, files.draft
    before, after = mirror(project, old), mirror(project, new)
    layers = files.conf_files(old)
    move = ModuleMove(f"{project.package}.{old}", f"{project.package}.{new}", classes)
    words = [old.rpartition(".")[2]]
    files.edit_python(words, move.edits)
    _move_in_yaml(files, old, new, classes)
    draft.move(before.module, after.module)
    for layer, path in layers.items():
        draft.move(path, layer.joinpath(*new.split(".")).with_suffix(".yaml"))
    if draft.read(before.test) is not None:
        draft.move(before.test, after.test)
    files.drop_empty_package(before.module.parent)
    for path in missing_packages(project, after):
        draft.write(path, b"")


def _move_in_yaml(files: ProjectFiles, old: str, new: str, classes: list[str]) -> None:
    path = tuple(old.split("."))

    def edits(file: YamlFile) -> list[tuple[int, int, str]]:
        inner = [node for place, node, is_key in file.scalars() if is_key and place == path]
        if inner:
            raise CannotEdit(f"line {_line(inner[0])}: sets {old}. Move it to a file of its own, {'/'.join(path)}.yaml")
        found = []
        for cls in classes:
            found += run_task_edits(file, f"{old}.{cls}", f"{new}.{cls}")
        return found + interpolation_edits(file.text, old, new)

    files.edit_yaml([path[-1], *classes], edits)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
