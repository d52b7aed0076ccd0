"""Where secrets come from: names of environment variables, shapes of values, and what is no secret whatever its place.

A value from the environment is a secret unless it says nothing: ordinary words, numbers, places and the names of hosts
stand in many texts, which nobody could read without them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from kart_runtime.errors.secrets import before_first_text, note_password, note_secret

_SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:[A-Z]*(?:PASSWORDS?|PASSWD|PASSPHRASE|PASSCODE|SECRETS?|TOKENS?|(?<!BY)(?<!COM)PASS|PW)|PWD"
    r"|CREDENTIALS?|CREDS?|BEARER|JWT|COOKIE|SAS|PAT|DSN|AUTH|AUTHORIZATION|WEBHOOKS?|API_?KEYS?"
    r"|(?:ACCESS|ACCOUNT|CLIENT|ENCRYPTION|HMAC|MASTER|PRIVATE|SECRET|SERVICE|SIGNING|SSH|STORAGE)_?KEYS?|CONN(?:ECTION)?_?STR(?:ING)?)\d*(?:[_.-]|$)",
    re.IGNORECASE,
)
"""Names of variables and of members of JSON that hold secrets, as `_words` gives them."""

_PLAIN_NAME = re.compile(
    r"(?:^|[_.-])(?:ARN|BUCKET|DATABASE|DATE|DB|DIR|DIRECTORY|DISPLAY|DOMAIN|EDITOR|ENV|ENVIRONMENT|EXPERIMENT|FILE|FOLDER"
    r"|FORMAT|HOME|HOST|HOSTNAME|LANG|LEVEL|METHOD|MODE|NAME|OLDPWD|PATH|PORT|PREFIX|PROFILE|PROJECT|REGION|ROOT|SCHEMA|SHELL"
    r"|SOCK|STAGE|TABLE|TERM|TYPE|TZ|USER|USERNAME|VERSION|WORKSPACE|ZONE)$|^PWD$",
    re.IGNORECASE,
)
"""Names of variables whose values are no secrets."""

_KEY_NAME = re.compile(r"(?:^|[_.-])KEYS?$", re.IGNORECASE)
"""Names of variables that hold a secret key, or the name of a column."""

_NUMBER = re.compile(r"true|false|null|none|[-+.\d]{1,7}", re.IGNORECASE)
"""Values that say nothing secret, and occur in any text: flags and short numbers."""

_WORD = re.compile(r"[a-z]{1,7}", re.IGNORECASE)

_PLACE = re.compile(
    r"(?:s3|gs|gcs|file|memory)://[^@]*"  # objects in buckets
    r"|[\w.-]+:\d{1,5}"  # hosts with a port
    r"|[a-z]+(?:-[a-z]+)?-(?:north|south|east|west|central)[a-z]*-?\d[a-z]?"  # regions
    r"|[a-z][\w+.-]*://[\w.-]+(?::\d+)?(?:/[\w.~-]{0,15})*"  # addresses without a user, a query, or a long part
    r"|\d{4}-\d\d(?:-\d\d(?:[T ][\d:.+Z-]*)?)?",  # dates
    re.IGNORECASE,
)
"""Texts that say where or when something is."""

_DEFAULTS = frozenset(
    {"admin", "default", "dev", "example", "guest", "local", "password", "postgres", "root", "test", "testing", "user"}
)
"""Passwords of test databases, which everybody knows and which occur in any text."""

_PART = re.compile(r"(?:^|;)\s*([\w ]+?)\s*=\s*([^;]+)")
"""A setting in a connection string."""

_WORDS = frozenset(
    {"default", "development", "disabled", "enabled", "localhost", "password", "postgres", "postgresql"}
    | {"production", "snowflake", "sqlalchemy", "username", "warehouse"}
)
"""Longer words that occur in any text."""


def may_be_secret(text: str, name: str = "") -> bool:
    """Return whether a value can be a secret; `name` is the environment variable that has it.

    Numbers, flags and paths of this machine never are. A name that says what it holds decides on the rest; without one,
    words, addresses, regions and places in buckets are none.
    """
    text = text.strip()
    is_place = os.path.isabs(text) and os.path.exists(text)  # noqa: PTH110, PTH117 - of a text
    if not text or is_place or _NUMBER.fullmatch(text) or text.lower() in _DEFAULTS:
        return False
    name = _words(name)
    if _PLAIN_NAME.search(name):
        return False
    if _SECRET_NAME.search(name):
        return True
    return not (_WORD.fullmatch(text) or text.lower() in _WORDS or _PLACE.fullmatch(text))


def _words(name: str) -> str:
    """Return a name with its words apart: `clientSecret` as `client_Secret`."""
    return re.sub(r"(?<=[a-z\d])(?=[A-Z])|\s+", "_", name)


@lru_cache(maxsize=4096)
def _says_secret(name: str) -> str:
    """Return whether a variable's name says that it holds a secret ("yes"), that it may ("key"), or neither ("")."""
    name = _words(name)
    if _PLAIN_NAME.search(name):
        return ""
    return "yes" if _SECRET_NAME.search(name) else "key" if _KEY_NAME.search(name) else ""


_seen: list[Any] = []
"""The values of all variables when they were last looked at."""


def note_new_environment() -> None:
    """Note the secrets of the environment if a variable was set since the last time."""
    if list(_variables().values()) != _seen:
        note_environment()


def _variables() -> Mapping[Any, Any]:
    """Return the environment as the interpreter holds it, which is quicker to compare than its texts."""
    data: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return data


@before_first_text
def note_environment() -> None:
    """Note the environment variables whose names say that they hold a secret, and the passwords in urls."""
    _seen[:] = list(_variables().values())
    for name, value in list(os.environ.items()):
        note_variable(name, value, if_named=True)


def note_variable(name: str, value: str, *, if_named: bool = False) -> None:
    """Note the value of an environment variable if it can be a secret; `if_named`: if its name says so."""
    note_password(value)
    says = _says_secret(name)
    if says == "key" and len(value) < 20 and not re.search(r"\d", value):
        says = ""
    if (says or not if_named) and may_be_secret(value, name if says != "key" else "SECRET"):
        note_secret(_members(value))


def _members(text: str) -> object:
    """Return the secrets in JSON, such as the key of a service account, or in a connection string, with the text."""
    if text.lstrip()[:1] not in ("{", "["):
        parts = [value.strip() for name, value in _PART.findall(text) if _is_named_secret(name)]
        return [text, *parts]
    try:
        found = list(_secret_members(json.loads(text)))
    except (ValueError, RecursionError):
        return text
    return found or text


def _is_named_secret(name: str) -> bool:
    name = _words(name)
    return not _PLAIN_NAME.search(name) and bool(_SECRET_NAME.search(name) or _KEY_NAME.search(name))


def _secret_members(value: Any, says: bool = False) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secret_members(item, _is_named_secret(str(name)))
    elif isinstance(value, list):
        for item in value:
            yield from _secret_members(item, says)
    elif says and isinstance(value, str) and may_be_secret(value, "SECRET"):
        yield value


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a value by which it may be shown: also of numbers, bytes, paths and the fields of objects."""
    reveal = getattr(value, "get_secret_value", None)  # as pydantic's SecretStr has
    if callable(reveal):
        value = reveal()
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="ignore")
    elif isinstance(value, int | float | PurePath) and not isinstance(value, bool):
        yield str(value)
    else:
        for item in _parts(value):
            yield from texts_in(item)


def _parts(value: Any) -> Iterable[Any]:
    """Return what is in a container, or the fields of an object that has declared them."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, type):
        return ()
    names = getattr(type(value), "__dataclass_fields__", ())
    names = names or [attribute.name for attribute in getattr(type(value), "__attrs_attrs__", ())]
    names = names or getattr(type(value), "model_fields", ())  # pydantic's
    return [getattr(value, name, None) for name in names]
