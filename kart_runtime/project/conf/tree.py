"""Configuration tree: maps and values, each with the place where it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

COMMAND_LINE = "command line"

GROUPS = "groups"
"""Key of the chosen options of groups."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Value: a scalar or a list, with interpolations still as text."""

    value: object
    origin: str
    """`path:line`, or "command line"."""
    text: str | None = None
    """The value as typed, if it was read as another type: `1.10` may be a version."""
    replaced: tuple[object, ...] = ()
    """Values of the layers below that it replaces, as far as they refer to something."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Map of names to nodes."""

    children: Mapping[str, Node] = field(default_factory=dict)
    origin: str = ""


Node = Leaf | Branch


def merge(below: Node | None, above: Node) -> Node:
    """Return `below` updated by `above`: maps are merged, everything else is replaced."""
    if not (isinstance(below, Branch) and isinstance(above, Branch)):
        return _replacing(above, below)
    children = dict(below.children)
    for name, node in above.children.items():
        children[name] = merge(children.get(name), node)
    return Branch(children, above.origin)


def replaced(tree: Branch, path: tuple[str, ...], node: Node) -> Branch:
    """Return a tree with `node` as the whole value at `path`."""
    name, *rest = path
    child = tree.children.get(name)
    if rest:
        below = child if isinstance(child, Branch) else Branch(origin=node.origin)
        node = replaced(below, tuple(rest), node)
    else:
        node = _replacing(node, child)
    return Branch({**tree.children, name: node}, tree.origin)


def _replacing(above: Node, below: Node | None) -> Node:
    """Return a node that remembers the references of those that it replaces: what stood for a secret stays one."""
    if not (isinstance(above, Leaf) and isinstance(below, Leaf)):
        return above
    before = below.replaced if "${" not in str(below.value) else (below.value, *below.replaced)
    return replace(above, replaced=(*above.replaced, *before)) if before else above


def node_at(tree: Node, path: tuple[str, ...]) -> Node | None:
    """Return the node at `path`; None if there is none."""
    node: Node | None = tree
    for name in path:
        node = node.children.get(name) if isinstance(node, Branch) else None
    return node


def nested(path: tuple[str, ...], node: Node) -> Node:
    """Return `node` wrapped in maps, one for each name of `path`."""
    for name in reversed(path):
        node = Branch({name: node}, node.origin)
    return node


def plain(node: Node) -> object:
    """Return the values of a tree as dicts, lists and scalars."""
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
    """Return where the values of a node were written; each place once."""
    places = list(dict.fromkeys(leaf.origin for leaf in leaves(node)))
    return ", ".join(places) or node.origin
