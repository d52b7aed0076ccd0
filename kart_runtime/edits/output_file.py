"""File that a command writes by `-o`: checked before the work, and replaced in one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kart_runtime.edits.files import replace
from kart_runtime.errors import ConfigError, described

_OPTION = "-o"
_HEAD = 2_000
"""Bytes of a file by which it is known."""


def check_output_file(path: Path, is_ours: Callable[[bytes], bool], foreign: str, *, force: bool) -> None:
    """Raise `ConfigError` if a file cannot be written, or if its beginning is not ours, as `foreign` says then."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it", file=_OPTION)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}; create it first", file=_OPTION)
    if force or not path.exists():
        return
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ConfigError(f"cannot replace {path}: {described(error)}", file=_OPTION) from error
    if head and not is_ours(head):
        raise ConfigError(f"{path} exists, and {foreign}; name another file, or add --force", file=_OPTION)


def write_output_file(path: Path, text: str) -> None:
    """Write a text as UTF-8; raise `ConfigError` if that fails, with the file as it was."""
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe
            path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        else:
            replace(path.resolve(), text.encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {described(error)}", file=_OPTION) from error
