"""What would happen to one file? A change with the bytes before and after, or a problem; here a change is also written.

Called by `survey`, and by ``kart migrate`` to show and to write.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.errors import KartError


class CannotMigrate(KartError, ValueError):
    """A file that stays as it is, because what it says cannot be read or kept."""


@dataclass(frozen=True)
class Problem:
    """A file that stays as it is although it should change.

    Attributes
    ----------
    path
        The file.
    message
        Why, and what to do.
    """

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
        Its bytes now. None: it does not exist.
    after
        Its bytes afterwards.
    encoding
        How the bytes are shown as text.
    imports, strings
        How many imports and how many names in strings change.
    """

    path: Path
    before: bytes | None
    after: bytes
    encoding: str = "utf-8"
    imports: int = 0
    strings: int = 0


def diff(change: Change) -> Iterator[str]:
    """Yield the lines of a unified diff, without line endings.

    Parameters
    ----------
    change
        The change.
    """
    old = "/dev/null" if change.before is None else str(change.path)
    before, after = (_lines(data, change.encoding) for data in (change.before or b"", change.after))
    yield from difflib.unified_diff(before, after, old, str(change.path), lineterm="")


def _lines(data: bytes, encoding: str) -> list[str]:
    # Not splitlines(): a form feed or a unicode separator inside a line would make two lines of it.
    lines = data.decode(encoding).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def write(change: Change) -> None:
    """Replace the file in one step; its mode stays, and a link stays a link to the changed file.

    Parameters
    ----------
    change
        The change.

    Raises
    ------
    CannotMigrate
        The file is not what it was when it was read.
    OSError
        The file cannot be written. It is what it was.
    """
    if change.before is None:
        _create(change.path, change.after)
        return
    path = change.path.resolve()
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{change.path} is not writable")
    if path.read_bytes() != change.before:
        raise CannotMigrate("has changed meanwhile; run the command again")
    _replace(path, change.after)


def _create(path: Path, data: bytes) -> None:
    # "x" fails where somebody has made the file since it was looked for, and at a link that leads nowhere.
    with path.open("xb") as file:
        try:
            file.write(data)
        except BaseException:
            path.unlink()
            raise


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        shutil.copymode(path, name)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
