"""Which strings are names of gokart's modules for sure? Those that a call imports, or replaces for a test.

``patch("gokart.x.f")`` and its like, ``monkeypatch.setattr("gokart.x.f", ...)``, ``import_module("gokart.x")``,
``importorskip`` and ``find_spec``. Any other string could be the name of a logger or of a folder. Called by `source`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kart_runtime.migrate.edits import NEW, OLD, Edit, Place

if TYPE_CHECKING:
    import libcst as cst


@dataclass(frozen=True)
class _Call:
    """A function that takes dotted names as text: in its first arguments, or by keyword."""

    keywords: tuple[str, ...]
    of: str | None = None  # what the function is an attribute of; "" is anything
    whole: bool = False  # whether the bare name of the package makes sense


_CALLS = {
    "patch": _Call(("target",)),
    "object": _Call(("target",), of="patch"),
    "multiple": _Call(("target",), of="patch"),
    "dict": _Call(("in_dict",), of="patch"),
    "setattr": _Call(("target",), of=""),
    "delattr": _Call(("target",), of=""),
    "import_module": _Call(("name", "package"), whole=True),
    "find_spec": _Call(("name", "package"), whole=True),
    "importorskip": _Call(("modname",), whole=True),
}

_MODULE = re.compile(rf"{OLD}(?:\.[a-z_][a-z0-9_]*)*")
_CODE = re.compile(rf"^\W*(?:import|from) {OLD}\b", re.MULTILINE)


def string_edits(module: cst.Module, place: Place) -> list[Edit]:
    """Return one edit for each string that surely names something of gokart.

    Parameters
    ----------
    module
        The syntax tree.
    place
        Where its nodes stand.
    """
    import libcst as cst
    import libcst.matchers as m

    edits = []
    for node in m.findall(module, m.Call()):
        call = _known(node.func) if isinstance(node, cst.Call) else None
        if call is None or not isinstance(node, cst.Call):
            continue
        for position, argument in enumerate(node.args):
            named = argument.keyword.value in call.keywords if argument.keyword else position < len(call.keywords)
            found = _first_piece(argument.value, call.whole) if named and not argument.star else None
            if found is not None:
                start = place(found[0])[0] + found[1]
                edits.append(Edit(start, start + len(OLD), NEW))
    return edits


def mentions(module: cst.Module) -> Iterator[cst.SimpleString]:
    """Yield every plain string that could be the name of a module of gokart's, or that holds code which imports it.

    A dotted name with a capital in it, such as ``"gokart.TaskOnKart"``, is mostly an annotation, which needs no change.

    Parameters
    ----------
    module
        The syntax tree.
    """
    import libcst as cst
    import libcst.matchers as m

    for node in m.findall(module, m.SimpleString()):
        if isinstance(node, cst.SimpleString) and (_MODULE.fullmatch(node.raw_value) or _CODE.search(node.raw_value)):
            yield node


def _known(function: cst.BaseExpression) -> _Call | None:
    import libcst as cst

    if isinstance(function, cst.Name):
        call = _CALLS.get(function.value)
        return call if call and call.of is None else None
    if not isinstance(function, cst.Attribute):
        return None
    call = _CALLS.get(function.attr.value)
    owner = function.value
    last = owner.attr.value if isinstance(owner, cst.Attribute) else getattr(owner, "value", "")
    return call if call and call.of in {None, "", last} else None


def _first_piece(value: cst.BaseExpression, whole: bool) -> tuple[cst.CSTNode, int] | None:
    """Return the piece of a string that begins with gokart's name, and how many bytes stand before the name.

    Strings in pieces, f-strings and sums count by their first piece, where the dot has to be, too.
    """
    import libcst as cst

    while isinstance(value, cst.BinaryOperation | cst.ConcatenatedString):
        value, whole = value.left, False
    if isinstance(value, cst.FormattedString):
        first = value.parts[0] if value.parts else None
        return (first, 0) if isinstance(first, cst.FormattedStringText) and _begins(first.value, whole=False) else None
    if not isinstance(value, cst.SimpleString) or "b" in value.prefix or not _begins(value.raw_value, whole):
        return None
    return value, len(value.prefix) + len(value.quote)


def _begins(text: str, whole: bool) -> bool:
    return text.startswith(f"{OLD}.") or (whole and text == OLD)
