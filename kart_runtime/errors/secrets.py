"""Secrets of this process, by value, which no text that is kept or shown may hold.

Whatever learns of a secret notes it: the environment, the configuration, a parameter that is not public, a url with a
password. Texts are masked where they are written, whatever put the secret into them.
"""

from __future__ import annotations

import json
import re
import threading
from binascii import b2a_base64
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
"""Text that replaces a secret."""

SHORTEST = 4
"""Characters of a secret from which on it is replaced; shorter ones are parts of ordinary words."""

WITHIN_WORDS = 8
"""Characters from which on it is replaced inside of words as well, such as in ``tokenABC``."""

_SHORTEST_ENCODED = 6
"""Bytes of a secret from which on it is known in base64, of which it takes up eight characters."""

_LONG_URL_PART = 16
"""Characters from which on the last part of a secret url's path is a secret of its own."""

_PASSWORD = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/'\"]+)(?=@)")

_HTML_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_HTML = _HTML_TEXT | str.maketrans({'"': "&quot;", "'": "&#x27;"})

_MOST_COMPARED = 100
"""Texts of secrets up to which each is looked for alone, which is quick; of more, each place of a text is looked up."""

_values: set[str] = set()
"""The secrets as they were noted."""

_texts: set[str] = set()
"""The texts that show a secret."""

_lengths: dict[str, tuple[int, ...]] = {}
"""The first characters of these texts to the lengths of those that begin with them, longest first."""

_few: tuple[str, ...] | None = ()
"""The texts while there are few of them."""

_lock = threading.Lock()

_sources: list[Callable[[], None]] = []
"""Functions that note what this process has from its beginning, called once, before the first text is masked."""


def before_first_text(source: Callable[[], None]) -> Callable[[], None]:
    """Call a function, which notes secrets, before the first text is masked."""
    _sources.append(source)
    return source


def note_secret(value: object) -> None:
    """Remember the texts in a value, so that `masked` replaces them, but those too short to be told from words."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            note_secret(item)
    elif isinstance(value, str) and value not in _values:
        _note(value)


def _note(value: str) -> None:
    global _few
    with _lock:  # threads that run tasks learn of secrets at any time
        for text in set(_forms(value)):
            if len(text) >= SHORTEST and text not in _texts:
                lengths = {len(text), *_lengths.get(text[:SHORTEST], ())}
                _lengths[text[:SHORTEST]] = tuple(sorted(lengths, reverse=True))
                _texts.add(text)
        _few = tuple(_texts) if len(_texts) <= _MOST_COMPARED else None
        _values.add(value)


def _forms(value: str) -> Iterator[str]:
    """Yield a secret as it may be written: as it is, line by line, quoted or encoded; the parts of a secret url."""
    stripped = value.strip()
    for text in (stripped, *(line.strip() for line in stripped.splitlines() if len(line) > WITHIN_WORDS)):
        yield from _written(text)
    password = _PASSWORD.search(value)
    if password:
        yield from _written(password[2])
        yield from _written(unquote(password[2]))
    if stripped.startswith(("http://", "https://")):
        yield from _parts(stripped)


def _written(text: str) -> Iterator[str]:
    """Yield a text as urls, Python, JSON, HTML, and headers write it."""
    data = text.encode(errors="surrogatepass")
    for each in (text, quote(data, safe=""), quote(data), quote_plus(data)):
        yield each
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), each)
    quoted = {repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    yield from (repr(data)[2:-1], text.translate(_HTML), text.translate(_HTML_TEXT), *quoted)
    for each in quoted:  # a text in JSON in a record, and the repr of one in a message
        yield from (json.dumps(each)[1:-1], repr(each)[1:-1])
    if len(data) >= _SHORTEST_ENCODED:
        yield from (data.hex(), data.hex().upper(), *_base64(data))


def _base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of bytes alone, and of those at any place of a longer text."""
    texts = [_encoded(data).rstrip("=")]
    for before in range(3):
        encoded = _encoded(bytes(before) + data)
        texts.append(encoded[-(-8 * before // 6) : 8 * (before + len(data)) // 6])
    for text in texts:
        yield from (text, text.replace("+", "-").replace("/", "_"))


def _encoded(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _parts(url: str) -> Iterator[str]:
    """Yield the path of a secret url, which a library may log alone, and its long parts."""
    try:
        place = urlsplit(url)
    except ValueError:
        return
    path = f"{place.path}?{place.query}" if place.query else place.path
    if len(path) > WITHIN_WORDS:
        yield from _written(path)
    for part in re.split("[/?&=]", path):
        if len(part) >= _LONG_URL_PART:
            yield from _written(part)


def note_password(url: str) -> None:
    """Remember the password in a url, if it has one."""
    match = _PASSWORD.search(url) if "://" in url else None
    if match:
        note_secret(match[2])
        note_secret(unquote(match[2]))


def noted_secrets() -> tuple[str, ...]:
    """Return the secrets, for a process of the same machine that runs tasks for this one."""
    if _sources:
        _look()
    with _lock:
        return tuple(sorted(_values))


def forget_secrets() -> None:
    """Forget all secrets, for tests."""
    global _few
    with _lock:
        _values.clear()
        _texts.clear()
        _lengths.clear()
        _few = ()


def _look() -> None:
    """Note what this process has from its beginning."""
    while _sources:
        _sources.pop()()


def any_secret() -> bool:
    """Return whether any secret is known."""
    if _sources:
        _look()
    return bool(_texts)


def masked(text: str) -> str:
    """Return a text with `***` in place of each known secret, and of each password in a url."""
    if _sources:
        _look()
    if "://" in text and "@" in text:
        text = _PASSWORD.sub(rf"\1:{MASK}", text)
    few = _few
    if few is None:
        return _replaced(text)
    for secret in few:
        if secret in text:
            return _replaced(text)
    return text


def _replaced(text: str) -> str:
    """Return a text in which the longest secret at each place is replaced."""
    parts: list[str] = []
    done = place = 0
    while place <= len(text) - SHORTEST:
        end = next((place + n for n in _lengths.get(text[place : place + SHORTEST], ()) if _is_at(text, place, n)), 0)
        if end:
            parts += (text[done:place], MASK)
            done = place = end
        else:
            place += 1
    return "".join((*parts, text[done:])) if parts else text


def _is_at(text: str, place: int, length: int) -> bool:
    """Return whether a secret of a length is at a place of a text; a short one must be a word of its own."""
    end = place + length
    if text[place:end] not in _texts:
        return False
    if length >= WITHIN_WORDS:
        return True
    return not (_is_of_word(text[place - 1 : place]) or _is_of_word(text[end : end + 1]))


def _is_of_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def masked_values(value: object) -> object:
    """Return a value of JSON with `***` in place of each known secret in its texts."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_values(item) for key, item in value.items()}
    return [masked_values(item) for item in value] if isinstance(value, list | tuple) else value


def masked_copy(value: Any) -> Any:
    """Return a value with masked texts, in containers of the same kind; the value itself if none shows a secret."""
    if isinstance(value, str):
        shown = masked(value)
        return value if shown == value else shown
    if isinstance(value, dict):
        items = {masked_copy(key): masked_copy(item) for key, item in value.items()}
        if len(items) != len(value):
            return items
        pairs = zip(items.items(), value.items(), strict=True)
        return items if any(new[0] is not old[0] or new[1] is not old[1] for new, old in pairs) else value
    if isinstance(value, list | tuple | set | frozenset | deque):
        copies = [masked_copy(item) for item in value]
        if all(new is old for new, old in zip(copies, value, strict=True)):
            return value
        make = getattr(type(value), "_make", None) or type(value)  # that of a named tuple
        return make(copies)
    return value


def masked_objects(values: dict[str, Any], dump: Callable[[object], bytes]) -> dict[str, Any]:
    """Return values for a file: what still shows a secret when it is dumped is replaced by its masked text."""
    copy: dict[str, Any] = masked_copy(values)
    if not _texts or not _shows_secret(dump(copy)):
        return copy
    return {key: masked(repr(item)) if _shows_secret(dump(item)) else item for key, item in copy.items()}


def _shows_secret(data: bytes) -> bool:
    return any(text.encode(errors="surrogatepass") in data for text in list(_texts) if len(text) >= WITHIN_WORDS)
