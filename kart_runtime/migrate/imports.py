"""Which edits make imports of gokart imports of kart's facade? Those that leave every name bound as it was.

======================== ==================================================================
written                  becomes
======================== ==================================================================
import gokart            import kart_runtime.gokart as gokart
import gokart as g       import kart_runtime.gokart as g
import gokart.x as x     import kart_runtime.gokart.x as x
from gokart.x import y   from kart_runtime.gokart.x import y
import gokart.x          import kart_runtime.gokart as gokart, and import kart_runtime.gokart.x
======================== ==================================================================

The last one binds the name ``gokart`` and loads a module, which takes two imports here. Called by `source`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kart_runtime.migrate.edits import NEW, OLD, Edit, Place

if TYPE_CHECKING:
    import libcst as cst

_BINDING = f"{NEW} as {OLD}"
# A linter sees no use of the second import; removing it would unload the module.
_KEEP = "  # noqa: F401"


def import_edits(module: cst.Module, place: Place, source: bytes) -> list[Edit]:
    """Return one edit for each import of gokart, wherever it stands.

    Parameters
    ----------
    module
        The syntax tree.
    place
        Where its nodes stand.
    source
        The text.
    """
    import libcst as cst
    import libcst.matchers as m

    edits: list[Edit] = []
    for block in m.findall(module, m.Module() | m.IndentedBlock() | m.SimpleStatementSuite()):
        bound = False
        for statement in _statements(block):
            if isinstance(statement, cst.Import):
                edits += _of_import(statement, place, source, bound)
                # Only from one import of gokart to the next: in between, anything could rebind the name.
                bound = any(map(_binds, statement.names))
            else:
                bound = False
            if isinstance(statement, cst.ImportFrom):
                edits += _of_from(statement, place)
    return edits


def _statements(block: cst.CSTNode) -> Iterator[cst.CSTNode]:
    import libcst as cst

    for statement in getattr(block, "body", ()):
        if isinstance(statement, cst.SimpleStatementLine):
            yield from statement.body
        else:
            yield statement


def _binds(alias: cst.ImportAlias) -> bool:
    """Return whether an import, once migrated, leaves the facade under the name ``gokart``."""
    if alias.asname is None:
        return alias.evaluated_name.partition(".")[0] == OLD
    return alias.evaluated_alias == OLD and alias.evaluated_name in {OLD, NEW}


def _first_name(name: cst.BaseExpression) -> cst.Name | None:
    """Return ``gokart`` of ``gokart.x.y``; None when the name begins with something else."""
    import libcst as cst

    while isinstance(name, cst.Attribute):
        name = name.value
    return name if isinstance(name, cst.Name) and name.value == OLD else None


def _of_from(statement: cst.ImportFrom, place: Place) -> list[Edit]:
    if statement.relative or statement.module is None:
        return []
    first = _first_name(statement.module)
    return [] if first is None else [Edit(*place(first), NEW)]


def _of_import(statement: cst.Import, place: Place, source: bytes, bound: bool) -> Iterator[Edit]:
    import libcst as cst

    start, end = place(statement)
    for alias in statement.names:
        first = _first_name(alias.name)
        if first is None:
            continue
        if alias.asname is not None:
            yield Edit(*place(first), NEW)
            continue
        if isinstance(alias.name, cst.Name):
            yield Edit(*place(alias.name), _BINDING)
        elif len(statement.names) == 1 and (line := _line_of_its_own(source, start, end)):
            yield Edit(start, end, _two_lines(alias.evaluated_name, line, bound))
        else:
            binding = "" if bound else f"{_BINDING}, "
            yield Edit(*place(alias.name), f"{binding}{NEW}{alias.evaluated_name.removeprefix(OLD)}")
        bound = True


def _line_of_its_own(source: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """Return the line's indentation, what follows the statement, and the line ending; None when it shares the line."""
    begin = max(source.rfind(b"\n", 0, start), source.rfind(b"\r", 0, start)) + 1
    return re.compile(rb"([ \t\f]*)" + re.escape(source[start:end]) + rb"[ \t]*(#[^\r\n]*)?(\r\n|\n|\r|$)").match(
        source, begin
    )


def _two_lines(name: str, line: re.Match[bytes], bound: bool) -> str:
    indent, comment, ending = ((part or b"").decode() for part in line.groups())
    loading = f"import {NEW}{name.removeprefix(OLD)}" + ("" if comment else _KEEP)
    return loading if bound else f"import {_BINDING}{ending or chr(10)}{indent}{loading}"
