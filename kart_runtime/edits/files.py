"""Files of a project: how they are found, compared and replaced in one step."""

from __future__ import annotations

import difflib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SKIPPED = frozenset({"venv", "node_modules", "build", "__pycache__", "site-packages"})


def files_below(top: Path) -> Iterator[Path]:
    """Yield the files below a folder, without those of hidden folders, environments, caches, and links."""
    for folder, folders, files in os.walk(top):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        # A link may lead out of the folder; the file behind one that does not is listed itself.
        yield from (path for name in sorted(files) if not (path := here / name).is_symlink() and path.is_file())


def _is_skipped(folder: Path) -> bool:
    return folder.name in _SKIPPED or folder.name.startswith(".") or (folder / "pyvenv.cfg").exists()


def diff_lines(old: str, new: str, before: bytes | None, after: bytes | None, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a unified diff, without line endings; None stands for no file."""
    first, second = (_lines(data or b"", encoding) for data in (before, after))
    names = ("/dev/null" if before is None else old, "/dev/null" if after is None else new)
    yield from difflib.unified_diff(first, second, *names, lineterm="")


def _lines(data: bytes, encoding: str) -> list[str]:
    # Not splitlines(): it also splits at form feeds and unicode separators.
    lines = data.decode(encoding, "replace").split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def stage(path: Path, data: bytes) -> Path:
    """Write data to a temporary file beside a path, with the mode of the file there, and return it."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, staged)
    except BaseException:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise
    return staged


def replace(path: Path, data: bytes) -> None:
    """Replace a file in one step; its mode stays."""
    staged = stage(path, data)
    try:
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
