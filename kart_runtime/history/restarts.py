"""Restarts of the machine: which outputs a power cut may have damaged, found by the first build after it.

What was written in the last minutes before a restart may be lost, cut or full of zeros, and so may its record. The
header of a run says in which start of the machine it ran. The first build in another one reads what the newest records
before it say was stored in those minutes, and compares the bytes. It writes down what it has found, as a line of its
run: damaged outputs, and the minutes in which outputs without a record are not to be trusted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.storage.stores import Stat, Store

logger = logging.getLogger(__name__)

KEY = "restart"
"""First key of the line."""

_SECONDS = 120.0
"""Seconds before the last sign of life in which writes may be lost: systems write them out within about 35."""

_OF_ONE_MACHINE = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "ntfs3", "overlay", "vfat", "xfs", "zfs"}
)
"""File systems that only one machine at a time has mounted."""

_ZEROS = 32
"""Bytes at the end of a file that are all 0 where blocks were never written."""


class Restart(NamedTuple):
    """A restart of the machine: what was written between two times, in seconds since the epoch, may be lost."""

    since: float
    until: float

    def line(self, damaged: Iterable[str]) -> dict[str, Any]:
        """Return the line of a run's file."""
        return {KEY: self.since, "until": self.until, "damaged": sorted(damaged)}

    def covers(self, moment: float) -> bool:
        """Return whether something may have been lost that was written then."""
        return self.since <= moment <= self.until


@cache
def this_boot() -> str:
    """Return what tells this machine, since its start, from others and from itself before; "" if that is unknown."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            boot = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()  # noqa: S603, PLW1510
    return f"{socket.gethostname()} {boot}" if boot else ""


def restart_before(store: Store, files: Iterable[Stat]) -> tuple[Restart, list[Stat]] | None:
    """Return the restart since the newest run, and the files of the runs just before it; None if there was none."""
    now = this_boot()
    by_age = sorted(files, key=lambda stat: stat.modified, reverse=True)
    if not now or not by_age:
        return None
    (host, _, boot_id), newest, before = now.rpartition(" "), 0.0, list[Stat]()
    is_of_this_machine = cache(lambda: is_on_disk(by_age[0].key))
    for stat in by_age:
        if stat.modified < newest - _SECONDS:
            break
        host_before, _, id_before = _boot_of(store, stat.key).rpartition(" ")
        if id_before == boot_id:
            return None  # the build that wrote this has looked
        # A container has another name each time, on the same machine: what a disk of it holds was written here.
        if id_before and (host_before == host or is_of_this_machine()):
            newest = newest or stat.modified
            before.append(stat)
    return (Restart(newest - _SECONDS, _started(newest)), before) if before else None


def is_on_disk(path: str, mounts: str | None = None) -> bool:
    """Return whether a file lies on a disk of this machine, as far as its mounts say, and on no shared file system."""
    if mounts is None:
        mounts = ""
        with suppress(OSError):
            mounts = Path("/proc/self/mountinfo").read_text()
    real, longest, kind = os.path.realpath(path), "", ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), " ".join(fields.split()[4:5]))
        if point and f"{real}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(longest):
            longest, kind = point, rest.partition(" ")[0]
    return kind in _OF_ONE_MACHINE


def _boot_of(store: Store, key: str) -> str:
    """Return the start of the machine in which a run was recorded."""
    with suppress(OSError, ValueError, AttributeError), store.open(key) as file:
        return str(json.loads(file.readline()).get("boot", ""))
    return ""


def _started(newest: float) -> float:
    """Return when this machine was started, which is after everything that it may have lost."""
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/stat").read_text()
        started = float(text.partition("\nbtime ")[2].split()[0])
        return max(started, newest + _SECONDS)
    return newest + _SECONDS


def stored_since(lines: Iterable[str], since: float) -> Iterable[Mapping[str, Any]]:
    """Yield the records of outputs that were stored after a time, of those in a run's file."""
    for line in lines:
        if line.startswith('{"task":'):
            with suppress(ValueError, TypeError, AttributeError):
                values = json.loads(line)
                ended = values.get("ended") or values.get("started") or ""
                if not ended or datetime.fromisoformat(ended).timestamp() >= since:
                    yield values


def looks_torn(path: str, size: int, version: str) -> bool:
    """Return whether a file that differs from its record was damaged by the machine, and changed by nobody.

    `size` and `version` are those of the record. It is empty, ends in zeros, or has another size although
    nobody has written to it since; a bit that a disk has lost is for `on_corrupt`.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(status.st_size - min(_ZEROS, (status.st_size + 1) // 2))
            tail = file.read()
    except OSError:
        return False
    written = version.partition("-")[0]
    is_older = status.st_size != size and written.isdigit() and status.st_mtime_ns <= int(written)
    return is_older or (size > 0 and not any(tail))
