"""File of a sweep: a map of keys to lists, whose combinations run, or a list of maps, each of which is one variant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.yaml_documents import read_plain
from kart_runtime.sweeps.keys import Key, Keys, Kind, check_setting, check_twice
from kart_runtime.sweeps.words import quoted
from kart_runtime.task.parameters import as_found, is_optional

_GRID = "a map of keys to lists, such as TrainModel.max_depth: [2, 4]"
_LISTED = "a list of maps, such as - {TrainModel.max_depth: 2, TrainModel.kind: tree}"

Rows = tuple[tuple[str, ...], ...]


def read_sweep_file(file: str, keys: Keys, errors: list[ConfigError]) -> list[tuple[tuple[Key, ...], Rows]]:
    """Return the keys of a file with their values, as overrides write them; append what is wrong to `errors`."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        errors.append(ConfigError(f"cannot be read: {why}", file=file, key="--sweep"))
        return []
    before = len(errors)
    content = read_plain(text, name=file, errors=errors)
    if len(errors) > before:
        return []
    if isinstance(content, Mapping) and content:
        return list(_grid(file, keys, content, errors))
    if isinstance(content, list) and content:
        return list(_listed(file, keys, content, errors))
    found = "is empty" if content is None or content in ({}, []) else f"holds {as_found(content)}"
    errors.append(ConfigError(f"the file of a sweep {found}", file=file, expected=f"{_GRID}, or {_LISTED}"))
    return []


def _grid(
    file: str, keys: Keys, content: Mapping[str, object], errors: list[ConfigError]
) -> Iterator[tuple[tuple[Key, ...], Rows]]:
    """Yield each key of a map with its values."""
    seen: dict[str, str] = {}
    for word, values in _flat(content, ""):
        try:
            key = keys.find(word)
            if not isinstance(values, list):
                raise _wrong(file, word, f"expected a list, got {as_found(values)}", _GRID)
            if not values:
                raise _wrong(file, word, "the list is empty", _GRID)
            if key.full in seen:
                raise _wrong(file, word, f"it is there twice, also as {seen[key.full]}", None)
            seen[key.full] = word
            texts = [_text(file, key, value) for value in values]
            check_setting(key, texts)
            check_twice(key, texts)
        except ConfigError as error:
            errors.append(error)
        else:
            yield (key,), tuple((text,) for text in texts)


def _flat(content: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Yield the dotted keys of nested maps, and what they hold."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _listed(
    file: str, keys: Keys, content: Sequence[object], errors: list[ConfigError]
) -> Iterator[tuple[tuple[Key, ...], Rows]]:
    """Yield all keys of a list of maps, with the values of each map."""
    first = content[0]
    words = list(first) if isinstance(first, Mapping) else []
    before = len(errors)
    found: list[Key] = []
    for word in words:
        try:
            found.append(keys.find(word))
        except ConfigError as error:
            errors.append(error)
    rows: dict[tuple[str, ...], int] = {}
    for number, item in enumerate(content, 1):
        try:
            row = _row(file, number, item, words, found if len(found) == len(words) else [])
            if row in rows:
                raise _wrong(file, f"entry {number}", f"it is the same as entry {rows[row]}", None)
            rows[row] = number
        except ConfigError as error:
            errors.append(error)
    if len(errors) == before:
        for key, texts in zip(found, zip(*rows, strict=True), strict=True):
            check_setting(key, list(dict.fromkeys(texts)))
        yield tuple(found), tuple(rows)


def _row(file: str, number: int, item: object, words: Sequence[str], keys: Sequence[Key]) -> tuple[str, ...]:
    """Return the values of one map, in the order of the keys of the first one."""
    if not isinstance(item, Mapping) or not item:
        raise _wrong(file, f"entry {number}", f"expected a map, got {as_found(item)}", _LISTED)
    missing = [word for word in words if word not in item]
    more = [word for word in item if word not in words]
    if missing or more:
        what = f"it lacks {', '.join(missing)}" if missing else f"the first entry lacks {', '.join(more)}"
        raise _wrong(file, f"entry {number}", what, "the same keys in each entry")
    return tuple(_text(file, key, item[key.word]) for key in keys) if keys else (str(number),)


def _text(file: str, key: Key, value: object) -> str:
    """Return a value as an override writes it."""
    if key.kind in {Kind.TEXT, Kind.OPTION, Kind.DATE} and not (key.choices and key.kind is Kind.TEXT):
        if value is None and (key.kind is Kind.OPTION or (key.param is not None and is_optional(key.param))):
            return "null"
        if not isinstance(value, str):
            raise _wrong(file, key.word, f"expected text, got {as_found(value)}. Put it into quotes", None)
        return key.as_override(value)
    if isinstance(value, str):
        return key.as_override(value) if key.kind is Kind.TEXT else quoted(value)
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        return {"inf": ".inf", "-inf": "-.inf"}.get(str(value), ".nan")
    return json.dumps(value, ensure_ascii=False)


def _wrong(file: str, key: str, message: str, expected: str | None) -> ConfigError:
    return ConfigError(message, file=file, key=key, expected=expected)
