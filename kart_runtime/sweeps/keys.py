"""Keys of a command line that have several values: what each is the key of, and the values that its text stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast

import luigi
from luigi.parameter import _DateParameterBase, _DatetimeParameterBase

from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import MASK
from kart_runtime.project.conf.dotlist import full_key, read_typed
from kart_runtime.project.conf.groups import options_of
from kart_runtime.project.conf.sections import SECTIONS
from kart_runtime.project.conf.shared import shared_root
from kart_runtime.project.conf.tree import COMMAND_LINE, GROUPS, Leaf, node_at, plain
from kart_runtime.project.names import parameters
from kart_runtime.project.session import ComposedProject
from kart_runtime.sweeps.words import (
    WordError,
    expand_range,
    is_quoted,
    joined,
    quoted,
    read_range,
    split_items,
    unquoted,
)
from kart_runtime.task.parameters import coerce, declaration, is_optional, keeps_blanks, takes_text

_PER_VARIANT = frozenset({"run.seed"})
"""Settings that can differ within one plan."""

_SHOWN = 8
"""Values of a key that a line shows."""


class Kind(Enum):
    """Kind of values that a key takes, as far as the grammar differs."""

    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    LIST = "list"
    OPTION = "option of a group"
    DATE = "date"
    OTHER = "other"


@dataclass(frozen=True)
class Key:
    """One key of a command line.

    Attributes
    ----------
    word
        The key as it was typed.
    full
        The full key.
    kind
        Kind of its values.
    choices
        All values, if there are a few: of a choice, an enum, a bool or a group.
    cls, name, param
        Class, name and parameter that it sets as a whole; None if it sets something else.
    """

    word: str
    full: str
    kind: Kind = Kind.OTHER
    choices: tuple[str, ...] = ()
    cls: type[luigi.Task] | None = None
    name: str = ""
    param: luigi.Parameter[Any] | None = None

    @property
    def is_secret(self) -> bool:
        """Return whether its values must not be shown."""
        return self.cls is not None and self.name in declaration(self.cls).hidden

    @property
    def recorded(self) -> str:
        """Return the key under which a run's header has its value."""
        return self.full.removeprefix(f"{GROUPS}.") if self.kind is Kind.OPTION else self.full

    @property
    def keeps_blanks(self) -> bool:
        """Return whether blanks around a value belong to it."""
        return self.kind is Kind.TEXT and not self.choices and (self.param is None or keeps_blanks(self.param))

    def as_override(self, text: str) -> str:
        """Return a text as an override writes it, where a few words do not stand for themselves."""
        is_null = text == "null" and (self.param is None or is_optional(self.param))
        return quoted(text) if not text or is_null else text

    def shown(self, text: str) -> str:
        """Return a value for people to read."""
        return MASK if self.is_secret else text

    def refused(self, message: str, expected: str | None = None, suggestion: str | None = None) -> ConfigError:
        """Return an error about this key."""
        return ConfigError(message, file=COMMAND_LINE, key=self.full, expected=expected, suggestion=suggestion)


class Keys:
    """Look-up of keys in one project."""

    def __init__(self, composed: ComposedProject) -> None:
        self._composed = composed
        self._groups: Mapping[str, Mapping[str, Path]] = options_of(composed.project, [])

    def find(self, word: str) -> Key:
        """Return the key of a word; raise `ConfigError` for an unknown one."""
        group = word.removeprefix(f"{GROUPS}.")
        if group in self._groups and (group != word or "." not in word):
            return Key(word, f"{GROUPS}.{group}", Kind.OPTION, tuple(self._groups[group]))
        names, tree = self._composed.names, self._composed.tree
        path, depth = full_key(word, tree, names)
        full = ".".join(path)
        if path[0] in SECTIONS:
            return Key(word, full, Kind.INT if full in _PER_VARIANT else Kind.OTHER)
        if shared_root(path, names.packages):
            node = node_at(tree, path)
            return Key(word, full, _KINDS.get(type(node.value), Kind.OTHER) if isinstance(node, Leaf) else Kind.OTHER)
        cls = names.tasks.get(".".join(path[: depth - 1])) if len(path) == depth else None
        param = parameters(cls).get(path[-1]) if cls is not None else None
        if param is None:  # an entry of a list or map, or unknown
            return Key(word, full, Kind.OTHER)
        return Key(word, full, _kind(param), _choices(param), cls, path[-1], param)


_KINDS = {int: Kind.INT, float: Kind.FLOAT, str: Kind.TEXT}


def _kind(param: luigi.Parameter[Any]) -> Kind:
    number = getattr(param, "_var_type", None) if isinstance(param, luigi.NumericalParameter) else None
    if isinstance(param, luigi.IntParameter) or number is int:
        return Kind.INT
    if isinstance(param, luigi.FloatParameter) or number is float:
        return Kind.FLOAT
    if isinstance(param, luigi.ListParameter | luigi.ChoiceListParameter | luigi.EnumListParameter):
        return Kind.LIST
    if isinstance(param, _DateParameterBase | _DatetimeParameterBase):
        return Kind.DATE
    return Kind.TEXT if takes_text(param) else Kind.OTHER


def _choices(param: Any) -> tuple[str, ...]:
    if isinstance(param, luigi.BoolParameter):
        return ("false", "true")
    if isinstance(param, luigi.ChoiceListParameter | luigi.EnumListParameter):
        return ()
    if isinstance(param, luigi.EnumParameter):
        return tuple(member.name for member in cast("Any", param)._enum)
    if isinstance(param, luigi.ChoiceParameter):
        return tuple(map(str, sorted(param._choices, key=_order)))
    return ()


def _order(choice: object) -> tuple[bool, Any]:
    is_number = isinstance(choice, int | float)
    return not is_number, choice if is_number else str(choice)


def values_of(key: Key, text: str) -> list[str]:
    """Return the values that a text stands for, each as one override writes it; raise `ConfigError`."""
    try:
        items = split_items(text)
    except WordError as error:
        raise key.refused(f"'{key.word}={key.shown(text)}' {error}", f"{key.word}={_one_text(key, text)}") from error
    if len(items) > 1:
        _check_items(key, text, items)
    elif text.strip()[:1] in {"[", "{"} and (key.choices or key.kind in {Kind.INT, Kind.FLOAT, Kind.DATE}):
        inner = text.strip()[1:-1]
        raise key.refused(f"'{key.word}={text}' is one list or map", f"{key.word}={inner} to run each")
    values = [value for item in items for value in _expanded(key, item, alone=len(items) == 1)]
    check_setting(key, values)
    check_twice(key, values)
    return values


def check_setting(key: Key, values: Sequence[str]) -> None:
    """Raise `ConfigError` for several values of a setting that all variants share."""
    if len(values) > 1 and key.full.partition(".")[0] in SECTIONS and key.full not in _PER_VARIANT:
        raise key.refused("it cannot differ within one run, since all variants are one plan. Run once for each value")


def _one_text(key: Key, text: str) -> str:
    return f"'{quoted(key.shown(text))}' for one text"


def _check_items(key: Key, text: str, items: Sequence[str]) -> None:
    """Raise `ConfigError` for several values that are probably meant otherwise."""
    word, texts = key.word, [item.strip() for item in items]
    if key.is_secret:
        raise key.refused("a secret has one value", f"{word}='\"...\"' for one text with a comma")
    if not all(texts):
        rest = joined([unquoted(each) if is_quoted(each) else each for each in texts if each])
        empty = ", '\"\"' for empty text" if key.kind is Kind.TEXT else ""
        one = f", or {word}={_one_text(key, text)}" if key.kind is Kind.TEXT else ""
        raise key.refused(f"'{word}={text}' has an empty value", f"{word}={rest}{empty}{one}")
    if key.kind is Kind.LIST and not all(each.startswith("[") for each in texts):
        raise key.refused(
            f"'{word}={text}' is no list", f"{word}='[{','.join(texts)}]', or {word}='{_lists(texts)}' to run each"
        )
    if key.keeps_blanks and any(item != item.strip() for item in items):
        raise key.refused(
            f"'{word}={text}' has a blank beside a comma",
            f"'{word}={joined(texts)}' for {len(items)} values, or {word}={_one_text(key, text)}",
        )


def _lists(texts: Sequence[str]) -> str:
    return ",".join(each if each.startswith("[") else f"[{each}]" for each in texts)


def _expanded(key: Key, item: str, *, alone: bool) -> list[str]:
    """Return the values of one item: those of a range or of `*`, else itself."""
    text = item.strip()
    if text in {"*", "'*'", '"*"'} and (key.choices or key.kind in {Kind.INT, Kind.FLOAT}):
        if not key.choices:
            raise key.refused(f"'{key.word}=*': it has no list of values", f"a range, such as {key.word}=1..9")
        return list(key.choices)
    if ".." in text and not is_quoted(text):
        if key.kind in {Kind.INT, Kind.FLOAT}:
            return _numbers(key, text)
        if key.kind is Kind.DATE:
            option = f"--range {key.name}={text}"
            raise key.refused(f"'{key.word}={text}' is a range of dates, which is an option of its own", option)
    if is_quoted(text) and key.kind in {Kind.TEXT, Kind.OPTION} and (not alone or "," in text):
        return [key.as_override(unquoted(text))]
    return [item if alone or key.keeps_blanks else text]


def _numbers(key: Key, text: str) -> list[str]:
    found = read_range(text)
    if found is None:
        end = "FIRST..LAST or FIRST..LAST..STEP"
        is_log = text.endswith(" log")
        hint = "; 'log' is for kart search" if is_log else ""
        raise key.refused(f"'{key.word}={text}' is no range of numbers{hint}", f"{key.word}={end}")
    try:
        return expand_range(found, whole=key.kind is Kind.INT)
    except WordError as error:
        raise key.refused(f"'{key.word}={text}' {error}") from error


def check_twice(key: Key, values: Sequence[str]) -> None:
    """Raise `ConfigError` if two of several texts are one value."""
    first: dict[Any, str] = {}
    again: list[tuple[str, str]] = []
    for text in values if len(values) > 1 else ():
        value = _value(key, text)
        if value in first:
            again.append((first[value], text))
        else:
            first[value] = text
    if again:
        before, text = again[0]
        both = f"{text} is there twice" if before == text else f"{before} and {text} are one value"
        raise key.refused(f"'{key.word}={','.join(values)}': {both}", f"{key.word}={joined(list(first.values()))}")


def _value(key: Key, text: str) -> Any:
    """Return something that is equal for texts of one value; the text itself if it is invalid."""
    if key.param is None:
        return text
    errors: list[ConfigError] = []
    node = read_typed(key.param, text, key.full, errors)
    try:
        value = coerce(key.param, plain(node), text=node.text if isinstance(node, Leaf) else None) if node else text
        return type(value), repr(value)
    except ValueError:
        return text


def shown_values(key: Key, values: Sequence[str]) -> str:
    """Return a key with its values for people to read, of many only the first ones and the last."""
    texts = [key.shown(text) or '""' for text in values]
    if len(texts) > _SHOWN + 1:
        texts = [*texts[:_SHOWN], "...", texts[-1]]
    return f"{key.word} {', '.join(texts)}"
