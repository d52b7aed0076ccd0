"""Overrides such as `TrainModel.max_depth=5`: the highest layer, where names of tasks may be shortened.

An override replaces the value of a parameter or setting as a whole; `Task.names.0=x` and `Task.map.key=x` replace one
entry of it. What takes text takes what was typed, everything else is read as YAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.sections import SECTIONS, SHARED, kinds_of
from kart_runtime.project.conf.shared import check_known, shared_root
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, Leaf, Node, node_at, plain, replaced
from kart_runtime.project.conf.yaml_documents import read_value
from kart_runtime.project.names import TaskNames, parameters
from kart_runtime.task.parameters import is_optional, keeps_blanks, takes_text


def apply_overrides(tree: Branch, overrides: Sequence[str], names: TaskNames, errors: list[ConfigError]) -> Branch:
    """Return a tree with the values of `KEY=VALUE` texts, the last of which counts; append invalid ones to `errors`."""
    for text in overrides:
        try:
            key, value = split_override(text)
            override = _Override(tree, names, *full_key(key, tree, names))
            if not (value.strip() or override.keeps_blanks):
                raise _no_value(f"'{key}=' sets no value", key)
            tree = override.apply(value, errors)
        except ConfigError as error:
            errors.append(error)
    return tree


def split_override(text: str) -> tuple[str, str]:
    """Return key and value of a text; raise `ConfigError` if it is not KEY=VALUE."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not key or not all(key.split(".")):
        raise ConfigError(f"{text!r} is not an override", file=COMMAND_LINE, expected="KEY=VALUE")
    if not value:
        text = f"'{key}=' sets no value" if equals else f"'{key}' has no value"
        raise _no_value(text, key)
    return key, value


def _no_value(text: str, key: str) -> ConfigError:
    return ConfigError(f"{text}; write {key}=null for null, or {key}='\"\"' for empty text", file=COMMAND_LINE)


def full_key(key: str, tree: Branch, names: TaskNames) -> tuple[tuple[str, ...], int]:
    """Return the full path of a key, whose task name may be shortened, and the length of that of its parameter."""
    path = tuple(key.split("."))
    if path[0] in SECTIONS:
        return path, 2
    root = shared_root(path, names.packages)
    if root:
        check_known(tree, root, path)
        return path, max(len(root) + 1, _depth_of_value(tree, path))
    match = names.split(path)
    if match is not None:
        task = tuple(match[0].split("."))
        return (*task, *match[1]), len(task) + 1
    if len(path) == 1:
        raise ConfigError(_suggest_owner(key, names), file=COMMAND_LINE, key=key, expected="Task.parameter=value")
    owner = ".".join(path[:-1])
    guess = closest_match(path[0], (*SECTIONS, SHARED)) if len(path) == 2 else None
    raise ConfigError(
        f"unknown task or section {owner}",
        file=COMMAND_LINE,
        key=key,
        suggestion=guess or names.closest_match(owner),
    )


def _depth_of_value(tree: Branch, path: tuple[str, ...]) -> int:
    """Return how much of a path leads to a value; all of it if none does."""
    depths = range(1, len(path))
    return next((depth for depth in depths if isinstance(node_at(tree, path[:depth]), Leaf)), len(path))


def _suggest_owner(key: str, names: TaskNames) -> str:
    """Return a message with the tasks and sections that have a parameter or setting of this name."""
    settings = [f"{section}.{key}" for section, declared in SECTIONS.items() if key in declared]
    owners = settings + names.with_parameter(key)
    if not owners:
        return f"no task or section has {key}"
    return f"the key lacks its task or section; write {' or '.join(owners)}"


@dataclass(frozen=True)
class _Override:
    """One override of a tree: its full path, of which `depth` names are those of the parameter or setting."""

    tree: Branch
    names: TaskNames
    path: tuple[str, ...]
    depth: int

    @property
    def _key(self) -> str:
        return ".".join(self.path)

    @property
    def keeps_blanks(self) -> bool:
        """Whether blanks around the value belong to it."""
        if len(self.path) != self.depth:
            return len(self.path) > self.depth
        param = self._parameter()
        return param is not None and keeps_blanks(param)

    def apply(self, text: str, errors: list[ConfigError]) -> Branch:
        """Return the tree with the value that was typed."""
        own, entry = self.path[: self.depth], self.path[self.depth :]
        if entry:
            return replaced(self.tree, own, self._with_entry(self._current(), entry, text))
        if len(own) < self.depth:
            node = read_value(text.strip(), key=self._key, errors=errors)
            tree = self.tree
            for name, child in (node.children if isinstance(node, Branch) else {}).items():
                tree = replaced(tree, (*own, name), child)
            return replaced(tree, own, node) if isinstance(node, Leaf) else tree
        node = self._whole(text, errors)
        return self.tree if node is None else replaced(self.tree, own, node)

    def _whole(self, text: str, errors: list[ConfigError]) -> Node | None:
        """Return the value of a parameter, setting or shared value; None if it is invalid."""
        if shared_root(self.path, self.names.packages):
            before = node_at(self.tree, self.path)
            return _entry(plain(before) if before else None, text)
        param = self._parameter()
        if param is not None:
            return read_typed(param, text, self._key, errors)
        kinds = kinds_of(*self.path) if self.path[0] in SECTIONS else ()
        if str in kinds:
            return _typed(text, optional=type(None) in kinds)
        if not kinds:  # unknown, which `bind` reports
            return Leaf(text, COMMAND_LINE)
        return read_value(text.strip(), key=self._key, errors=errors)

    def _parameter(self) -> luigi.Parameter[Any] | None:
        task = self.names.tasks.get(".".join(self.path[: self.depth - 1]))
        return parameters(task).get(self.path[self.depth - 1]) if task is not None else None

    def _current(self) -> Node | None:
        """Return the value that an entry is replaced in: the configured one, else that of a base class or the code."""
        own = self.path[: self.depth]
        node = node_at(self.tree, own)
        task = self.names.tasks.get(".".join(own[:-1]))
        if node is not None or task is None:
            return node
        full_names = {cls: name for name, cls in self.names.tasks.items()}
        for base in task.__mro__[1:]:
            node = node_at(self.tree, (*full_names.get(base, "").split("."), own[-1]))
            if node is not None:
                return node
        param = self._parameter()
        default = getattr(param, "_default", None)
        return None if default is luigi.parameter._no_value or default is None else _as_node(default)

    def _with_entry(self, node: Node | None, entry: tuple[str, ...], text: str) -> Node:
        """Return a value with one of its entries replaced."""
        if isinstance(node, Leaf):
            value = self._changed(node.value, entry, text)
            return Leaf(value, f"{node.origin}, {COMMAND_LINE}") if isinstance(value, list) else _as_node(value)
        children = dict(node.children) if node is not None else {}
        name, rest = _next(entry, children)
        child = children.get(name)
        children[name] = self._with_entry(child, rest, text) if rest else _entry(plain(child) if child else None, text)
        return Branch(children, COMMAND_LINE if node is None else node.origin)

    def _changed(self, value: object, entry: tuple[str, ...], text: str) -> object:
        """Return a copy of plain values with one entry replaced."""
        if not entry:
            return plain(_entry(value, text))
        if isinstance(value, list):
            index = self._index(value, entry[0])
            return [*value[:index], self._changed(value[index], entry[1:], text), *value[index + 1 :]]
        if isinstance(value, str) and "${" in value:
            raise ConfigError(
                f"its value is {value}, of which no single entry can be set", file=COMMAND_LINE, key=self._key
            )
        entries = dict(value) if isinstance(value, Mapping) else {}
        name, rest = _next(entry, entries)
        return {**entries, name: self._changed(entries.get(name), rest, text)}

    def _index(self, values: list[object], text: str) -> int:
        if text.isdecimal() and int(text) < len(values):
            return int(text)
        one = "1 element" if len(values) == 1 else f"{len(values)} elements"
        raise ConfigError(
            f"{text} is not an index of the list, which has {one}",
            file=COMMAND_LINE,
            key=self._key,
            expected=f"0 to {len(values) - 1}" if values else None,
        )


def read_typed(param: luigi.Parameter[Any], text: str, key: str, errors: list[ConfigError]) -> Node | None:
    """Return the value of a parameter as it was typed, or read as YAML if it takes no text; None if it is invalid."""
    if takes_text(param):
        return _typed(text if keeps_blanks(param) else text.strip(), optional=is_optional(param))
    return read_value(text.strip(), key=key, errors=errors)


def _typed(text: str, *, optional: bool) -> Leaf:
    """Return a text as typed; `""` is empty text, and `null` is null where that is a value."""
    if optional and text == "null":
        return Leaf(None, COMMAND_LINE)
    quoted = text in {'""', "''"} or (optional and text in {'"null"', "'null'"})
    value = text[1:-1] if quoted else text
    return Leaf(value, COMMAND_LINE, value)


def _entry(before: object, text: str) -> Node:
    """Return an entry of a list or map, which has no declared type: text stays text, and is taken as typed."""
    stripped = text.strip()
    errors: list[ConfigError] = []
    node = read_value(stripped, key="", errors=errors) if stripped else None
    value = None if node is None or errors else plain(node)
    if stripped != "null" and (isinstance(before, str) or value is None):
        return _typed(text, optional=False)
    if isinstance(value, str | list | dict) and stripped[:1] not in ("{", "[", '"', "'"):
        return Leaf(text, COMMAND_LINE)
    return node if isinstance(node, Branch) else Leaf(value, COMMAND_LINE)


def _next(entry: tuple[str, ...], known: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """Return the name of the next entry and the names below it; a name may contain dots."""
    whole = ".".join(entry)
    return (whole, ()) if whole in known else (entry[0], entry[1:])


def _as_node(value: object) -> Node:
    """Return the tree of a value in the code, or of one that has been put together."""
    if isinstance(value, Mapping):
        return Branch({str(name): _as_node(item) for name, item in value.items()}, COMMAND_LINE)
    return Leaf(_thawed(value), COMMAND_LINE)


def _thawed(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _thawed(item) for name, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value
