"""Secrets of this process, by value, which no text that is kept or shown may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "***"
"""Text that replaces a secret."""

_SHORTEST = 4
"""Characters of a secret from which on it is replaced inside of texts; shorter ones are parts of ordinary words."""

_known: tuple[str, ...] = ()
"""The secrets, longest first, since one may be a part of another."""


def note_secret(value: object) -> None:
    """Remember a secret, so that `masked` replaces it, unless it is no text or too short to be told from words."""
    global _known
    if isinstance(value, str) and len(value) >= _SHORTEST and value not in _known:
        _known = tuple(sorted((*_known, value), key=len, reverse=True))


def any_secret() -> bool:
    """Return whether any secret is known."""
    return bool(_known)


def masked(text: str) -> str:
    """Return a text with `***` in place of each known secret."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def masked_values(value: Any) -> Any:
    """Return a value of JSON with `***` in place of each known secret in its texts."""
    if not _known:
        return value
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_values(item) for key, item in value.items()}
    return [masked_values(item) for item in value] if isinstance(value, list | tuple) else value
