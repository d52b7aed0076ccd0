"""Configuration of used projects, below that of this one: the tasks and shared values of `PACKAGE` under its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.groups import choose
from kart_runtime.project.conf.layers import compose
from kart_runtime.project.conf.sections import KEYS
from kart_runtime.project.conf.tree import Branch, Leaf, Node, merge, nested
from kart_runtime.project.names import TaskNames
from kart_runtime.project.used import UsedProject

_OWN = re.compile(
    r"(?<!\\)(\$\{\s*(?:oc\.(?:select|dict\.keys|dict\.values)\s*:\s*)?)"
    rf"({'|'.join(KEYS)})(?=\s*[.\[}},])"
)
"""Beginning of an interpolation that names a key of the project's own."""


def used_tree(
    used: Sequence[UsedProject],
    env: str,
    tasks: Mapping[str, type[luigi.Task]],
    broken: frozenset[str],
    errors: list[ConfigError],
) -> tuple[Branch, tuple[str, ...]]:
    """Return the configuration of the used projects in an environment, and the names of its layers."""
    tree: Node = Branch()
    layers: list[str] = []
    for project in used:
        start = f"{project.package}."
        names = TaskNames({name.removeprefix(start): cls for name, cls in tasks.items() if name.startswith(start)})
        modules = frozenset(name.removeprefix(start) for name in broken if name.startswith(start))
        composed = compose(project, env, errors, local=False)
        chosen = choose(project, composed.tree, (), names, errors, modules=modules)
        tree = merge(tree, _mounted(chosen.tree, project.package))
        layers += [*composed.names, *chosen.files]
    return tree if isinstance(tree, Branch) else Branch(), tuple(layers)


def _mounted(tree: Branch, package: str) -> Node:
    """Return a project's tree with its own keys below its package; keys of projects that it uses stay."""
    mounted: Node = Branch()
    for name, node in tree.children.items():
        path = (*package.split("."), name) if name in KEYS else (name,)
        mounted = merge(mounted, nested(path, _with_full_keys(node, package)))
    return mounted


def _with_full_keys(node: Node, package: str) -> Node:
    if isinstance(node, Leaf):
        return Leaf(_full(node.value, package), node.origin, node.text)
    return Branch({name: _with_full_keys(child, package) for name, child in node.children.items()}, node.origin)


def _full(value: object, package: str) -> object:
    """Return a value whose interpolations name the keys of its project by their full keys here."""
    if isinstance(value, str):
        return _OWN.sub(rf"\1{package}.\2", value) if "${" in value else value
    if isinstance(value, Mapping):
        return {name: _full(item, package) for name, item in value.items()}
    return [_full(item, package) for item in value] if isinstance(value, list) else value
