"""Memory of processes: what a worker and its children use, the peak of an attempt, and what the machine has.

Linux says all of it in ``/proc``; elsewhere `psutil` does, where it is installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MB, GB = 1_000_000, 1_000_000_000

_HAS_PROC = Path("/proc/self/status").exists()

_USED = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s*(\d+) kB", re.MULTILINE)
"""Pages that a process holds, also those swapped out, without those of files, which the system can take back."""

_SHARED_USED = re.compile(rb"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s*(\d+) kB", re.MULTILINE)
"""The same, with the part of each page that is this process' own: forks share most of theirs."""


def can_measure() -> bool:
    """Return whether the memory of another process can be measured here."""
    return _HAS_PROC or _psutil() is not None


def used_bytes(pids: dict[int, int]) -> int:
    """Return the memory of some processes, pages that they share counted once where that is known."""
    if not _HAS_PROC:
        return _used_by_psutil(pids)
    return sum(_kilobytes(_USED, f"/proc/{pid}/status") for pid in pids) * 1024


def shared_bytes(pids: dict[int, int]) -> int:
    """Return what `used_bytes` does, more slowly, and without counting the pages that forks share twice."""
    if not _HAS_PROC or len(pids) == 1:
        return used_bytes(pids)
    exact = sum(_kilobytes(_SHARED_USED, f"/proc/{pid}/smaps_rollup") for pid in pids) * 1024
    return exact or used_bytes(pids)  # an old kernel has no such file


def process_tree(pid: int) -> dict[int, int]:
    """Return a process and its descendants, each with the time when it began, since numbers are used again."""
    tree: dict[int, int] = {}
    following = [pid]
    while following:
        current = following.pop()
        if current not in tree:
            tree[current] = _began(current)
            following += _children(current)
    return tree


def kill_rest(pids: dict[int, int]) -> None:
    """Kill the processes of a tree that are still there."""
    for pid, began in pids.items():
        if began and _began(pid) == began:
            with contextlib.suppress(OSError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _kilobytes(pattern: re.Pattern[bytes], path: str) -> int:
    try:
        return sum(map(int, pattern.findall(Path(path).read_bytes())))
    except OSError:  # it has ended
        return 0


def _children(pid: int) -> list[int]:
    if not _HAS_PROC:
        return [child.pid for child in _of_psutil(pid, "children", [])]
    children: list[int] = []
    for thread in _names(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            children += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return children


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names, for each look
    except OSError:
        return []


def _began(pid: int) -> int:
    if not _HAS_PROC:
        return int(_of_psutil(pid, "create_time", 0.0) * 1000)
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _psutil() -> Any:
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    return psutil


def _of_psutil(pid: int, method: str, default: Any) -> Any:
    psutil = _psutil()
    try:
        return getattr(psutil.Process(pid), method)()
    except Exception:  # noqa: BLE001 - it has ended, or belongs to somebody else
        return default


def _used_by_psutil(pids: dict[int, int]) -> int:
    return sum(getattr(_of_psutil(pid, "memory_info", None), "rss", 0) for pid in pids)


# -- the peak of an attempt ------------------------------------------------------------------------------------------


class PeakMeter:
    """Peak of the resident memory of this process since the last reset, in megabytes.

    Linux can reset its own record. Elsewhere the record is that of the whole process, and says something of an attempt
    only if it has grown.
    """

    def __init__(self) -> None:
        self._reset = self._status = -1
        self._before = 0
        with contextlib.suppress(OSError):
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
            self._status = os.open("/proc/self/status", os.O_RDONLY)

    def reset(self) -> None:
        """Begin a new measurement."""
        try:
            os.pwrite(self._reset, b"5", 0)
        except (OSError, AttributeError):  # not allowed here, or Windows
            self._reset, self._before = -1, _peak_of_process()

    def peak_mb(self) -> float | None:
        """Return the peak; None where it is not known."""
        if self._reset < 0:
            peak = _peak_of_process()
            return peak / MB if peak > self._before else None
        text = os.pread(self._status, 4096, 0)
        start = text.find(b"VmHWM:")
        return int(text[start + 6 : text.index(b"kB", start)]) * 1024 / MB if start >= 0 else None


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


_meters: list[PeakMeter] = []
"""The meter of a process that runs one attempt at a time; empty in all others."""


def measure_attempts() -> None:
    """Measure the attempts of this process from now on: it is a worker, which runs one at a time."""
    _meters[:] = [PeakMeter()]


def reset_peak() -> None:
    """Begin to measure an attempt."""
    for meter in _meters:
        meter.reset()


def peak_mb() -> float | None:
    """Return the peak of an attempt, None where nothing is measured."""
    return _meters[0].peak_mb() if _meters else None


# -- the machine -----------------------------------------------------------------------------------------------------


def machine_bytes() -> int | None:
    """Return the memory of this machine, or the limit of its container, if that is smaller; None if not known."""
    limits = [*_physical(), *_limits_of_container()]
    return min(limits) if limits else None


def _physical() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        psutil = _psutil()
        if psutil is not None:
            yield psutil.virtual_memory().total


def _limits_of_container(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> Iterator[int]:
    """Yield the limits of the groups that this process is in, and of those around them."""
    try:
        lines = Path(own).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (f"{root}/memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        parts = path.strip("/").split("/")
        for length in range(len(parts), -1, -1):  # in a container the path may be that of the host
            with contextlib.suppress(OSError, ValueError):  # "max" is no number
                yield int(Path(base, *parts[:length], name).read_text(encoding="utf-8"))
