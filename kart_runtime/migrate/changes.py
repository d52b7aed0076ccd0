"""Change of one file: the bytes before and after, its diff, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.edits.files import diff_lines, replace
from kart_runtime.edits.python_source import CannotEdit

CannotMigrate = CannotEdit
"""A file that cannot be migrated and stays as it is."""


@dataclass(frozen=True)
class Problem:
    """A file that stays as it is although it should change, with the reason and what to do."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Change:
    """New content for one file.

    Attributes
    ----------
    path
        The file.
    before
        Its bytes now; None if it does not exist.
    after
        Its new bytes.
    encoding
        Encoding of the bytes, for the diff.
    imports, strings
        Number of imports and of names in strings that change.
    """

    path: Path
    before: bytes | None
    after: bytes
    encoding: str = "utf-8"
    imports: int = 0
    strings: int = 0


def diff(change: Change) -> Iterator[str]:
    """Yield the lines of a unified diff, without line endings."""
    name = str(change.path)
    yield from diff_lines(name, name, change.before, change.after, change.encoding)


def write(change: Change) -> None:
    """Replace the file in one step; its mode stays, and a link stays a link to the changed file.

    Raises `CannotMigrate` when the file has changed since it was read, and OSError when it cannot be written.
    """
    if change.before is None:
        _create(change.path, change.after)
        return
    path = change.path.resolve()
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{change.path} is not writable")
    if path.read_bytes() != change.before:
        raise CannotMigrate("has changed meanwhile. Run the command again.")
    replace(path, change.after)


def _create(path: Path, data: bytes) -> None:
    # "x" fails if somebody has created the file since the scan, and at a broken link.
    with path.open("xb") as file:
        try:
            file.write(data)
        except BaseException:
            path.unlink()
            raise
