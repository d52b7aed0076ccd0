"""What is a configuration while it is being composed? A tree in which every value knows where it was written.

`documents` makes such trees from YAML and from the command line, `compose` lays them over one another, and `bind`
takes the values out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: a scalar or a list, with interpolations still as text.

    Attributes
    ----------
    value
        What the YAML says.
    origin
        ``path:line`` or "command line".
    text
        The right-hand side as typed, where it was read as something else than text: ``1.10`` is also a version.
    """

    value: object
    origin: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A map of names to nodes.

    Attributes
    ----------
    children
        The nodes below, by name.
    origin
        Where the map itself was written.
    """

    children: Mapping[str, Node] = field(default_factory=dict)
    origin: str = ""


Node = Leaf | Branch


def merge(below: Node | None, above: Node) -> Node:
    """Return `above` laid over `below`: maps merge, everything else is replaced."""
    if not (isinstance(below, Branch) and isinstance(above, Branch)):
        return above
    children = dict(below.children)
    for name, node in above.children.items():
        children[name] = merge(children.get(name), node)
    return Branch(children, above.origin)


def nested(path: tuple[str, ...], node: Node) -> Node:
    """Return `node` wrapped into maps, so that it is found at `path`."""
    for name in reversed(path):
        node = Branch({name: node}, node.origin)
    return node


def plain(node: Node) -> object:
    """Return the values alone, as dicts, lists and scalars."""
    if isinstance(node, Leaf):
        return node.value
    return {name: plain(child) for name, child in node.children.items()}


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield every value of the tree, in the order written."""
    if isinstance(node, Leaf):
        yield node
    else:
        for child in node.children.values():
            yield from leaves(child)


def origin_of(node: Node) -> str:
    """Return where a node was written; a map that several layers wrote to names each place once."""
    places = list(dict.fromkeys(leaf.origin for leaf in leaves(node)))
    return ", ".join(places) or node.origin
