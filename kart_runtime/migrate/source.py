"""Edits that make a Python file import kart instead of gokart; every other byte stays.

======================== ==================================================================
written                  becomes
======================== ==================================================================
import gokart            import kart_runtime.gokart as gokart
import gokart as g       import kart_runtime.gokart as g
import gokart.x as x     import kart_runtime.gokart.x as x
from gokart.x import y   from kart_runtime.gokart.x import y
import gokart.x          import kart_runtime.gokart as gokart, and import kart_runtime.gokart.x
======================== ==================================================================

The last one binds the name ``gokart`` and loads a module, which takes two imports here. Names in strings change if a
call imports or patches what they name: ``patch("gokart.x.f")``, ``import_module("gokart.x")``. Any other string could
be the name of a logger or of a folder. Python's own parser gives the positions, and the edits are made in the bytes, so
line endings, form feeds, the encoding and a byte order mark stay. An import of something that kart does not have stays,
too, and is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from kart_runtime.edits.python_source import Edit, PythonSource, Span

OLD = "gokart"
NEW = "kart_runtime.gokart"

_BINDING = f"{NEW} as {OLD}"
# A linter sees no use of the second import; removing it would unload the module.
_KEEP = "  # noqa: F401"


@dataclass(frozen=True)
class Migrated:
    """A migrated Python file.

    Attributes
    ----------
    data
        Its bytes; unchanged where there is nothing to change.
    encoding
        The encoding that it declares.
    imports, strings
        Number of imports and of names in strings that changed.
    left
        Line and text of strings that stay although they could be names of gokart's modules, or code that imports it.
    """

    data: bytes
    encoding: str
    imports: int = 0
    strings: int = 0
    left: tuple[tuple[int, str], ...] = ()
    missing: tuple[tuple[int, str], ...] = ()


MissingName: TypeAlias = "Callable[[str], str]"
"""Function that returns the part of a dotted name of gokart that kart does not have; empty if it has all."""


def migrate_source(data: bytes, missing_name: MissingName = lambda _: "") -> Migrated:
    """Return a Python file with kart in place of gokart.

    Parameters
    ----------
    data
        Bytes of the file.
    missing_name
        What kart lacks, as `facade.missing_name`. By default kart has everything.

    Returns
    -------
    Migrated
        The new bytes, and what changed.

    Raises
    ------
    CannotEdit
        The bytes are no text, or the text is not Python.
    """
    parsed = PythonSource.parse(data)
    source, tree, span = parsed.text, parsed.tree, parsed.span
    imports = list(_import_edits(tree, span, source, missing_name))
    strings = list(_string_edits(tree, span, source, missing_name))
    missing = tuple(dict.fromkeys(sorted(_missing(tree, missing_name))))
    named = {line for line, _ in missing}
    strings_left = _left(tree, span, source, frozenset(edit.start for edit in strings))
    left = tuple((line, text) for line, text in strings_left if line not in named)
    after = parsed.edited([*imports, *strings])
    return Migrated(after, parsed.encoding, len(imports), len(strings), left, missing)


# -- imports ---------------------------------------------------------------------------------------------------------


def _import_edits(tree: ast.Module, span: Span, source: bytes, missing_name: MissingName) -> Iterator[Edit]:
    """Yield one edit for each import of gokart, wherever it stands, but for those of what kart does not have."""
    for block in _blocks(tree):
        is_bound = False
        for statement in block:
            if isinstance(statement, ast.Import | ast.ImportFrom) and any(map(missing_name, _imported(statement))):
                is_bound = False
                continue
            if isinstance(statement, ast.Import):
                yield from _of_import(statement, span, source, is_bound)
            elif isinstance(statement, ast.ImportFrom) and _imported(statement):
                start = source.index(OLD.encode(), span(statement)[0])  # the module has no node of its own
                yield Edit(start, start + len(OLD), NEW)
            # Only from one import of gokart to the next: in between, anything could rebind the name.
            is_bound = isinstance(statement, ast.Import) and any(map(_binds, statement.names))


def _imported(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the dotted names of gokart that an import needs."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names if _is_gokart(alias.name)]
    module = statement.module or ""
    if statement.level or not _is_gokart(module):
        return []
    return [module if alias.name == "*" else f"{module}.{alias.name}" for alias in statement.names]


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield value


def _is_gokart(name: str) -> bool:
    return name.partition(".")[0] == OLD


def _binds(alias: ast.alias) -> bool:
    """Return whether an import, once migrated, leaves the facade under the name ``gokart``."""
    return _is_gokart(alias.name) if alias.asname is None else alias.asname == OLD and alias.name in {OLD, NEW}


def _of_import(statement: ast.Import, span: Span, source: bytes, is_bound: bool) -> Iterator[Edit]:
    for alias in statement.names:
        if not _is_gokart(alias.name):
            continue
        start, end = span(alias)
        module = f"{NEW}{alias.name.removeprefix(OLD)}"
        if alias.asname is not None:
            yield Edit(start, start + len(OLD), NEW)
            continue
        if alias.name == OLD:
            yield Edit(start, end, _BINDING)
        elif len(statement.names) == 1 and (line := _line_of_its_own(source, *span(statement))):
            yield Edit(*span(statement), _two_lines(module, line, is_bound))
        else:
            yield Edit(start, end, module if is_bound else f"{_BINDING}, {module}")
        is_bound = True


def _line_of_its_own(source: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """Return indentation, comment and line ending of a statement; None when it shares the line."""
    line_start = source.rfind(b"\n", 0, start) + 1
    return re.compile(rb"([ \t\f]*)" + re.escape(source[start:end]) + rb"[ \t]*(#[^\r\n]*)?(\r\n|\n|$)").match(
        source, line_start
    )


def _two_lines(module: str, line: re.Match[bytes], is_bound: bool) -> str:
    indent, comment, ending = ((part or b"").decode() for part in line.groups())
    loading = f"import {module}{'' if comment else _KEEP}"
    return loading if is_bound else f"import {_BINDING}{ending or chr(10)}{indent}{loading}"


# -- strings ---------------------------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """Function that takes dotted names as text, in its first arguments or by keyword."""

    keywords: tuple[str, ...]
    owner: str | None = None  # what the function is an attribute of; "" is anything
    bare: bool = False  # whether the bare name of the package makes sense


_CALLS = {
    "patch": _Call(("target",)),
    "object": _Call(("target",), owner="patch"),
    "multiple": _Call(("target",), owner="patch"),
    "dict": _Call(("in_dict",), owner="patch"),
    "setattr": _Call(("target",), owner=""),
    "delattr": _Call(("target",), owner=""),
    "import_module": _Call(("name", "package"), bare=True),
    "find_spec": _Call(("name", "package"), bare=True),
    "importorskip": _Call(("modname",), bare=True),
}

_LITERAL = re.compile(rb"[rRuUfF]*(?:'''|\"\"\"|'|\")(?=%b(\.|['\"]))" % OLD.encode())
"""Beginning of a string up to gokart's name, which a dot or the end of the string follows."""

_DOTTED = re.compile(rf"{OLD}(?:\.\w+)*")
_MODULE = re.compile(rf"{OLD}(?:\.[a-z_][a-z0-9_]*)*")
_CODE = re.compile(rf"^\W*(?:import|from) {OLD}\b", re.MULTILINE)


def _string_edits(tree: ast.Module, span: Span, source: bytes, missing_name: MissingName) -> Iterator[Edit]:
    """Yield one edit for each string that surely names something of gokart, but for what kart does not have."""
    for value, bare in _named_in_calls(tree):
        literal = _first_literal(value, bare, span, source)
        if literal is not None and not missing_name(_text(value)):
            yield Edit(literal.end(), literal.end() + len(OLD), NEW)


def _named_in_calls(tree: ast.Module) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the arguments of calls that take dotted names as text, and whether gokart's bare name makes sense there."""
    for node in ast.walk(tree):
        call = _known(node.func) if isinstance(node, ast.Call) else None
        if call is None or not isinstance(node, ast.Call):
            continue
        named = [*node.args[: len(call.keywords)], *(item.value for item in node.keywords if item.arg in call.keywords)]
        yield from ((value, call.bare) for value in named)


def _text(value: ast.expr) -> str:
    """Return the text of a string as a dotted name of gokart, or gokart's name if it is anything else."""
    text = value.value if isinstance(value, ast.Constant) else None
    return text if isinstance(text, str) and _DOTTED.fullmatch(text) else OLD


def _known(function: ast.expr) -> _Call | None:
    if isinstance(function, ast.Name):
        call = _CALLS.get(function.id)
        return call if call and call.owner is None else None
    if not isinstance(function, ast.Attribute):
        return None
    call = _CALLS.get(function.attr)
    owner = function.value
    last = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return call if call and call.owner in {None, "", last} else None


def _first_literal(value: ast.expr, bare: bool, span: Span, source: bytes) -> re.Match[bytes] | None:
    """Return the beginning of a string up to gokart's name.

    Strings in pieces, f-strings and sums count by their first piece, where the dot has to be, too.
    """
    while isinstance(value, ast.BinOp):
        value, bare = value.left, False
    text = value.value if isinstance(value, ast.Constant) else None
    if not isinstance(text, str) and not isinstance(value, ast.JoinedStr):
        return None
    literal = _LITERAL.match(source, span(value)[0])
    return literal if literal and (literal[1] == b"." or (bare and text == OLD)) else None


def _left(tree: ast.Module, span: Span, source: bytes, changed: frozenset[int]) -> Iterator[tuple[int, str]]:
    """Yield every plain string that could be the name of a module of gokart, or that holds code which imports it.

    A dotted name with a capital in it, such as ``"gokart.TaskOnKart"``, is mostly an annotation, which needs no change.
    """
    strings = {
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    }
    pieces = {piece for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for piece in node.values}
    for start, end, value in sorted(((*span(node), node.value) for node in strings - pieces), key=itemgetter(0, 1)):
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if (_MODULE.fullmatch(text) or _CODE.search(text)) and changed.isdisjoint(range(start, end)):
            literal = source[start:end].decode()
            yield source.count(b"\n", 0, start) + 1, literal if "\n" not in literal else f"text that imports {OLD}"


# -- what kart does not have -----------------------------------------------------------------------------------------


def _missing(tree: ast.Module, missing_name: MissingName) -> Iterator[tuple[int, str]]:
    """Yield line and name of what a file imports, patches or uses of gokart, and kart does not have."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= _bound(node)
            used = [(node, name) for name in _imported(node)]
            yield from ((part.lineno, name) for part, full in used if (name := missing_name(full)))
    for value, _ in _named_in_calls(tree):
        if name := missing_name(_text(value)):
            yield value.lineno, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (full := _used(node, bound)) and (name := missing_name(full)):
            yield node.lineno, name


def _bound(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Return the names that an import of gokart binds, and what they stand for."""
    names = [alias.asname or alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        full = [f"{statement.module}.{alias.name}" for alias in statement.names] if _imported(statement) else []
        return dict(zip(names, full, strict=False))
    aliases = [alias for alias in statement.names if _is_gokart(alias.name)]
    return {alias.asname or OLD: alias.name if alias.asname else OLD for alias in aliases}


def _used(node: ast.Attribute, bound: dict[str, str]) -> str:
    """Return the dotted name of gokart that an attribute stands for; empty if it stands for something else."""
    parts = [node.attr]
    owner = node.value
    while isinstance(owner, ast.Attribute):
        parts.append(owner.attr)
        owner = owner.value
    if not isinstance(owner, ast.Name) or owner.id not in bound:
        return ""
    return ".".join([bound[owner.id], *reversed(parts)])
