"""Secrets of this process, by value, which no text that is kept or shown may hold.

Whatever learns of a secret notes it: the configuration, a `SecretParameter` that is read, a url with a password. Texts
are masked where they are written, whatever put the secret into them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
"""Text that replaces a secret."""

_SHORTEST = 4
"""Characters of a secret from which on it is replaced; shorter ones are parts of ordinary words."""

_WITHIN_WORDS = 8
"""Characters from which on it is replaced inside of words as well, such as in ``tokenABC``."""

_PASSWORD = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)(?=@)")

_values: frozenset[str] = frozenset()
"""The secrets as they were noted."""

_known: tuple[str, ...] = ()
"""The texts that show a secret, longest first, since one may be a part of another."""

_pattern: re.Pattern[str] | None = None


_PLAIN = re.compile(r"true|false|null|none|[-+.\d]{1,7}", re.IGNORECASE)
"""Values of environment variables that say nothing secret, and occur in any text."""


def may_be_secret(text: str) -> bool:
    """Return whether a value of the environment can be a secret: no plain number, and no path of this machine."""
    is_place = os.path.isabs(text) and os.path.exists(text)  # noqa: PTH110, PTH117 - of a text
    return not (_PLAIN.fullmatch(text) or is_place)


def note_secret(value: object) -> None:
    """Remember the texts in a value, so that `masked` replaces them, but those too short to be told from words."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            note_secret(item)
    elif isinstance(value, str) and value not in _values:
        _note(value)


def _note(value: str) -> None:
    global _values, _known, _pattern
    _values |= {value}
    texts = {text for text in _forms(value) if len(text) >= _SHORTEST}
    _known = tuple(sorted(texts.union(_known), key=len, reverse=True))
    _pattern = re.compile("|".join(map(_expression, _known))) if _known else None


def _forms(value: str) -> Iterator[str]:
    """Yield a secret as it may be written: as it is, in a url, quoted by Python or JSON, line by line."""
    stripped = value.strip()
    for text in (stripped, *(line.strip() for line in stripped.splitlines() if len(line) > _WITHIN_WORDS)):
        yield from (text, quote(text, safe=""), quote_plus(text), repr(text)[1:-1], json.dumps(text)[1:-1])
    password = _PASSWORD.search(value)
    if password:
        yield from (password[2], unquote(password[2]))


def _expression(text: str) -> str:
    escaped = re.escape(text)
    return escaped if len(text) >= _WITHIN_WORDS else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def note_password(url: str) -> None:
    """Remember the password in a url, if it has one."""
    match = _PASSWORD.search(url) if "://" in url else None
    if match:
        note_secret(match[2])
        note_secret(unquote(match[2]))


def forget_secrets() -> None:
    """Forget all secrets, for tests."""
    global _values, _known, _pattern
    _values, _known, _pattern = frozenset(), (), None


def any_secret() -> bool:
    """Return whether any secret is known."""
    return bool(_known)


def masked(text: str) -> str:
    """Return a text with `***` in place of each known secret, and of each password in a url."""
    if "://" not in text:
        if _pattern is None:
            return text
    elif "@" in text:
        text = _PASSWORD.sub(rf"\1:{MASK}", text)
    if _pattern is not None and any(secret in text for secret in _known):
        text = _pattern.sub(MASK, text)
    return text


def masked_values(value: object) -> object:
    """Return a value of JSON with `***` in place of each known secret in its texts."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_values(item) for key, item in value.items()}
    return [masked_values(item) for item in value] if isinstance(value, list | tuple) else value
