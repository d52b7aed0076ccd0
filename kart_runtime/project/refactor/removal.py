"""`remove_task`: a task goes with its configuration, its test and its imports, if nothing uses it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from kart_runtime.edits.python_source import CannotEdit, Edit
from kart_runtime.errors import ConfigError
from kart_runtime.project.mirror import Mirror, mirror
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.extraction import (
    cut_block,
    definition,
    definitions,
    remove_definitions,
    tests_of,
)
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.refactor.python_file import Import, PythonFile
from kart_runtime.project.refactor.renaming import Refactoring, module_words, resolve_task
from kart_runtime.project.refactor.yaml_file import YamlFile, interpolation_edits
from kart_runtime.project.task_classes import read_package


def remove_task(project: Project, name: str) -> Refactoring:
    """Plan the removal of a task that nothing else uses.

    Parameters
    ----------
    project
        The project. Nothing of it is imported.
    name
        Class name of the task, or a longer dotted suffix.

    Returns
    -------
    Refactoring
        The changes, not made yet.

    Raises
    ------
    ConfigError
        The task is unknown, something uses it (each place is named), or a file that mentions it cannot be read.
    """
    package = read_package(project)
    full = resolve_task(package, project, name)
    module, _, cls = full.rpartition(".")
    files = ProjectFiles(project)
    mirrored = mirror(project, module)
    others = package.tasks[module] & set(package.modules[module].classes) - {cls}
    removal = _Removal(files, module, cls, mirrored, others)
    removal.remove()
    words = [cls, *(() if others else module_words(project, module))]
    return Refactoring(files.draft, full, "", files.mentions(words), removal.notes)


class _Removal:
    """One removal: first every use is looked for, then the files change."""

    def __init__(self, files: ProjectFiles, module: str, cls: str, mirrored: Mirror, others: set[str]) -> None:
        self.files, self.module, self.cls, self.mirrored, self.others = files, module, cls, mirrored, others
        self.full = f"{files.project.package}.{module}"
        self.notes: list[str] = []

    def remove(self) -> None:
        """Change the files; raise `ConfigError` with every use that is in the way."""
        self._check_uses()
        own = {self.mirrored.module, self.mirrored.test}
        self.files.edit_python([self.cls], lambda file: [*self._imports(file)])
        if self.others or self._has_more():
            self._remove_class()
        else:
            for path in own:
                self._delete(path)
        self._remove_configuration()
        self.files.drop_empty_package(self.mirrored.module.parent)

    def _has_more(self) -> bool:
        """Return whether another file uses something else of the module, which stays then."""
        for path in self.files.mentioning([self.module.rpartition(".")[2]], ".py", ".ipynb"):
            if path in (self.mirrored.module, self.mirrored.test):
                continue
            file = self.files.python(path)
            if any(item.module == self.full and item.alias.name != self.cls for item in file.imports):
                return True
            if any(item.full == self.full for item in file.imports):
                return True
        return False

    def _delete(self, path: Path) -> None:
        if self.files.draft.read(path) is not None:
            self.files.draft.write(path, None)

    # -- uses

    def _check_uses(self) -> None:
        errors: list[ConfigError] = []
        for path in self.files.mentioning([self.cls], ".py", ".ipynb"):
            name = self.files.draft.name(path)
            try:
                file = self.files.python(path)
                places = dict(self._uses(path, file))
            except CannotEdit as error:
                errors.append(ConfigError(str(error), file=name))
                continue
            errors += [self._in_the_way(f"{name}, {place}", text) for place, text in places.items()]
        for path in self.files.mentioning([self.cls], ".yaml"):
            if path.is_relative_to(self.files.project.conf):
                errors += self._uses_in_yaml(path)
        raise_all(errors)

    def _in_the_way(self, place: str, text: str) -> ConfigError:
        return ConfigError(f"uses {self.cls}: {text.strip()}. Remove that first", file=place)

    def _uses(self, path: Path, file: PythonFile) -> Iterator[tuple[str, str]]:
        """Yield place and text of each line that uses the class, its own definition and tests aside."""
        lines = file.source.text.decode().splitlines()
        for node in self._using_nodes(path, file):
            yield file.place(node), lines[node.lineno - 1]

    def _using_nodes(self, path: Path, file: PythonFile) -> Iterator[ast.expr]:
        if path == self.mirrored.test and not self.others:
            return  # goes as a whole
        own = self._own_nodes(path, file)
        target = f"{self.full}.{self.cls}"
        names = {item.local for item in self._imported(file)}
        if path == self.mirrored.module:
            names.add(self.cls)
        if any(item.module == self.full and item.alias.name == "*" for item in file.imports):
            names.add(self.cls)
        for node in file.nodes:
            if id(node) in own:
                continue
            is_name = isinstance(node, ast.Name) and node.id in names
            is_text = isinstance(node, ast.Constant) and node.value == self.cls and bool(names)
            if isinstance(node, ast.expr) and (is_name or is_text):
                yield node
        for chain, full in file.dotted():
            if isinstance(chain, ast.Attribute) and full == target and id(chain) not in own:
                yield chain

    def _own_nodes(self, path: Path, file: PythonFile) -> set[int]:
        """Return the nodes of what goes with the class: its definition, and the tests that are of nothing else."""
        gone: list[ast.AST] = []
        if path == self.mirrored.module:
            gone = [definition(file, self.cls)]
        elif path == self.mirrored.test:
            gone = [*tests_of(file, self.cls, self.others)]
        return {id(inner) for node in gone for inner in ast.walk(node)}

    def _imported(self, file: PythonFile) -> list[Import]:
        return [item for item in file.imports if item.module == self.full and item.alias.name == self.cls]

    def _uses_in_yaml(self, path: Path) -> list[ConfigError]:
        try:
            file = self.files.yaml(path)
        except CannotEdit as error:
            return [ConfigError(str(error), file=self.files.draft.name(path))]
        found = interpolation_edits(file.text, f"{self.module}.{self.cls}", "")
        own = path in self.files.conf_files(self.module).values()
        blocks = [(block.start, block.end) for block in file.blocks() if block.key == self.cls] if own else []
        lines = file.text.splitlines()
        places = sorted(
            {
                file.text.count("\n", 0, start)
                for start, _, _ in found
                if not any(first <= start < last for first, last in blocks)
            }
        )
        name = self.files.draft.name(path)
        return [self._in_the_way(f"{name}:{line + 1}", lines[line]) for line in places]

    # -- changes

    def _imports(self, file: PythonFile) -> Iterator[Edit]:
        if file.module == self.full:
            return
        done: set[int] = set()
        for item in self._imported(file):
            if id(item.statement) not in done:
                done.add(id(item.statement))
                yield file.remove_import(item, self._imported(file))

    def _remove_class(self) -> None:
        files, test = self.files, self.mirrored.test
        file = files.python(self.mirrored.module)
        remove_definitions(files, self.mirrored.module, [definition(file, self.cls)])
        if files.draft.read(test) is not None:
            file = files.python(test)
            remove_definitions(files, test, tests_of(file, self.cls, self.others))
            self._note_empty(test)
        elsewhere = definitions(files.python(self.mirrored.module))
        if not self.others and elsewhere:
            kept = ", ".join(sorted(elsewhere))
            self.notes.append(f"{files.draft.name(self.mirrored.module)} stays, because other files use it: {kept}.")

    def _note_empty(self, test: Path) -> None:
        body = self.files.python(test).source.tree.body
        if not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) for node in body):
            self.notes.append(f"{self.files.draft.name(test)} has no test left. Write one.")

    def _remove_configuration(self) -> None:
        for path in self.files.conf_files(self.module).values():
            block, text = cut_block(self.files, path, self.cls)
            try:
                keys = self.files.yaml(path).keys()
            except CannotEdit as error:
                raise ConfigError(str(error), file=self.files.draft.name(path)) from error
            if set(keys) <= {self.cls}:
                self._delete(path)
            elif block is not None:
                self.files.draft.write(path, text.encode())
        self.files.edit_yaml([self.cls], self._run_task)
        self._check_nested()

    def _run_task(self, file: YamlFile) -> list[tuple[int, int, str]]:
        edits = []
        for place, node, is_key in file.scalars():
            full = f".{self.module}.{self.cls}"
            if place == ("run", "task") and not is_key and full.endswith(f".{node.value}"):
                start = file.text.rfind("\n", 0, node.start_mark.index) + 1
                end = file.text.find("\n", node.end_mark.index) + 1 or len(file.text)
                if file.prefix == ("run",) and file.text[start:].startswith("task"):
                    edits.append((start, end, ""))
                else:
                    edits.append((node.start_mark.index, node.end_mark.index, "null"))
                self.notes.append(f"run.task was {node.value}: set it to another task, in conf/base/run.yaml.")
        return edits

    def _check_nested(self) -> None:
        """Raise `ConfigError` for a file that sets the task in a map of its modules."""
        errors = []
        keys = (*self.module.split("."), self.cls)
        for path in self.files.mentioning([self.cls], ".yaml"):
            if path.is_relative_to(self.files.project.conf) and path.parent != self.files.project.conf:
                file = self.files.yaml(path)
                errors += [
                    ConfigError(
                        f"sets {'.'.join(keys)}. Remove that first",
                        file=f"{self.files.draft.name(path)}:{node.start_mark.line + 1}",
                    )
                    for place, node, is_key in file.scalars()
                    if is_key and place == keys
                ]
        raise_all(errors)
