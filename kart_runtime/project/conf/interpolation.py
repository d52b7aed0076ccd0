"""Interpolations `${...}`, resolved by OmegaConf, which is imported for the first value that contains one.

A value that refers to `${oc.env:NAME}`, directly or through another key, is secret, and so is what a resolver that is
not OmegaConf's own returns: it may have asked a vault.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from kart_runtime.errors import ConfigError, EnvVarMissing, closest_match
from kart_runtime.errors.secret_sources import note_variable
from kart_runtime.project.conf.tree import Branch, Node, node_at, origin_of, plain

_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?([^},\s'\"]+)")
_SELECTED = re.compile(r"oc\.(?:select|deprecated|dict\.(?:keys|values))\s*:\s*['\"]?([\w.\[\]-]+)")
_RESOLVER = re.compile(r"(?<!\\)\$\{\s*([A-Za-z_][\w.]*)\s*:")
_PLAIN_RESOLVERS = {"oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select"}
"""Resolvers of OmegaConf that return what stands in the configuration."""
_REFERENCE = re.compile(r"\$\{\s*(\.*[^${}:]+?)\s*\}")


class Interpolation:
    """Values of a composed tree, with interpolations resolved."""

    def __init__(self, tree: Branch) -> None:
        self._tree = tree
        self._sizes: dict[tuple[str, ...], int] = {}
        """Path of a value to the number of references that it stands for."""
        self._chains: dict[tuple[str, ...], int] = {}
        """Path of a value to the length of its longest chain of references."""

    @cached_property
    def _plain(self) -> Any:
        return plain(self._tree)

    @cached_property
    def _config(self) -> Any:
        from omegaconf import OmegaConf  # slow to import, and it wraps every value of the tree

        return OmegaConf.create(_without_broken(self._plain))

    def value(self, path: tuple[str, ...], raw: object, *, origin: str) -> object:
        """Return the value at `path` with its interpolations resolved; raise `ConfigError` if that is not possible."""
        if not _contains(raw, "${") and not _contains(raw, "???"):
            return raw
        if raw == "???":
            raise ConfigError("must be set: the value is still ???", file=origin, key=".".join(path))
        reason = self._reason(path, raw)
        if reason is not None:
            raise self._error(path, raw, reason, origin)
        return _resolved(self._config, path)

    def _reason(self, path: tuple[str, ...], raw: object) -> str | None:
        """Return why the value at `path` cannot be resolved; None if it can."""
        broken = next(filter(None, map(_syntax_error, _texts(raw))), None)
        if broken is not None:
            return broken
        from omegaconf.errors import OmegaConfBaseException

        most = _MAX_OF_A_TEXT if isinstance(raw, str) else _MAX_REFERENCES
        if self._size(path, raw) > most:  # before OmegaConf begins, which takes a millisecond for each
            return f"it stands for more than {most:,} references"
        if self._chains.get(path, 0) > _MAX_CHAIN:
            return _TOO_LONG
        try:
            _resolved(self._config, path)
        except OmegaConfBaseException as error:
            return str(error).splitlines()[0]
        except RecursionError:
            return "it refers to itself"
        except _TooMany:
            return f"it stands for more than {_MAX_REFERENCES:,} references"
        return None

    def _size(self, path: tuple[str, ...], raw: object) -> int:
        """Return the number of references that a value stands for, as far as its text shows them."""
        try:
            return self._counted(path, raw)
        except RecursionError:  # OmegaConf would not come to its end either
            unfinished = self._sizes.keys() - self._chains.keys()
            self._chains.update(dict.fromkeys(unfinished, _MAX_CHAIN + 1))
            return 0

    def _counted(self, path: tuple[str, ...], raw: object) -> int:
        if path in self._sizes:
            return self._sizes[path]
        self._sizes[path] = 0  # of one that refers to itself
        size, chain = 0, 0
        parts = raw.items() if isinstance(raw, Mapping) else enumerate(raw) if isinstance(raw, list) else ()
        for name, value in parts:
            part = (*path, str(name))
            size += self._counted(part, value)
            chain = max(chain, self._chains.get(part, 0))
        if isinstance(raw, str) and "${" in raw:
            for reference in (*_REFERENCE.findall(raw), *_SELECTED.findall(raw)):
                target = _target(path, reference)
                size += 1 + self._counted(target, _value_at(self._plain, target))
                chain = max(chain, 1 + self._chains.get(target, 0))
        self._sizes[path], self._chains[path] = size, chain
        return size

    def _error(self, path: tuple[str, ...], raw: object, reason: str, origin: str) -> ConfigError:
        """Return the error for a value, at the key whose own text is at fault: others may only refer to it."""
        seen = {path}
        pending = [] if reason == _TOO_LONG else [(path, reference) for reference in _references(raw)]
        while pending:
            target = _target(*pending.pop())
            found = _value_at(self._plain, target)
            if target in seen or not isinstance(found, str) or "${" not in found:
                continue
            seen.add(target)
            why = self._reason(target, found)
            if why is not None:
                path, raw, reason, origin = target, found, why, self._origin(target, origin)
                pending = [(target, reference) for reference in _references(found)]
        key = ".".join(path)
        variable = re.search(r"Environment variable '(.+)' not found", reason)
        if variable:
            return EnvVarMissing(variable[1], file=origin, key=key)
        return ConfigError(
            f"cannot be resolved: {reason}. Correct the reference, or write \\${{ for a literal ${{",
            file=origin,
            key=key,
            suggestion=self._closest_key(reason),
        )

    def _closest_key(self, reason: str) -> str | None:
        """Return the known key that is closest to the one that was not found."""
        missing = re.search(r"Interpolation key '(.+)' not found", reason)
        if missing is None:
            return None
        head, dot, _ = missing[1].rpartition(".")
        beside = _value_at(self._plain, tuple(head.split("."))) if dot else self._plain
        if isinstance(beside, Mapping):
            return closest_match(missing[1], [f"{head}{dot}{name}" for name in beside])
        return closest_match(missing[1], [".".join(path) for path in _paths(self._plain)])

    def _origin(self, path: tuple[str, ...], default: str) -> str:
        node: Node | None = None
        for length in range(len(path), 0, -1):  # an element of a list has no place of its own
            node = node_at(self._tree, path[:length])
            if node is not None:
                return origin_of(node)
        return default

    def is_secret(self, path: tuple[str, ...], raw: object) -> bool:
        """Return whether the value at `path` is from outside, directly or through another key, and note the secrets."""
        try:
            return self._is_from_outside(path, raw, set())
        except RecursionError:  # so long a chain is refused
            return True

    def note_environment(self, raw: object) -> None:
        """Note as secrets the environment variables that a value refers to."""
        for name in _ENVIRONMENT.findall(str(raw)):
            note_variable(name, os.environ.get(name, ""))

    def _is_from_outside(self, path: tuple[str, ...], raw: object, seen: set[tuple[str, ...]]) -> bool:
        if isinstance(raw, Mapping):
            return sum(self._is_from_outside((*path, name), value, seen) for name, value in raw.items()) > 0
        if isinstance(raw, list):
            return sum(self._is_from_outside((*path, str(at)), value, seen) for at, value in enumerate(raw)) > 0
        if not isinstance(raw, str) or "${" not in raw:
            return False
        self.note_environment(raw)
        if _asks_outside(raw):
            return True
        # ${a.${b}}: which key is meant is only known when resolved, so it counts as secret when anything could be.
        if re.search(r"\$\{[^}]*\$\{", raw) and _asks_outside(str(self._plain)):
            self.note_environment(self._plain)
            return True
        references = (*_REFERENCE.findall(raw), *_SELECTED.findall(raw))
        return sum(self._reference_is_secret(path, reference, seen) for reference in references) > 0  # all are noted

    def _reference_is_secret(self, path: tuple[str, ...], reference: str, seen: set[tuple[str, ...]]) -> bool:
        target = _target(path, reference)
        if target in seen:
            return False
        seen.add(target)
        value = _value_at(self._plain, target)
        return value is not None and self._is_from_outside(target, value, seen)


def _asks_outside(text: str) -> bool:
    """Return whether a text asks the environment, or a resolver that the project or a library has registered."""
    return any(name not in _PLAIN_RESOLVERS for name in _RESOLVER.findall(text))


def _references(raw: object) -> list[str]:
    return [reference for text in _texts(raw) for reference in _REFERENCE.findall(text)]


def _target(path: tuple[str, ...], reference: str) -> tuple[str, ...]:
    """Return the full key that a reference in the value at `path` means."""
    name = reference.lstrip(".")
    dots = len(reference) - len(name)
    parts = tuple(part for part in re.split(r"[.\[\]]", name) if part)
    return (*path[:-dots], *parts) if dots else parts


def _value_at(value: Any, path: tuple[str, ...]) -> Any:
    """Return the plain value at `path`; None if there is none."""
    for part in path:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def _paths(value: object) -> Iterator[tuple[str, ...]]:
    """Yield the path of each value in nested maps."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from ((str(name), *rest) for rest in _paths(item))
    else:
        yield ()


def _texts(raw: object) -> Iterator[str]:
    """Yield the texts of a value that have interpolations."""
    if isinstance(raw, str):
        if "${" in raw:
            yield raw
    elif isinstance(raw, Mapping | list):
        for value in raw.values() if isinstance(raw, Mapping) else raw:
            yield from _texts(value)


def _syntax_error(text: str) -> str | None:
    """Return why a text is not a valid interpolation; OmegaConf would refuse the whole tree for it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if text.count("${") > _MAX_OF_A_TEXT:  # before its parser begins, which takes seconds for thousands
        return f"it has more than {_MAX_OF_A_TEXT:,} references"
    if _depth(text) > _MAX_DEPTH:
        return f"its references are nested more than {_MAX_DEPTH} levels deep"
    try:
        OmegaConf.create({"text": text})
    except OmegaConfBaseException as error:
        return str(error).splitlines()[0]
    return None


def _depth(text: str) -> int:
    """Return how many references of a text lie within one another at most."""
    depth = deepest = 0
    for mark in re.findall(r"\$\{|\}", text):
        depth = depth + 1 if mark == "${" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


_UNRESOLVABLE = "${kart.not_valid:}"
"""In place of a text that is not a valid interpolation: what refers to it cannot be resolved either."""


def _without_broken(value: Any) -> Any:
    """Return plain values without texts that are not valid interpolations, because each has its own error."""
    if isinstance(value, Mapping):
        return {name: _without_broken(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_broken(item) for item in value]
    return _UNRESOLVABLE if isinstance(value, str) and "${" in value and _syntax_error(value) else value


def _contains(raw: object, mark: str) -> bool:
    if isinstance(raw, str):
        return mark in raw
    if isinstance(raw, Mapping):
        return any(_contains(value, mark) for value in raw.values())
    return isinstance(raw, list) and any(_contains(value, mark) for value in raw)


_MAX_OF_A_TEXT, _MAX_REFERENCES = 200, 5_000
"""References that a text, and a map or list, may stand for: a few lines of ${b}${b} double them with each line."""

_MAX_CHAIN = 30
"""References one after the other: OmegaConf resolves all that follow for each of them, and calls itself."""
_TOO_LONG = f"it leads through more than {_MAX_CHAIN} references, one after the other"

_MAX_DEPTH = 20
"""Levels of references within references: OmegaConf's parser calls itself for each, and Python ends that."""


class _TooMany(BaseException):
    """A value stands for too many references; OmegaConf would turn an Exception into one of its own."""


_resolving = threading.Lock()


@contextmanager
def _counted() -> Iterator[None]:
    """Raise `_TooMany` when more references are resolved inside the block than a value may stand for.

    OmegaConf resolves each of them anew wherever it occurs, and has no limit of its own.
    """
    from omegaconf.base import Container

    left = _MAX_REFERENCES
    methods = {name: getattr(Container, name) for name in ("_resolve_node_interpolation", "_evaluate_custom_resolver")}

    def counting(method: Any) -> Any:
        def counted(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise _TooMany
            return method(self, *args, **options)

        return counted

    with _resolving:
        try:
            for name, method in methods.items():
                setattr(Container, name, counting(method))
            yield
        finally:
            for name, method in methods.items():
                setattr(Container, name, method)


def _resolved(config: Any, path: tuple[str, ...]) -> object:
    with _counted():
        return _resolved_node(config, path)


def _resolved_node(config: Any, path: tuple[str, ...]) -> object:
    from omegaconf import DictConfig, ListConfig, OmegaConf

    node = config
    for name in path:
        node = node[name]
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    return node
