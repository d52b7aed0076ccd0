"""Edits of one Python file or notebook that follow a class that gets another name, or a module that moves."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator

from kart_runtime.edits.python_source import CannotEdit, Edit
from kart_runtime.project.refactor.python_file import Import, PythonFile


class ClassRename:
    """New name of a class, in the module that defines it and in those that export it.

    Attributes
    ----------
    module, old, new
        Dotted name of the module, and the names of the class.
    homes
        Modules from which other files import the class; grows while files are edited.
    """

    def __init__(self, module: str, old: str, new: str) -> None:
        self.module, self.old, self.new = module, old, new
        self.homes = {module}
        parts = module.split(".")
        self._prefixes = {".".join(parts[start:]) + "." for start in range(len(parts))}
        # A name of one word, such as Total, is a word of texts, too.
        self._is_word = any(len(re.findall(r"[A-Z]", name)) < 2 for name in (old, new))

    def edits(self, file: PythonFile) -> list[Edit]:
        """Return the edits of one file; adds it to `homes` if it exports the class."""
        edits: list[Edit] = []
        if file.module == self.module:
            edits += self._definition(file)
        imports = [item for item in file.imports if item.module in self.homes]
        direct = [item for item in imports if item.alias.name == self.old]
        star = any(item.alias.name == "*" for item in imports) and self.old not in file.bound
        free = self.old not in file.other_names and self.new not in file.names
        edits += [self._import(file, item, free) for item in direct]
        if free and (star or any(item.alias.asname is None for item in direct)):
            edits += self._names(file)
            if file.module:
                self.homes.add(file.module)
        targets = {f"{home}.{self.old}" for home in self.homes}
        for node, full in file.dotted():
            if isinstance(node, ast.Attribute) and full in targets:
                end = file.source.span(node)[1]
                edits.append(Edit(end - len(self.old.encode()), end, self.new))
        edits += self._strings(file)
        is_other = not edits and (self.old in file.names or file.notebook is not None)
        if not self._is_word and not is_other:
            edits += self._texts(file)
        return edits

    def _definition(self, file: PythonFile) -> Iterator[Edit]:
        classes = [node for node in file.source.tree.body if isinstance(node, ast.ClassDef) and node.name == self.old]
        others = [node for node in file.nodes if self.old in _own_bindings(node) and node not in classes]
        if others:
            raise CannotEdit(f"{file.place(others[0])}: {self.old} is bound a second time. Rename that first")
        for node in classes:
            after = file.source.span(node.decorator_list[-1])[1] if node.decorator_list else file.source.span(node)[0]
            heading = re.compile(rb"\bclass[\s\\]+(?=%b\b)" % self.old.encode())
            found = heading.search(file.source.text, after)
            if found is not None:
                yield Edit(found.end(), found.end() + len(self.old.encode()), self.new)
        yield from self._names(file)

    def _import(self, file: PythonFile, item: Import, free: bool) -> Edit:
        start, end = file.source.span(item.alias)
        local = item.alias.asname or (None if free else self.old)
        return Edit(start, end, self.new if local in (None, self.new) else f"{self.new} as {local}")

    def _names(self, file: PythonFile) -> Iterator[Edit]:
        for node in file.nodes:
            if isinstance(node, ast.Name) and node.id == self.old:
                yield from file.name_edit(node, self.new)
            elif isinstance(node, ast.expr) and (annotated := _annotation_texts(node)):
                for piece in annotated:
                    yield from _word_edits(file, piece, self.old, self.new)
        for annotation in _annotations(file):
            for piece in ast.walk(annotation):
                yield from _word_edits(file, piece, self.old, self.new)
        for piece in _exported(file):
            yield from _word_edits(file, piece, self.old, self.new, whole=True)

    def _strings(self, file: PythonFile) -> Iterator[Edit]:
        """Yield the edits of strings that surely name the class: dotted names, overrides, and tasks of calls."""
        named = {id(node) for node in _task_names(file)}
        pattern = re.compile(rf"((?:\w+\.)*){self.old}(?![\w])([\w.]*=?)", re.DOTALL)
        for piece in file.strings():
            match = pattern.match(piece.text)
            if match is None or (match[1] and match[1] not in self._prefixes):
                continue
            sure = match[1] or match[2].endswith("=") or id(piece.node) in named
            if sure and (match.end() == len(piece.text) or match[2].endswith("=") or not piece.is_whole):
                edit = file.string_edit(piece, f"{match[1]}{self.old}", self.new)
                if edit is not None:
                    yield edit._replace(start=edit.end - len(self.old.encode()))

    def _texts(self, file: PythonFile) -> Iterator[Edit]:
        """Yield the edits of comments and docstrings."""
        pattern = re.compile(rb"\b%b\b" % self.old.encode())
        for start, end in _texts(file):
            for match in pattern.finditer(file.source.text[start:end]):
                yield Edit(start + match.start(), start + match.end(), self.new)


class ModuleMove:
    """New dotted name of a module, or only of these classes of it."""

    def __init__(self, old: str, new: str, classes: Collection[str], *, whole: bool = True) -> None:
        self.old, self.new, self.classes, self.whole = old, new, classes, whole

    def edits(self, file: PythonFile) -> list[Edit]:
        """Return the edits of one file that names the module."""
        edits = [*self._inside(file)] if file.module == self.old else []
        moved = {id(item.statement) for item in file.imports if item.module == self.old}
        statements = {id(item.statement): item.statement for item in file.imports}
        edits += [
            _module_edit(file, statement, self.new)
            for key, statement in statements.items()
            if key in moved and isinstance(statement, ast.ImportFrom)
        ]
        for item in file.imports:
            if item.full == self.old and item.module and item.alias.name != "*":
                edits += self._from_package(file, item)
            elif not item.module and item.alias.name == self.old:
                start = file.source.span(item.alias)[0]
                edits.append(Edit(start, start + len(self.old.encode()), self.new))
                if item.alias.asname is None:
                    edits += [Edit(*file.source.span(node), self.new) for node in self._chains(file)]
        return [*edits, *self.string_edits(file)]

    def _chains(self, file: PythonFile) -> list[ast.Attribute]:
        return [
            node
            for node, full in file.dotted()
            if isinstance(node, ast.Attribute) and full == self.old and file.code(node) == self.old
        ]

    def _inside(self, file: PythonFile) -> Iterator[Edit]:
        """Yield the edits of relative imports of the module itself, which start from another package then."""
        moved = PythonFile(file.source, self.new)
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and node.level and moved.parent != file.parent:
                target = file.absolute(node)
                if target not in ("", self.old):
                    yield _module_edit(file, node, target, moved)

    def _from_package(self, file: PythonFile, item: Import) -> list[Edit]:
        """Return the edits of `from package import module`."""
        (old_parent, _, old), (parent, _, new) = self.old.rpartition("."), self.new.rpartition(".")
        renamed = item.alias.asname is None and old != new
        free = old not in file.other_names and new not in file.names
        local = item.alias.asname or (None if not renamed or free else old)
        text = new if local in (None, new) else f"{new} as {local}"
        uses: list[Edit] = []
        if renamed and free:
            uses = [
                edit
                for node in file.nodes
                if isinstance(node, ast.Name) and node.id == old
                for edit in file.name_edit(node, new)
            ]
        if parent == old_parent:
            return [Edit(*file.source.span(item.alias), text), *uses]
        if len(item.statement.names) == 1 and isinstance(item.statement, ast.ImportFrom):
            return [_module_edit(file, item.statement, parent), Edit(*file.source.span(item.alias), text), *uses]
        return [file.remove_import(item), *file.add_import(parent, text, parent.partition(".")[0]), *uses]

    def module_edit(self, file: PythonFile, statement: ast.ImportFrom) -> Edit:
        """Return the edit that writes the new module into an import."""
        return _module_edit(file, statement, self.new)

    def string_edits(self, file: PythonFile) -> Iterator[Edit]:
        """Yield the edits of strings that surely name the module, or a class in it."""
        for piece in file.strings():
            old = self._prefix(piece.text)
            if old:
                new = new_suffix(old, self.old, self.new)
                edit = file.string_edit(piece, old, new)
                if edit is not None:
                    yield edit

    def _prefix(self, text: str) -> str:
        """Return the beginning of a string that surely names the module: all of it, or a part and a class below it."""
        if self.whole and (text == self.old or text.startswith(f"{self.old}.")):
            return self.old if re.fullmatch(r"[\w.]+(?:=.*)?", text, re.DOTALL) else ""
        parts = self.old.split(".")
        for start in range(len(parts)):
            suffix = ".".join(parts[start:])
            match = re.fullmatch(re.escape(suffix) + r"\.(\w+)[\w.]*(?:=.*)?", text, re.DOTALL)
            if match and match[1] in self.classes:
                return suffix
        return ""


def new_suffix(suffix: str, old: str, new: str) -> str:
    """Return what stands for a suffix of a dotted name that has become another one, as long and as short as before."""
    for depth in range(3):  # from the package, from `tasks`, or from below it
        if suffix == ".".join(old.split(".")[depth:]):
            return ".".join(new.split(".")[depth:])
    parts = suffix.count(".") + 1
    below = new.split(".")[1:]
    return ".".join(below[-parts:] if "tasks" not in suffix.split(".") else new.split("."))


def _module_edit(file: PythonFile, statement: ast.ImportFrom, module: str, place: PythonFile | None = None) -> Edit:
    """Return the edit that writes another module into `from module import ...`; relative ones stay relative."""
    start = file.source.span(statement)[0]
    found = re.compile(rb"from[\s\\]*([.\s\\]*[\w.]*)(?=[\s\\])").match(file.source.text, start)
    if found is None:
        raise CannotEdit(f"{file.place(statement)}: this import cannot be changed. Write it on one line first")
    text = (place or file).relative(module) if statement.level else module
    return Edit(found.start(1), found.end(1), text)


def _own_bindings(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id] if not isinstance(node.ctx, ast.Load) else []
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    return [node.arg] if isinstance(node, ast.arg) else []


def _annotations(file: PythonFile) -> Iterator[ast.expr]:
    for node in file.nodes:
        for name in ("annotation", "returns"):
            value = getattr(node, name, None)
            if isinstance(value, ast.expr):
                yield value


def _annotation_texts(node: ast.expr) -> list[ast.AST]:
    """Return the strings in a subscript, or in the first argument of `cast`, which stand for types."""
    if isinstance(node, ast.Subscript):
        return [piece for piece in ast.walk(node.slice) if isinstance(piece, ast.Constant)]
    if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", getattr(node.func, "attr", "")) == "cast":
        return [*ast.walk(node.args[0])]
    return []


def _word_edits(file: PythonFile, node: ast.AST, old: str, new: str, *, whole: bool = False) -> Iterator[Edit]:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or (whole and node.value != old):
        return
    start, end = file.source.span(node)
    pattern = re.compile(rb"\b%b\b" % old.encode())
    for match in pattern.finditer(file.source.text[start:end]):
        yield Edit(start + match.start(), start + match.end(), new)


def _exported(file: PythonFile) -> Iterator[ast.expr]:
    """Yield the entries of `__all__`."""
    for node in file.source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets) and node.value:
                yield from (entry for entry in ast.walk(node.value) if isinstance(entry, ast.expr))


def _task_names(file: PythonFile) -> Iterator[ast.expr]:
    """Yield the strings that a call takes as the name of a task: `session.task("TrainModel")`, `main(["run", ...])`."""
    for node in file.nodes:
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name == "task":
                yield from node.args[:1]
            elif name == "main" and node.args and isinstance(node.args[0], ast.List | ast.Tuple):
                yield from node.args[0].elts


def _texts(file: PythonFile) -> Iterator[tuple[int, int]]:
    """Yield first and last byte of each comment and docstring."""
    for node in file.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield file.source.span(node)
    lines = file.source.text.split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for token in tokenize.tokenize(io.BytesIO(file.source.text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            start = starts[row - 1] + len(token.line[:column].encode())
            yield start, start + len(token.string.encode())
