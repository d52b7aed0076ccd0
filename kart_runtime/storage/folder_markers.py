"""Markers of the processes that fill folder values: a file beside the folder that tells live ones from dead ones.

A process on this machine is live as long as it runs. Of other machines and containers, which may share the workspace,
only what has not changed for a day counts as left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kart_runtime.storage.temporary import TEMPORARY_PREFIX, is_left, temporary_name


def newest(path: Path) -> float:
    """Return when something below a folder was changed last."""
    return max(
        (modified(Path(folder, name)) for folder, _, names in os.walk(path) for name in (".", *names)), default=0.0
    )


def modified(path: Path) -> float:
    """Return when a file or folder was changed, 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class Marker(NamedTuple):
    """The file beside a folder that a process is filling: its name holds the token of the process.

    Its text holds the token of the folder, and that of the one that it replaces.
    """

    path: Path

    @classmethod
    def create(cls, folder: Path, token: str, before: str) -> Marker:
        """Create the folder of the files, and the marker in it."""
        path = folder / f"{temporary_name()}{_MARKER_SUFFIX}"
        for _ in range(10):  # another process may delete the folder when it was the last one there
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.write_text(f"{token} {before}")
                return cls(path)
        path.write_text(f"{token} {before}")
        return cls(path)

    def is_stale(self, files: Path | None = None) -> bool:
        """Return whether the process has ended; of another machine's, whether it has written nothing for a day."""
        touched = max(modified(self.path), 0.0 if files is None else newest(files))
        return is_left(self.path.name, touched)

    def delete(self) -> None:
        """Delete the marker."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def live_markers(folder: str) -> bool:
    """Return whether a process that may still run is filling something in a folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - only the names are needed
    except OSError:
        return False
    return any(not marker.is_stale() for _, _, marker in markers_in(folder, names))


_MARKER_SUFFIX = ".writing"
MARKER = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}.*-\d+{re.escape(_MARKER_SUFFIX)}")


def markers_in(folder: str, names: Iterable[str]) -> Iterator[tuple[str, str, Marker]]:
    """Yield the markers among the files of a folder, with the tokens in them."""
    for name in names:
        if MARKER.fullmatch(name):
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                text = path.read_text(errors="replace").replace("\0", "")  # a power cut leaves zeros
                token, _, before = text.partition(" ")
                yield token, before, Marker(path)
