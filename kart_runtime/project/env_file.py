"""Environment variables from the file `.env` in the project's root, for this machine and its secrets.

A variable that is already set keeps its value. No message contains a line of the file, which may hold a secret.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kart_runtime.errors import ConfigError, require_extra
from kart_runtime.errors.secret_sources import note_variable
from kart_runtime.project.problems import raise_all

VARIABLE = "KART_ENV_FILE"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_env_file(root: Path) -> None:
    """Set the variables of the root's `.env`, or of the file that `$KART_ENV_FILE` names; an empty name reads none."""
    name = os.environ.get(VARIABLE, ".env")
    path = root / name
    if path.is_file():
        for key, value in _variables(_text(path, name), name).items():
            os.environ.setdefault(key, value)
            note_variable(key, value)
    elif VARIABLE in os.environ and name:
        raise ConfigError(f"no such file: {path}", file=f"${VARIABLE}")


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"cannot be read: {reason}. To do without it, set {VARIABLE}= (empty)", file=name) from None


def _variables(text: str, name: str) -> dict[str, str]:
    errors: list[ConfigError] = []
    variables: dict[str, str] = {}
    for line, key, value in _lines(text):
        if key is None or value is None or not _NAME.fullmatch(key) or "\0" in value:
            errors.append(ConfigError("not a line NAME=value", file=f"{name}:{line}"))
        else:
            variables[key] = value
    raise_all(errors)
    return variables


def _lines(text: str) -> Iterator[tuple[int, str | None, str | None]]:
    """Yield line number, name and value of each entry; the name is None where the syntax is wrong."""
    with require_extra(".env files need python-dotenv", "cli"):
        from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        blank = binding.original.string[: -len(binding.original.string.lstrip())]
        line = binding.original.line + blank.count("\n")
        if binding.error:
            yield line, None, None
        elif binding.key is not None:
            yield line, binding.key, binding.value
