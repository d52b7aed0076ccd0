"""YAML file of a project: edits of its keys, blocks and references that leave the rest as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from kart_runtime.edits.python_source import CannotEdit


class Block(NamedTuple):
    """Top-level key of a file with its value, and the comments directly above: first and last character."""

    key: str
    start: int
    end: int
    line: int
    """Line of the key."""


@dataclass(frozen=True)
class YamlFile:
    """Text of a YAML file, its nodes, and the names that its path stands for."""

    text: str
    root: yaml.Node | None
    prefix: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes, prefix: tuple[str, ...]) -> YamlFile:
        """Return the file with these bytes; raise `CannotEdit` if they are no YAML."""
        try:
            text = data.decode("utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            raise CannotEdit(f"is not valid YAML{f': line {mark.line + 1}' if mark else ''}") from error
        return cls(text, root, prefix)

    def keys(self) -> list[str]:
        """Return the top-level keys."""
        if not isinstance(self.root, yaml.MappingNode):
            return []
        return [key.value for key, _ in self.root.value if isinstance(key, yaml.ScalarNode)]

    def blocks(self) -> list[Block]:
        """Return the top-level keys with the lines that belong to them; raise `CannotEdit` for a map in braces."""
        if not isinstance(self.root, yaml.MappingNode):
            return []
        if self.root.flow_style:
            raise CannotEdit("is one map in braces. Write each task on lines of its own first")
        nodes = [key for key, _ in self.root.value]
        starts = [self._with_comments(self._line_start(key.start_mark.index)) for key in nodes]
        ends = [*starts[1:], len(self.text)]
        return [
            Block(key.value, start, end, key.start_mark.line + 1)
            for key, start, end in zip(nodes, starts, ends, strict=True)
        ]

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _with_comments(self, start: int) -> int:
        """Return the start of the comment lines directly above a line; not of those that open the file."""
        first = start
        while first > 0:
            above = self._line_start(first - 1)
            if not re.match(r"#", self.text[above:first]):
                break
            first = above
        return start if first == 0 else first

    def scalars(self) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode, bool]]:
        """Yield path, node and whether it is a key, of every scalar below a map."""
        if self.root is not None:
            yield from _scalars(self.root, self.prefix)

    def replaced(self, edits: list[tuple[int, int, str]]) -> str:
        """Return the text with parts (first and last character, and text) replaced."""
        text = self.text
        for start, end, new in sorted(set(edits), reverse=True):
            text = text[:start] + new + text[end:]
        return text


def _scalars(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode, bool]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield (*path, key.value), key, True
                yield from _scalars(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item, path)
    elif isinstance(node, yaml.ScalarNode):
        yield path, node, False


def scalar_edit(file: YamlFile, node: yaml.ScalarNode, new: str) -> tuple[int, int, str]:
    """Return the edit that writes another text into a scalar, in its quotes."""
    start, end = node.start_mark.index, node.end_mark.index
    quote = file.text[start] if node.style in ("'", '"') else ""
    return start, end, f"{quote}{new}{quote}"


def interpolation_edits(text: str, dotted: str, new: str) -> list[tuple[int, int, str]]:
    """Return the edits of a dotted key inside `${...}`."""
    edits = []
    for outer in re.finditer(r"\$\{[^}]*\}?", text):
        for match in re.finditer(rf"(?<![\w.]){re.escape(dotted)}(?!\w)", outer[0]):
            start = outer.start() + match.start()
            edits.append((start, start + len(dotted), new))
    return edits


def appended(text: str, block: str) -> str:
    """Return a file with a block of lines below the others."""
    ending = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += ending
    return text + block
