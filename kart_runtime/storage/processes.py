"""Identity of a process: a text that no other process ever has, and from which others learn whether it still runs.

Process ids are used again: at once in a container, whose first process always has the id 1. So a token also holds the
start of the machine, the namespace of process ids, the start of the process, and numbers of the system's random
source; `random` may have the same seed in many processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.storage.system import after_fork

FORM = r"(?P<host>.*)-(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-(?P<random>[0-9a-f]{16})"
"""Regular expression of a token."""

_HOST_LENGTH = 50
"""Characters of a host's name in a token; a token has at most 110 characters, so that file names may contain it."""

_own: dict[str, str] = {}


class Process(NamedTuple):
    """The parts of a token; `start` is 0 where the system does not tell it."""

    host: str
    machine: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> str:
    """Return the token of this process: letters, digits, dots, underscores and hyphens."""
    return _own.get("token") or _own.setdefault("token", _new_token())  # atomic, as two threads may ask at once


after_fork(_own.clear)


def parsed(token: str) -> Process | None:
    """Return the parts of a token; None if the text is none."""
    match = re.fullmatch(FORM, token)
    return Process(match["host"], match["machine"], int(match["pid"]), int(match["start"])) if match else None


def is_alive(token: str) -> bool | None:
    """Return whether the process of a token runs; None if it is, or was, one of another machine or container."""
    process = parsed(token)
    if process is None or process.machine != _this_machine():
        return None
    if token == this_process():
        return True
    started = _started(process.pid)
    if started is None:
        return is_running(process.pid)
    return started != 0 and process.start in (0, started)


def is_running(pid: int) -> bool:
    """Return whether this machine has a process with an id; it may have ended without its parent having asked."""
    if pid == os.getpid():
        return True
    if os.name == "nt":  # there, os.kill would end the process
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # it belongs to another user; or the number is not that of a process
        return True
    return True


def host_name() -> str:
    """Return the name of this machine, as a token has it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())[:_HOST_LENGTH]


def _new_token() -> str:
    pid = os.getpid()
    return f"{host_name()}-{_this_machine()}-{pid}-{_started(pid) or 0}-{os.urandom(8).hex()}"


@cache
def _this_machine() -> str:
    """Return what tells this machine, since its start, or this container from others with the same host name."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text())  # noqa: PTH115
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """Return when a process began, in the system's unit; 0 if it has ended, None if the system does not tell."""
    if not _has_proc():
        return None if is_running(pid) else 0
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if is_running(pid) else 0  # the processes of other users may be hidden
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(fields[18])  # a killed one stays, as a zombie, until its parent asks


@cache
def _has_proc() -> bool:
    """Return whether `/proc` shows the processes that this one can see; there may be none, or that outside of it."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115 - the text
    except OSError:
        return False


def _is_running_on_windows(pid: int) -> bool:
    import ctypes

    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: it has not ended
    finally:
        kernel.CloseHandle(handle)
