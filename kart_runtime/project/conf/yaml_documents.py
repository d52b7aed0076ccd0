"""Reader of YAML files and of the values of `KEY=VALUE`: a configuration tree with line numbers, or a list of errors.

Scalars are those of YAML 1.2: only `true` and `false` are booleans, `no` and `010` are text, and so is `12:30`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, Leaf, Node, nested, plain

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 100
_MAX_ALIASED = 100_000
"""Values beyond the number of characters of a file that aliases may make of it."""
_MAX_DIGITS = 1000
_FEWER = f"at most {_MAX_DIGITS:,}, or a text in quotes"
_TOO_DEEP = f"nested too deeply: more than {_MAX_DEPTH} levels of maps and lists"
_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))


class _Loader(_Base):
    """Safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as yaml declares it


for _name, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN))$",
        "-+0123456789.",
    ),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    # 010 is text, but the float pattern would match it, so leading zeros are excluded first.
    _guarded = _pattern.replace("^", r"^(?![-+]?0[0-9])", 1) if _name == "float" else _pattern
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_guarded), list(_first))


@dataclass
class _Reading:
    """Conversion of one document from the nodes of PyYAML to a configuration tree; errors are appended to `errors`."""

    name: str
    loader: _Loader
    errors: list[ConfigError]
    ancestors: set[int] = field(default_factory=set)
    """Ids of the maps and lists around the current node."""
    left: int = _MAX_ALIASED
    """Values that may still be made: more than the file has characters come only of aliases of aliases."""

    def origin(self, node: yaml.Node) -> str:
        """Return where a YAML node starts."""
        return self.name if self.name == COMMAND_LINE else f"{self.name}:{node.start_mark.line + 1}"

    def refuse(self, node: yaml.Node, path: tuple[str, ...], message: str, **more: str) -> None:
        """Append an error at a YAML node."""
        self.errors.append(ConfigError(message, file=self.origin(node), key=".".join(path) or None, **more))

    def convert(self, node: yaml.Node, path: tuple[str, ...], origin: str) -> Node | None:
        """Return the tree of a YAML node; None if it is invalid."""
        if self._is_too_much(node, path):
            return None
        if isinstance(node, yaml.MappingNode):
            return self._branch(node, path, origin) if self._is_known(node, path) else None
        value = self._value(node, path)
        return None if value is _REFUSED else Leaf(value, origin)

    def _branch(self, node: yaml.MappingNode, path: tuple[str, ...], origin: str) -> Branch | None:
        if not self._enter(node, path):
            return None
        children: dict[str, Node] = {}
        first: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path, first)
            if key is None:
                continue
            child = self.convert(value_node, (*path, key), self.origin(key_node))
            if child is not None:
                children[key] = child
        self.ancestors.discard(id(node))
        return Branch(children, origin)

    def _key(self, node: yaml.Node, path: tuple[str, ...], first: dict[str, yaml.Node]) -> str | None:
        key = self._value(node, path) if isinstance(node, yaml.ScalarNode) else None
        if key is _REFUSED:
            return None
        if not isinstance(key, str):
            text = node.value if isinstance(node, yaml.ScalarNode) else "a list or map"
            self.refuse(node, path, f"the key {text} is not text", expected=f"a name; quote it: '{text}'")
            return None
        if key == "<<":
            self.refuse(
                node,
                path,
                "the merge key << of YAML is not supported. Override conf/base in the layer of an environment.",
            )
            return None
        if key in first:
            line = first[key].start_mark.line + 1
            self.refuse(node, (*path, key), f"set twice in this file, first on line {line}. Delete one of them.")
            return None
        first[key] = node
        return key

    def _is_too_much(self, node: yaml.Node, path: tuple[str, ...]) -> bool:
        """Count a value; refuse the first one that is too much."""
        self.left -= 1
        if self.left == -1:
            self.refuse(node, path[:9], "its aliases stand for too many values. Write out what they stand for.")
        return self.left < 0

    def _value(self, node: yaml.Node, path: tuple[str, ...]) -> object:
        if self._is_too_much(node, path):
            return _REFUSED
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "int" and len(node.value) > _MAX_DIGITS:
            self.refuse(node, path, f"an integer of {len(node.value):,} characters is too large", expected=_FEWER)
            return _REFUSED
        if not self._is_known(node, path):
            return _REFUSED
        if isinstance(node, yaml.MappingNode):
            branch = self._branch(node, path, "")
            return _REFUSED if branch is None else plain(branch)
        if isinstance(node, yaml.SequenceNode):
            return self._list(node, path)
        if node.tag == _TAG + "null" and not node.value:
            self.refuse(node, path, "has no value. Write a value, write null, or delete the line.")
            return _REFUSED
        try:
            return self.loader.construct_object(node)  # type: ignore[no-untyped-call,unused-ignore]
        except (ValueError, yaml.YAMLError) as error:
            self.refuse(node, path, f"cannot be read as {node.tag.replace(_TAG, '')}: {error}")
            return _REFUSED

    def _is_known(self, node: yaml.Node, path: tuple[str, ...]) -> bool:
        """Reject tags of Python objects, and of sets and bytes, which no parameter takes."""
        if node.tag not in _TAGS:
            self.refuse(node, path, f"the YAML tag {node.tag.replace(_TAG, '!!')} is not supported")
            return False
        return True

    def _list(self, node: yaml.SequenceNode, path: tuple[str, ...]) -> object:
        if not self._enter(node, path):
            return _REFUSED
        values = [self._value(item, (*path, str(index))) for index, item in enumerate(node.value)]
        self.ancestors.discard(id(node))
        return _REFUSED if any(value is _REFUSED for value in values) else values

    def _enter(self, node: yaml.Node, path: tuple[str, ...]) -> bool:
        """Reject an alias that contains itself, and nesting that would exceed the recursion limit of Python."""
        if id(node) in self.ancestors or len(self.ancestors) == _MAX_DEPTH:
            self.refuse(node, path[:9], "an alias contains itself" if id(node) in self.ancestors else _TOO_DEEP)
            return False
        self.ancestors.add(id(node))
        return True


_REFUSED = object()


def read_document(text: str, *, name: str, prefix: tuple[str, ...], errors: list[ConfigError]) -> Branch:
    """Return the tree of a YAML file below `prefix`, without invalid nodes, whose errors are appended to `errors`."""
    parsed = _parse(text, name, errors)
    if parsed is None:
        return Branch()
    root, loader = parsed
    reading = _Reading(name, loader, errors, left=len(text) + _MAX_ALIASED)
    if not isinstance(root, yaml.MappingNode):
        reading.refuse(root, prefix, "the file does not contain a map", expected="lines such as name: value")
        return Branch()
    node = reading.convert(root, prefix, f"{name}:1")
    tree = nested(prefix, node) if node is not None else Branch()
    return tree if isinstance(tree, Branch) else Branch()


def read_plain(text: str, *, name: str, errors: list[ConfigError]) -> object:
    """Return the maps, lists and scalars of a YAML file; None if it is empty or invalid, with errors appended."""
    parsed = _parse(text, name, errors)
    if parsed is None:
        return None
    root, loader = parsed
    node = _Reading(name, loader, errors, left=len(text) + _MAX_ALIASED).convert(root, (), f"{name}:1")
    return None if node is None else plain(node)


def read_value(text: str, *, key: str, errors: list[ConfigError]) -> Node | None:
    """Return the value of `KEY=VALUE`, read as YAML, or as text if it is not valid YAML."""
    parsed = _parse(text, COMMAND_LINE, [])
    if parsed is None:
        return Leaf(text, COMMAND_LINE)
    root, loader = parsed
    node = _Reading(COMMAND_LINE, loader, errors).convert(root, (key,), COMMAND_LINE)
    if isinstance(node, Leaf) and not isinstance(node.value, str):
        return Leaf(node.value, COMMAND_LINE, text)
    return node


def read_scalar(text: str) -> object:
    """Return the number, boolean, null, list or map that a text says, else the text."""
    errors: list[ConfigError] = []
    node = read_value(text.strip(), key="", errors=errors)
    return text if node is None or errors else plain(node)


def _parse(text: str, name: str, errors: list[ConfigError]) -> tuple[yaml.Node, _Loader] | None:
    """Return the root node with the loader that constructs its scalars; None if there is none."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        errors.append(_broken(text, name, error))
    except RecursionError:
        errors.append(ConfigError(_TOO_DEEP, file=name))
    else:
        return None if root is None else (root, loader)
    return None


def _broken(text: str, name: str, error: Exception) -> ConfigError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "nesting depth" in problem:  # newer versions of PyYAML stop before Python's own limit
        return ConfigError(_TOO_DEEP, file=name)
    if mark is None:
        return ConfigError(f"not valid YAML: {problem}", file=name)
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    hint = ". Indent with spaces, not tabs." if "\t" in line else ""
    return ConfigError(f"not valid YAML: {problem}{hint}", file=f"{name}:{mark.line + 1}")
