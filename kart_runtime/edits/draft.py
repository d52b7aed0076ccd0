"""Draft: changes of many files that are shown as a diff, or made all at once or not at all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from kart_runtime.edits.files import diff_lines, replace, stage
from kart_runtime.errors import ConfigError


class Draft:
    """New contents of files of a project, not written yet.

    Attributes
    ----------
    root
        Folder that names in messages are relative to. Folders that become empty are deleted below it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._before: dict[Path, bytes | None] = {}
        self._after: dict[Path, bytes | None] = {}
        self._moved: dict[Path, Path] = {}

    def read(self, path: Path) -> bytes | None:
        """Return the content of a file as it will be; None if there will be none."""
        if path not in self._after:
            try:
                self._before[path] = path.read_bytes() if path.is_file() else None
            except OSError as error:
                raise self._error(path, "cannot be read", error) from error
            self._after[path] = self._before[path]
        return self._after[path]

    def write(self, path: Path, data: bytes | None) -> None:
        """Set the content of a file; None deletes it."""
        self.read(path)
        self._after[path] = data

    def move(self, old: Path, new: Path) -> None:
        """Move a file to a path that is free."""
        if self.read(new) is not None or (new.exists() and not new.is_file()):
            raise ConfigError(f"already exists, so {self.name(old)} cannot be moved there", file=self.name(new))
        self.write(new, self.read(old))
        self.write(old, None)
        self._moved[new] = self._moved.pop(old, old)

    def name(self, path: Path) -> str:
        """Return a path for messages."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def changes(self) -> dict[Path, tuple[bytes | None, bytes | None]]:
        """Return the content before and after of each file that changes."""
        pairs = {path: (self._before[path], after) for path, after in self._after.items()}
        return {path: pair for path, pair in sorted(pairs.items()) if pair[0] != pair[1]}

    def moves(self) -> dict[Path, Path]:
        """Return new path to old path of the files that move."""
        return {new: old for new, old in self._moved.items() if self._after.get(new) is not None and new != old}

    def diff(self) -> Iterator[str]:
        """Yield the lines of a unified diff; a file that moves is compared with what it was."""
        moves, changes = self.moves(), self.changes()
        sources = {old for old in moves.values() if self._after.get(old) is None}
        for path, (before, after) in changes.items():
            if path in sources:
                continue
            old = moves.get(path, path)
            if old != path:
                yield from (f"rename from {self.name(old)}", f"rename to {self.name(path)}")
            yield from diff_lines(self.name(old), self.name(path), before if old == path else self._before[old], after)

    def summary(self) -> list[str]:
        """Return a line for each file: what happens to it."""
        moves = self.moves()
        lines = [f"moved {self.name(old)} -> {self.name(new)}" for new, old in sorted(moves.items())]
        verbs = {(True, False): "wrote", (False, True): "deleted", (False, False): "changed"}
        skipped = {*moves, *(old for old in moves.values() if self._after.get(old) is None)}
        for path, (before, after) in self.changes().items():
            if path not in skipped and (before or after):
                lines.append(f"{verbs[before is None, after is None]} {self.name(path)}")
        return lines

    def commit(self) -> None:
        """Make all changes, or none: whatever fails, also Ctrl-C, restores what was there.

        Raises
        ------
        ConfigError
            A file has changed meanwhile, or cannot be written. Nothing has changed.
        """
        _Commit(self, self.changes()).execute()

    def _error(self, path: Path, message: str, error: OSError) -> ConfigError:
        reason = error.strerror or str(error)
        return ConfigError(f"{message}: {reason}", file=self.name(path))


class _Commit:
    """One attempt to make the changes of a draft, with what it takes to undo it."""

    def __init__(self, draft: Draft, changes: dict[Path, tuple[bytes | None, bytes | None]]) -> None:
        self.draft, self.changes = draft, changes
        self.folders: list[Path] = []
        self.staged: dict[Path, Path] = {}
        self.done: list[Path] = []

    def execute(self) -> None:
        place = self.draft.root
        try:
            for path, (before, after) in self.changes.items():
                place = path
                self._stage(path, before, after)
            with _deferred_interrupt():
                for path, (_, after) in self.changes.items():
                    place = path
                    self._apply(path, after)
        except BaseException as error:
            with _deferred_interrupt():
                self._undo()
            if isinstance(error, OSError):
                raise self.draft._error(place, "cannot be changed", error) from error
            raise
        for path, (_, after) in self.changes.items():
            if after is None:
                _remove_empty(path.parent, self.draft.root)

    def _stage(self, path: Path, before: bytes | None, after: bytes | None) -> None:
        current = path.read_bytes() if path.is_file() else None
        if current != before or (before is None and path.is_symlink()):
            raise ConfigError("has changed meanwhile. Run the command again.", file=self.draft.name(path))
        if before is not None and not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied", str(path))
        if after is not None:
            for folder in reversed([path.parent, *path.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    self.folders.append(folder)
            self.staged[path] = stage(path, after)

    def _apply(self, path: Path, after: bytes | None) -> None:
        self.done.append(path)
        if after is None:
            path.unlink()
        else:
            self.staged[path].replace(path)
            del self.staged[path]

    def _undo(self) -> None:
        for path in reversed(self.done):
            before = self.changes[path][0]
            if before is None:
                path.unlink(missing_ok=True)
            elif not path.is_file() or path.read_bytes() != before:
                replace(path, before)
        for staged in self.staged.values():
            staged.unlink(missing_ok=True)
        for folder in reversed(self.folders):
            with suppress(OSError):  # somebody has put a file there
                folder.rmdir()


@contextmanager
def _deferred_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back until a few renames are done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received and callable(before):
            before(*received[0])


def _remove_empty(folder: Path, root: Path) -> None:
    """Delete a folder that holds nothing but caches, and those above it that become empty."""
    while folder != root and folder.is_relative_to(root) and folder.is_dir():
        contents = list(folder.iterdir())
        if any(path.name != "__pycache__" for path in contents):
            return
        try:
            for cache in contents:
                for file in cache.iterdir():
                    file.unlink()
                cache.rmdir()
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
