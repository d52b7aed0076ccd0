"""One Python file or notebook of a project: its imports, and what each name in it stands for."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from kart_runtime.edits.python_source import CannotEdit, Edit, PythonSource
from kart_runtime.project.refactor.notebooks import Notebook

_LINE = 120
"""Length of a line in a generated project."""


class Import(NamedTuple):
    """One name of an import statement."""

    statement: ast.Import | ast.ImportFrom
    alias: ast.alias
    module: str
    """Dotted name of the module that a `from` imports from; "" for `import`."""
    full: str
    """Dotted name of what is imported."""
    local: str
    """Name that the import binds in the file."""


class StringPiece(NamedTuple):
    """A string, or the first piece of an f-string, with the node that has its place."""

    node: ast.expr
    text: str
    is_whole: bool


@dataclass(frozen=True)
class PythonFile:
    """Python source with its dotted name, from which relative imports start; "" for files outside the package."""

    source: PythonSource
    module: str = ""
    is_package: bool = False
    notebook: Notebook | None = None

    @classmethod
    def parse(cls, data: bytes, *, module: str = "", is_package: bool = False, is_notebook: bool = False) -> PythonFile:
        """Return the file with these bytes; raise `CannotEdit` if it cannot be read."""
        if is_notebook:
            notebook = Notebook.parse(data)
            return cls(notebook.source, notebook=notebook)
        return cls(PythonSource.parse(data), module, is_package)

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Return the bytes of the file with all edits made."""
        return self.notebook.edited(edits) if self.notebook else self.source.edited(edits)

    def place(self, node: ast.AST) -> str:
        """Return where a node is, for messages."""
        start = self.source.span(node)[0]
        return self.notebook.place(start) if self.notebook else f"line {self.source.line(start)}"

    def code(self, node: ast.AST) -> str:
        """Return the text of a node."""
        start, end = self.source.span(node)
        return self.source.text[start:end].decode()

    @property
    def parent(self) -> str:
        """Package that relative imports with one dot start from."""
        return self.module if self.is_package else self.module.rpartition(".")[0]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.source.tree))

    @cached_property
    def imports(self) -> list[Import]:
        """Every name that the file imports, wherever the statement stands."""
        found: list[Import] = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [
                    Import(node, alias, "", alias.name, alias.asname or alias.name.partition(".")[0])
                    for alias in node.names
                ]
            elif isinstance(node, ast.ImportFrom) and (module := self.absolute(node)):
                for alias in node.names:
                    full = module if alias.name == "*" else f"{module}.{alias.name}"
                    found.append(Import(node, alias, module, full, alias.asname or alias.name))
        return found

    def absolute(self, statement: ast.ImportFrom) -> str:
        """Return the dotted name of the module that a statement imports from; "" if it cannot be known."""
        if not statement.level:
            return statement.module or ""
        parts = self.parent.split(".") if self.parent else []
        kept = parts[: len(parts) - statement.level + 1]
        if not kept or statement.level > len(parts):
            return ""
        return ".".join([*kept, *([statement.module] if statement.module else [])])

    def relative(self, module: str) -> str:
        """Return a module as a relative import of this file names it."""
        here, there = self.parent.split("."), module.split(".")
        common = 0
        while common < min(len(here), len(there) - 1) and here[common] == there[common]:
            common += 1
        return "." * (len(here) - common + 1) + ".".join(there[common:])

    @cached_property
    def bound(self) -> dict[str, str]:
        """What each imported name stands for; `import a.b` binds `a`."""
        return {
            item.local: item.full if item.module or item.alias.asname else item.local
            for item in self.imports
            if item.alias.name != "*"
        }

    @cached_property
    def other_names(self) -> dict[str, ast.AST]:
        """Names that anything but an import binds, with the first node that does."""
        names: dict[str, ast.AST] = {}
        for node in self.nodes:
            for name in _bindings(node):
                names.setdefault(name, node)
        return names

    @cached_property
    def names(self) -> set[str]:
        """All names that the file uses or binds."""
        return {node.id for node in self.nodes if isinstance(node, ast.Name)} | {*self.bound, *self.other_names}

    def dotted(self) -> Iterator[tuple[ast.Name | ast.Attribute, str]]:
        """Yield each name and chain of attributes that starts at an import, with the dotted name that it stands for."""
        for node in self.nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                parts = _chain(node)
                if parts and parts[0] in self.bound:
                    yield node, ".".join([self.bound[parts[0]], *parts[1:]])

    def strings(self) -> Iterator[StringPiece]:
        """Yield the strings of the file, and the first piece of each f-string."""
        pieces = {id(piece) for node in self.nodes if isinstance(node, ast.JoinedStr) for piece in node.values}
        for node in self.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
                yield StringPiece(node, node.value, True)
            elif isinstance(node, ast.JoinedStr) and node.values:
                first = node.values[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield StringPiece(node, first.value, False)

    def name_edit(self, node: ast.Name, text: str) -> list[Edit]:
        """Return the edits that write another name; before Python 3.12 names in f-strings have no reliable place."""
        start, end = self.source.span(node)
        if self.source.text[start:end] == node.id.encode():
            return [Edit(start, end, text)]
        for outer in self.nodes:
            if isinstance(outer, ast.JoinedStr) and any(inner is node for inner in ast.walk(outer)):
                first, last = self.source.span(outer)
                found = [*re.finditer(rb"\b%b\b" % node.id.encode(), self.source.text[first:last])]
                uses = sum(isinstance(inner, ast.Name) and inner.id == node.id for inner in ast.walk(outer))
                if len(found) == uses:
                    return [Edit(first + match.start(), first + match.end(), text) for match in found]
        raise CannotEdit(
            f"{self.place(node)}: {node.id} stands in an f-string that cannot be changed. Take it out of it"
        )

    def string_edit(self, piece: StringPiece, old: str, new: str) -> Edit | None:
        """Return the edit that replaces the beginning of a string; None if its source does not show that text."""
        start, end = self.source.span(piece.node)
        quote = re.compile(rb"[rRuUfFbB]*(?:'''|\"\"\"|'|\")").match(self.source.text, start)
        if quote is None or not self.source.text.startswith(old.encode(), quote.end(), end):
            return None
        return Edit(quote.end(), quote.end() + len(old.encode()), new)

    def remove_import(self, item: Import, others: Iterable[Import] = ()) -> Edit:
        """Return the edit that removes one name of an import, and `others` of the same statement before."""
        gone = {id(item.alias), *(id(other.alias) for other in others if other.statement is item.statement)}
        names = item.statement.names
        left = [alias for alias in names if id(alias) not in gone]
        if not left:
            return self.remove_lines(item.statement)
        first, last = self.source.span(names[0])[0], self.source.span(names[-1])[1]
        if item.statement.lineno == item.statement.end_lineno:
            return Edit(first, last, ", ".join(map(self.code, left)))
        gap = self.source.text[self.source.span(names[0])[1] : self.source.span(names[1])[0]].decode()
        return Edit(first, last, gap.join(map(self.code, left)))

    def remove_lines(self, node: ast.stmt) -> Edit:
        """Return the edit that removes a statement with its line; `pass` takes its place if its block has no other."""
        start, end = self.source.span(node)
        for decorator in getattr(node, "decorator_list", ()):
            start = min(start, self.source.text.rindex(b"@", 0, self.source.span(decorator)[0]))
        if any(len(block) == 1 and block[0] is node for block in self._inner_blocks()):
            return Edit(start, end, "pass")
        text = self.source.text
        first = text.rfind(b"\n", 0, start) + 1
        rest = re.compile(rb"[ \t]*(?:#[^\n]*)?(?:\n|$)|[ \t]*;[ \t]*").match(text, end)
        if text[first:start].strip() or rest is None or rest[0].lstrip().startswith(b";"):
            return Edit(start, rest.end() if rest and b";" in rest[0] else end, "")
        return Edit(first, rest.end(), "")

    def _inner_blocks(self) -> Iterator[list[ast.stmt]]:
        for node in self.nodes:
            if isinstance(node, ast.Module):
                continue
            for _, value in ast.iter_fields(node):
                if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    yield value

    def add_import(self, module: str, name: str, package: str) -> list[Edit]:
        """Return the edits that add `from module import name`, or `import module` for no name, in ruff's order.

        `package` is the project's own package, whose imports come last. What is imported already needs no edit.
        """
        name, _, local = name.partition(" as ")
        full = f"{module}.{name}" if name else module.partition(" as ")[0]
        if any(item.full == full and (not local or item.local == local) for item in self.imports):
            return []
        if name:
            name = f"{name} as {local}" if local else name
            for item in self.imports:
                if self._can_extend(item, module):
                    return [self._extend(item.statement, name)]
        line = f"from {module} import {name}" if name else f"import {module}"
        return [self._add_line(line, _import_key(module, bool(name), package), package)]

    def _extend(self, statement: ast.Import | ast.ImportFrom, name: str) -> Edit:
        """Return the edit that adds a name to an import, on lines of their own if it is long or was so before."""
        start, end = self.source.span(statement)
        names = sorted([*map(self.code, statement.names), name], key=_import_order)
        head = re.split(rb"\(", self.source.text[start : self.source.span(statement.names[0])[0]])[0].decode().rstrip()
        line = f"{head} {', '.join(names)}"
        if len(line) > _LINE or statement.lineno != statement.end_lineno:
            ending = self.line_ending
            line = f"{head} ({ending}{''.join(f'    {text},{ending}' for text in names)})"
        return Edit(start, end, line)

    def _add_line(self, line: str, key: tuple[int, int, str], package: str) -> Edit:
        end_of_line = self.line_ending
        keys = [(self._key(node, package), node) for node in self._leading_imports()]
        before = [pair for pair in keys if pair[0] < key]
        after = [pair for pair in keys if pair[0] > key]
        if before and (before[-1][0][0] == key[0] or not after or after[0][0][0] != key[0]):
            gap = "" if before[-1][0][0] == key[0] else end_of_line
            end = self.source.text.find(b"\n", self.source.span(before[-1][1])[1]) + 1
            at = end or len(self.source.text)
            return Edit(at, at, f"{gap}{line}{end_of_line}" if end else f"{end_of_line}{gap}{line}{end_of_line}")
        if after:
            gap = "" if after[0][0][0] == key[0] else end_of_line
            start = self.source.span(after[0][1])[0]
            return Edit(start, start, f"{line}{end_of_line}{gap}")
        return self._first_import(f"{line}{end_of_line}")

    def _can_extend(self, item: Import, module: str) -> bool:
        statement = item.statement
        return (
            isinstance(statement, ast.ImportFrom)
            and item.module == module
            and statement in self.source.tree.body
            and (statement.lineno == statement.end_lineno or "#" not in self.code(statement))
            and statement.names[0].name != "*"
        )

    def _leading_imports(self) -> list[ast.Import | ast.ImportFrom]:
        return [node for node in self.source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]

    def _key(self, statement: ast.Import | ast.ImportFrom, package: str) -> tuple[int, int, str]:
        if isinstance(statement, ast.Import):
            return _import_key(statement.names[0].name, False, package)
        return _import_key(self.absolute(statement) if not statement.level else "", True, package)

    def _first_import(self, line: str) -> Edit:
        body = self.source.tree.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):  # the docstring
            at = self.source.text.find(b"\n", self.source.span(body[0])[1]) + 1 or len(self.source.text)
            return Edit(at, at, f"{self.line_ending}{line}")
        return Edit(0, 0, f"{line}{self.line_ending}" if body else line)

    @property
    def line_ending(self) -> str:
        """Line ending of the file."""
        return "\r\n" if b"\r\n" in self.source.text else "\n"


def _import_key(module: str, is_from: bool, package: str) -> tuple[int, int, str]:
    """Return what ruff sorts imports by: their section, `import` before `from`, and the name."""
    top = module.partition(" ")[0].partition(".")[0]
    if not top:
        section = 4  # relative
    elif top == "__future__":
        section = 0
    elif top in sys.stdlib_module_names:
        section = 1
    else:
        section = 3 if top == package.partition(".")[0] else 2
    return section, int(is_from), module.lower()


def _import_order(name: str) -> tuple[int, str]:
    plain = name.partition(" ")[0]
    return (0 if plain.isupper() and len(plain) > 1 else 1 if plain[:1].isupper() else 2, plain)


def _chain(node: ast.expr) -> list[str]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _bindings(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds, imports aside."""
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    else:
        for attribute in ("name", "rest"):  # except, match, type parameters
            value = getattr(node, attribute, None)
            if isinstance(value, str) and not isinstance(node, ast.alias):
                yield value
