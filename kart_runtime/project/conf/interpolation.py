"""Interpolations `${...}`, resolved by OmegaConf, which is imported for the first value that contains one.

A value that refers to `${oc.env:NAME}`, directly or through another key, is secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from kart_runtime.errors import ConfigError, EnvVarMissing
from kart_runtime.project.conf.tree import Branch, plain

_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*([^},\s]+)")
_REFERENCE = re.compile(r"\$\{\s*(\.*[^${}:]+?)\s*\}")


class Interpolation:
    """Values of a composed tree, with interpolations resolved."""

    def __init__(self, tree: Branch) -> None:
        self._tree = tree

    @cached_property
    def _plain(self) -> Any:
        return plain(self._tree)

    @cached_property
    def _config(self) -> Any:
        from omegaconf import OmegaConf  # slow to import, and it wraps every value of the tree

        return OmegaConf.create(self._plain)

    def value(self, path: tuple[str, ...], raw: object, *, origin: str) -> object:
        """Return the value at `path` with its interpolations resolved; raise `ConfigError` if that is not possible."""
        if not _contains(raw, "${") and not _contains(raw, "???"):
            return raw
        key = ".".join(path)
        if raw == "???":
            raise ConfigError("must be set: the value is still ???", file=origin, key=key)
        from omegaconf.errors import OmegaConfBaseException

        try:
            return _resolved(self._config, path)
        except OmegaConfBaseException as error:
            variable = re.search(r"Environment variable '(.+)' not found", str(error))
            if variable:
                raise EnvVarMissing(variable[1], file=origin, key=key) from error
            reason = str(error).splitlines()[0]
            raise ConfigError(f"cannot be resolved: {reason}", file=origin, key=key) from error

    def is_secret(self, path: tuple[str, ...], raw: object) -> bool:
        """Return whether the value at `path` refers to an environment variable, directly or through another key."""
        return self._reaches_environment(path, raw, set())

    def _reaches_environment(self, path: tuple[str, ...], raw: object, seen: set[tuple[str, ...]]) -> bool:
        if isinstance(raw, Mapping):
            return any(self._reaches_environment((*path, name), value, seen) for name, value in raw.items())
        if isinstance(raw, list):
            return any(self._reaches_environment((*path, str(at)), value, seen) for at, value in enumerate(raw))
        if not isinstance(raw, str) or "${" not in raw:
            return False
        if _ENVIRONMENT.search(raw):
            return True
        # ${a.${b}}: which key is meant is only known when resolved, so it counts as secret when anything could be.
        if re.search(r"\$\{[^}]*\$\{", raw):
            return bool(_ENVIRONMENT.search(str(self._plain)))
        return any(self._reference_is_secret(path, reference, seen) for reference in _REFERENCE.findall(raw))

    def _reference_is_secret(self, path: tuple[str, ...], reference: str, seen: set[tuple[str, ...]]) -> bool:
        name = reference.lstrip(".")
        dots = len(reference) - len(name)
        parts = tuple(part for part in re.split(r"[.\[\]]", name) if part)
        target = (*path[:-dots], *parts) if dots else parts
        if target in seen:
            return False
        seen.add(target)
        value = self._plain
        for part in target:
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, TypeError, ValueError):
                return False
        return self._reaches_environment(target, value, seen)


def _contains(raw: object, mark: str) -> bool:
    if isinstance(raw, str):
        return mark in raw
    if isinstance(raw, Mapping):
        return any(_contains(value, mark) for value in raw.values())
    return isinstance(raw, list) and any(_contains(value, mark) for value in raw)


def _resolved(config: Any, path: tuple[str, ...]) -> object:
    from omegaconf import DictConfig, ListConfig, OmegaConf

    node = config
    for name in path:
        node = node[name]
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    return node
