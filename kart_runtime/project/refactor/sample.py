"""`remove_sample`: the sample of a generated project goes, and what the user has written stays and works."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from kart_runtime.edits.draft import Draft
from kart_runtime.edits.python_source import CannotEdit
from kart_runtime.errors import ConfigError
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.refactor.python_file import PythonFile
from kart_runtime.project.template.git import in_repository, uncommitted
from kart_runtime.project.template.sample import SAMPLE, Sample, SampleEdit, read_sample

_GONE = "generate a project anew to have one"


@dataclass
class SampleRemoval:
    """Planned removal of a sample.

    Attributes
    ----------
    draft
        The changes; `draft.commit()` makes them.
    changed
        Files of the sample that go although the user has changed them.
    notes
        What stays of it, and why.
    documents
        Files that still name its tasks.
    """

    draft: Draft
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)


def remove_sample(project: Project, *, changed: bool = False, allow_dirty: bool = False) -> SampleRemoval:
    """Plan the removal of the sample that a project was generated with.

    Parameters
    ----------
    project
        The project. Nothing of it is imported.
    changed
        Also remove files of the sample that the user has changed.
    allow_dirty
        Also remove changes that are not committed, or of a project outside git.

    Returns
    -------
    SampleRemoval
        The changes, not made yet.

    Raises
    ------
    ConfigError
        The project has no sample, or the user has changed it or uses it; each place is named.
    """
    sample = read_sample(project.root)
    if sample is None:
        raise ConfigError(f"{SAMPLE} is missing, so this project has no sample, or not any more; {_GONE}")
    return _Removal(project, sample).plan(changed=changed, allow_dirty=allow_dirty)


class _Removal:
    """One removal: first the files change in a draft, then what is left is searched for uses of what is gone."""

    def __init__(self, project: Project, sample: Sample) -> None:
        self.project, self.sample = project, sample
        self.files = ProjectFiles(project)
        self.draft = self.files.draft
        self.paths = [project.root / name for name in sample.files if (project.root / name).is_file()]
        self.result = SampleRemoval(self.draft)

    def plan(self, *, changed: bool, allow_dirty: bool) -> SampleRemoval:
        """Return the removal; raise `ConfigError` with everything that is in the way."""
        _ = self.classes, self.fixtures  # read before the files are gone
        edited = [path for path in self.paths if not self._is_unchanged(path)] + self._other_configuration()
        if changed and edited:
            self._check_committed(edited, allow_dirty=allow_dirty)
        for path in {*self.paths, *edited}:
            self.draft.write(path, None)
        for path in self.paths:
            self.files.drop_empty_package(path.parent)
        self._edit()
        self.draft.write(self.project.root / SAMPLE, None)
        self.result.changed = [self.draft.name(path) for path in edited]
        refusals = [] if changed else [self._changed_error(name) for name in self.result.changed]
        raise_all([*refusals, *self._uses()])
        self.result.documents = self._documents()
        return self.result

    # -- the sample

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Dotted names of the sample's modules."""
        return {module: path for path in self.paths if (module := self.files.module(path))}

    @cached_property
    def classes(self) -> set[str]:
        """Task classes of the sample."""
        trees = (self._tree(path) for module, path in self.modules.items() if ".tasks." in module)
        return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}

    @cached_property
    def fixtures(self) -> dict[str, Path]:
        """Fixtures that the sample's tests share, and their folders."""
        own = [path for path in self.paths if path.name == "conftest.py"]
        return {
            node.name: path.parent
            for path in own
            for node in self._tree(path).body
            if isinstance(node, ast.FunctionDef) and "fixture" in "".join(map(ast.unparse, node.decorator_list))
        }

    def _tree(self, path: Path) -> ast.Module:
        try:
            return self.files.python(path).source.tree
        except CannotEdit as error:
            raise ConfigError(str(error), file=self.draft.name(path)) from error

    def _is_unchanged(self, path: Path) -> bool:
        return self.sample.is_unchanged(self.draft.name(path), self.draft.read(path) or b"")

    def _other_configuration(self) -> list[Path]:
        """Return the YAML files that the user has added for the sample's tasks, of any environment."""
        own = {*self.paths}
        short = [module.partition(".")[2] for module in self.modules if ".tasks." in module]
        found = [path for module in short for path in self.files.conf_files(module).values() if path not in own]
        return sorted(found)

    def _check_committed(self, paths: list[Path], *, allow_dirty: bool) -> None:
        if allow_dirty:
            return
        root = self.project.root
        if not in_repository(root):
            raise ConfigError(
                "the project is not in a git repository, so your changes of the sample would be lost. Commit it first "
                "(git init, git add --all, git commit), or pass --allow-dirty"
            )
        if dirty := uncommitted(root, *(self.draft.name(path) for path in paths)):
            names = ", ".join(dirty)
            raise ConfigError(f"not committed yet: {names}. Commit it first, or pass --allow-dirty to lose it")

    def _changed_error(self, name: str) -> ConfigError:
        if name.endswith(".yaml"):
            text = "sets other values of the sample's tasks. Pass --changed to remove it, too"
        else:
            text = (
                "is part of the sample, and you have changed it. Move what you want to keep to a module of your own "
                "(kart rename-task), or pass --changed to remove it, too"
            )
        return ConfigError(text, file=name)

    # -- lines about it

    def _edit(self) -> None:
        by_file: dict[str, list[SampleEdit]] = {}
        for edit in self.sample.edits:
            by_file.setdefault(edit.file, []).append(edit)
        for name, edits in by_file.items():
            path = self.project.root / name
            data = self.draft.read(path)
            if data is not None:
                self._edit_file(path, data.decode("utf-8"), edits)

    def _edit_file(self, path: Path, text: str, edits: list[SampleEdit]) -> None:
        """Take the lines about the sample out of one file; code that has changed there stays as it is."""
        name, left = self.draft.name(path), 0
        for edit in edits:
            if edit.unless and (user := self._importing(edit.unless)):
                self._note(f"{name} keeps {edit.old.strip().strip(',')}: {user} imports {edit.unless}.")
                continue
            applied = edit.applied(text)
            left += applied is None
            text = text if applied is None else applied
        if not left:
            self.draft.write(path, text.encode("utf-8"))
        elif path.suffix not in (".py", ".ipynb"):
            self.draft.write(path, text.encode("utf-8"))
            if any(_is_left(edit, text) for edit in edits):
                self._note(f"{name} has changed where it is about the sample: look it through.")

    def _note(self, text: str) -> None:
        if text not in self.result.notes:
            self.result.notes.append(text)

    def _importing(self, module: str) -> str:
        """Return a file that is left and imports a library; "" if none does."""
        for path in self.files.mentioning([module], ".py", ".ipynb"):
            if not self._is_edited(path) and any(
                item.full.partition(".")[0] == module for item in self._python(path).imports
            ):
                return self.draft.name(path)
        return ""

    def _is_edited(self, path: Path) -> bool:
        return any(edit.file == self.draft.name(path) for edit in self.sample.edits)

    def _python(self, path: Path) -> PythonFile:
        try:
            return self.files.python(path)
        except CannotEdit as error:
            raise ConfigError(str(error), file=self.draft.name(path)) from error

    # -- uses

    def _uses(self) -> Iterator[ConfigError]:
        """Yield an error for each line that is left and uses something of the sample."""
        for path in self.files.paths(".py", ".ipynb"):
            places = self._uses_in_python(path)
            if places and self._is_edited(path):
                lines = ", ".join(place.removeprefix(", ") for place in places)
                text = (
                    f"is about the sample, and you have changed it. Take out what it says of the sample first: {lines}"
                )
                yield ConfigError(text, file=self.draft.name(path))
            else:
                yield from (self._use(path, place, text) for place, text in places.items())
        for path in self.files.paths(".yaml"):
            if path.is_relative_to(self.project.conf):
                text = (self.draft.read(path) or b"").decode("utf-8", "replace")
                yield from self._uses_in_text(path, text)

    def _use(self, path: Path, place: str, text: str) -> ConfigError:
        name = f"{self.draft.name(path)}{place}"
        return ConfigError(f"uses the sample: {text.strip()}. Change that first", file=name)

    def _uses_in_python(self, path: Path) -> dict[str, str]:
        data = self.draft.read(path) or b""
        words = [*self.classes, *self.fixtures, *self._data(), *(name.rpartition(".")[2] for name in self.modules)]
        if not any(word.encode() in data for word in words):
            return {}
        file = self._python(path)
        lines = file.source.text.decode("utf-8", "replace").splitlines()
        places: dict[str, str] = {}
        for node in self._using_nodes(path, file):
            places.setdefault(f", {file.place(node)}", lines[node.lineno - 1])
        return places

    def _using_nodes(self, path: Path, file: PythonFile) -> Iterator[ast.stmt | ast.expr | ast.arg]:
        for item in file.imports:
            if any(f"{item.full}.".startswith(f"{module}.") for module in self.modules):
                yield item.statement
        fixtures = {name for name, folder in self.fixtures.items() if path.is_relative_to(folder)}
        for node in file.nodes:
            if isinstance(node, ast.arg) and node.arg in fixtures:
                yield node
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                last = re.split(r"[./\\]", node.value)[-1]
                if last in self.classes or PurePosixPath(node.value).name in self._data():
                    yield node

    def _data(self) -> set[str]:
        return {PurePosixPath(name).name for name in self.sample.files if name.startswith("data/")}

    def _uses_in_text(self, path: Path, text: str) -> Iterator[ConfigError]:
        words = "|".join(map(re.escape, [*self.classes, *self._data()])) or "(?!)"
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(rf"(?<!\w)(?:{words})(?!\w)", line.partition("#")[0]):
                yield self._use(path, f":{number}", line)

    def _documents(self) -> list[str]:
        places = self.files.mentions(sorted(self.classes)) if self.classes else []
        return list(dict.fromkeys(place.partition(":")[0] for place in places))


def _is_left(edit: SampleEdit, text: str) -> bool:
    """Return whether a line about the sample is still in a text."""
    lines = {line.strip() for line in text.splitlines()}
    about = [line.strip() for line in edit.old.splitlines() if line.strip() and line not in edit.new.splitlines()]
    return not edit.unless and any(line in lines for line in about)
