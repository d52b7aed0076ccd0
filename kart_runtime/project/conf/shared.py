"""Shared values: `conf/base/shared.yaml`, whose values other values interpolate, as in `${shared.seed}`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.sections import SHARED
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, Leaf, Node, leaves, node_at

_INTERPOLATION = re.compile(r"\$\{")
_RELATIVE = re.compile(r"\$\{\s*\.")


def shared_root(path: tuple[str, ...], packages: Sequence[str]) -> tuple[str, ...]:
    """Return the part of a path that stands for all shared values, of this project or a used one; empty if none."""
    roots = [(SHARED,), *((*package.split("."), SHARED) for package in packages)]
    return next((root for root in roots if path[: len(root)] == root), ())


def shared_values(tree: Branch, root: tuple[str, ...] = (SHARED,)) -> dict[str, Leaf]:
    """Return the shared values by full key, such as `shared.seed`."""
    node = node_at(tree, root)
    return dict(_leaves(node, root)) if node is not None else {}


def _leaves(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, Leaf]]:
    if isinstance(node, Leaf):
        yield ".".join(path), node
    else:
        for name, child in node.children.items():
            yield from _leaves(child, (*path, name))


def unused_keys(tree: Branch, root: tuple[str, ...] = (SHARED,)) -> set[str]:
    """Return the full keys of the shared values that no value of the tree interpolates."""
    values = shared_values(tree, root)
    if not values:
        return set()
    used = referenced_keys(tree, root)
    return {key for key in values if not is_used(key, used)}


def referenced_keys(tree: Branch, root: tuple[str, ...] = (SHARED,)) -> set[str]:
    """Return the keys below `root` that interpolations name; that of a map stands for all below it."""
    name = r"\.".join(map(re.escape, root))
    pattern = re.compile(rf"(?<![\w.]){name}((?:\.[\w-]+|\[[\w'\"-]+\])*)")
    found: set[str] = set()
    for text in _texts(tree):
        found.update(".".join((*root, *re.findall(r"[\w-]+", rest))) for rest in pattern.findall(text))
    node = node_at(tree, root)
    if node is not None and any(_RELATIVE.search(text) for text in _texts(node)):
        found.update(key for key in shared_values(tree, root))  # siblings are named without their full key
    return found


def check_known(tree: Branch, root: tuple[str, ...], path: tuple[str, ...]) -> None:
    """Raise `ConfigError` for a key on the command line that no file sets and no value uses."""
    key = ".".join(path)
    known = {*shared_values(tree, root), *referenced_keys(tree, root)}
    if len(path) > len(root) and not is_used(key, known):
        raise ConfigError(
            f"no file sets it, and no value uses ${{{key}}}",
            file=COMMAND_LINE,
            key=key,
            suggestion=closest_match(key, sorted(known)),
        )


def is_used(key: str, used: set[str]) -> bool:
    """Return whether a key, or a map around it, is among those that interpolations name."""
    return any(key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in used)


def _texts(node: Node) -> Iterator[str]:
    for leaf in leaves(node):
        yield from _texts_in(leaf.value)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if _INTERPOLATION.search(value):
            yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(item)


def unused_errors(unused: Mapping[str, str]) -> list[ConfigError]:
    """Return an error for each shared value that nothing interpolates, by key and origin."""
    return [
        ConfigError(f"no value uses it. Write ${{{key}}} where it is meant, or delete the line.", file=origin, key=key)
        for key, origin in unused.items()
    ]
