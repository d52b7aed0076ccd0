"""Markers of the processes that fill folder values: a file beside the folder that tells live ones from dead ones.

A process on this machine is live as long as it runs. Of other machines and containers, which may share the workspace,
only what has not changed for a day counts as left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.storage.stores.local import TEMPORARY_PREFIX

DAY = 86_400.0
"""Seconds after which files that nobody touches count as left behind."""

_counter = itertools.count()


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
    """The file beside a folder that a process is filling: its name holds host and process.

    Its text holds the token of the folder, and that of the one that it replaces.
    """

    path: Path
    host: str
    process: int

    @classmethod
    def create(cls, folder: Path, token: str, before: str) -> Marker:
        """Create the folder of the files, and the marker in it."""
        host, process = _this_machine(), os.getpid()
        path = folder / f"{TEMPORARY_PREFIX}{host}-{process}-{next(_counter)}{_MARKER_SUFFIX}"
        for _ in range(10):  # another process may delete the folder when it was the last one there
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.write_text(f"{token} {before}")
                return cls(path, host, process)
        path.write_text(f"{token} {before}")
        return cls(path, host, process)

    def is_stale(self, files: Path | None = None) -> bool:
        """Return whether the process has ended; of another machine's, whether it has written nothing for a day."""
        if self.host != _this_machine():
            return max(modified(self.path), 0.0 if files is None else newest(files)) < time.time() - DAY
        return not _is_running(self.process)

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


@cache
def _this_machine() -> str:
    """Return what tells this machine, or container, from others that may share the workspace and the host's name."""
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text())  # noqa: PTH115
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()[:8]
    return f"{socket.gethostname()[:50]}-{digest}"


_MARKER_SUFFIX = ".writing"
MARKER = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(.*)-(\d+)-\d+{re.escape(_MARKER_SUFFIX)}")


def markers_in(folder: str, names: Iterable[str]) -> Iterator[tuple[str, str, Marker]]:
    """Yield the markers among the files of a folder, with the tokens in them."""
    for name in names:
        match = MARKER.fullmatch(name)
        if match:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                token, _, before = path.read_text().partition(" ")
                yield token, before, Marker(path, match[1], int(match[2]))


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return True
    if os.name == "nt":  # there, os.kill would end the process
        return _is_running_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_running_on_windows(process: int) -> bool:
    import ctypes

    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x00100000, False, process)  # SYNCHRONIZE
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: it has not ended
    finally:
        kernel.CloseHandle(handle)
