"""Files of a project that may refer to a task, read into a draft: Python, notebooks, configuration and documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kart_runtime.edits.draft import Draft
from kart_runtime.edits.files import files_below
from kart_runtime.edits.python_source import CannotEdit, Edit
from kart_runtime.errors import ConfigError
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project, is_leftover
from kart_runtime.project.refactor.notebooks import code_lines
from kart_runtime.project.refactor.python_file import PythonFile
from kart_runtime.project.refactor.yaml_file import YamlFile, appended

_DOCUMENTS = frozenset({".md", ".rst", ".txt", ".toml", ".cfg", ".ini", ".sh", ".py", ".yaml", ".yml", ".ipynb"})
_NAMED = frozenset({"Makefile", "Dockerfile", "crontab"})
_LARGEST = 2_000_000
"""Bytes of the largest file that is searched; data and logs are larger."""


class ProjectFiles:
    """Draft of a project with its files, parsed when they mention a word that a change is about."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.draft = Draft(project.root)
        workflows = sorted((project.root / ".github").rglob("*.yml"))
        self._paths = [path for path in [*files_below(project.root), *workflows] if not self._is_output(path)]
        self._parsed: dict[tuple[Path, bytes], PythonFile] = {}

    def _is_output(self, path: Path) -> bool:
        own = (self.project.package_folder, self.project.conf, self.project.tests)
        in_own = any(path.is_relative_to(folder) for folder in own)
        return not in_own and path.relative_to(self.project.root).parts[0] in {"outputs", "vendor"}

    def paths(self, *suffixes: str) -> list[Path]:
        """Return the files with these suffixes as they will be."""
        changes = self.draft.changes()
        known = {*self._paths, *changes}
        return sorted(path for path in known if path.suffix in suffixes and self.draft.read(path) is not None)

    def python(self, path: Path) -> PythonFile:
        """Return a Python file or notebook; raise `CannotEdit` if it cannot be parsed."""
        data = self.draft.read(path) or b""
        key = (path, data)
        if key not in self._parsed:
            module = self.module(path)
            is_package = path.name == "__init__.py"
            is_notebook = path.suffix == ".ipynb"
            self._parsed[key] = PythonFile.parse(data, module=module, is_package=is_package, is_notebook=is_notebook)
        return self._parsed[key]

    def module(self, path: Path) -> str:
        """Return the dotted name of a module of the package; "" for other files."""
        folder = self.project.package_folder
        if not path.is_relative_to(folder) or path.suffix != ".py":
            return ""
        parts = path.relative_to(folder).with_suffix("").parts
        return ".".join((self.project.package, *(parts[:-1] if parts[-1] == "__init__" else parts)))

    def mentioning(self, words: Iterable[str], *suffixes: str) -> Iterator[Path]:
        """Yield the files with one of these words."""
        patterns = [word.encode() for word in words]
        for path in self.paths(*suffixes):
            data = self.draft.read(path) or b""
            if any(pattern in data for pattern in patterns):
                yield path

    def edit_python(self, words: Sequence[str], edits: Callable[[PythonFile], list[Edit]]) -> None:
        """Apply edits to each Python file and notebook with one of these words; raise all that cannot be changed."""
        errors: list[ConfigError] = []
        for path in self.mentioning(words, ".py", ".ipynb"):
            try:
                file = self.python(path)
                if changes := edits(file):
                    self.draft.write(path, file.edited(changes))
            except CannotEdit as error:
                errors.append(ConfigError(str(error), file=self.draft.name(path)))
        raise_all(errors)

    def edit_yaml(self, words: Sequence[str], edits: Callable[[YamlFile], list[tuple[int, int, str]]]) -> None:
        """Apply edits to each file of the configuration with one of these words."""
        errors: list[ConfigError] = []
        for path in self.mentioning(words, ".yaml", ".yml"):
            if not path.is_relative_to(self.project.conf) or path.parent == self.project.conf:
                continue
            try:
                file = self.yaml(path)
                if changes := edits(file):
                    self.draft.write(path, file.replaced(changes).encode())
            except CannotEdit as error:
                errors.append(ConfigError(str(error), file=self.draft.name(path)))
        raise_all(errors)

    def yaml(self, path: Path) -> YamlFile:
        """Return a file of the configuration; raise `CannotEdit` if it cannot be parsed."""
        prefix = path.relative_to(self.project.conf).with_suffix("").parts[1:]
        return YamlFile.parse(self.draft.read(path) or b"", prefix)

    def add_keys(self, path: Path, blocks: Mapping[str, str]) -> None:
        """Add the blocks of task classes that a YAML file lacks, below the others; create the file if there is none.

        Raises
        ------
        CannotEdit
            The file is not valid YAML, or has a form that lines cannot be added to.
        """
        known = self.yaml(path).keys()
        missing = {name: block for name, block in blocks.items() if name not in known}
        self.yaml(path).blocks()  # of a map in braces there are none
        text = appended((self.draft.read(path) or b"").decode(), "".join(missing.values()))
        if not {*missing} <= {*YamlFile.parse(text.encode(), ()).keys()}:
            raise CannotEdit("has a form that no key can be added to. Write its tasks as a map")
        self.draft.write(path, text.encode())

    def layers(self) -> list[Path]:
        """Return the folders of the layers of the configuration."""
        conf = self.project.conf
        folders = (path for path in sorted(conf.iterdir()) if path.is_dir())
        return [path for path in folders if not is_leftover(path.relative_to(conf))]

    def conf_files(self, module: str) -> dict[Path, Path]:
        """Return the YAML file of a task module in each layer that has one: layer to file."""
        files = {layer: layer.joinpath(*module.split(".")).with_suffix(".yaml") for layer in self.layers()}
        return {layer: path for layer, path in files.items() if self.draft.read(path) is not None}

    def drop_empty_package(self, folder: Path) -> None:
        """Delete the empty `__init__.py` of folders of tasks in which nothing else is left."""
        draft, top = self.draft, self.project.tasks_folder
        while folder != top and folder.is_relative_to(top):
            init = folder / "__init__.py"
            left = [path for path in self._contents(folder) if path != init]
            if left or draft.read(init) is None or (draft.read(init) or b"").strip():
                return
            draft.write(init, None)
            folder = folder.parent

    def _contents(self, folder: Path) -> list[Path]:
        changes = self.draft.changes()
        existing = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        added = [path for path, (_, after) in changes.items() if after is not None and path.is_relative_to(folder)]
        return [path for path in {*existing, *added} if path not in changes or changes[path][1] is not None]

    def mentions(self, words: Iterable[str]) -> list[str]:
        """Return `path:line: text` for each line that still has one of these words."""
        pattern = re.compile("|".join(rf"(?<![\w]){re.escape(word)}(?!\w)" for word in words))
        found = []
        for path in self.paths(*_DOCUMENTS) + [path for path in self._paths if path.name in _NAMED]:
            data = self.draft.read(path) or b""
            if len(data) > _LARGEST:
                continue
            found += [
                f"{self.draft.name(path)}:{place}: {text.strip()}"
                for place, text in _lines(path, data)
                if pattern.search(text)
            ]
        return found


def _lines(path: Path, data: bytes) -> Iterator[tuple[str, str]]:
    if path.suffix == ".ipynb":
        yield from code_lines(data)
    else:
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            yield str(number), line
