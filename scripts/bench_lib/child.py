"""One measured child process: its CPU, wall time and memory as the kernel counts them, within a bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SCRIPTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sample:
    """What one process cost (seconds, bytes), or why there is no number: ``failure`` is then a few words."""

    cpu: float
    wall: float
    memory: int
    failure: str | None = None


def environment() -> dict[str, str]:
    """Return the children's environment: this one's path, fixed hashing, nothing that changes Python's ways."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONPATH": str(SCRIPTS)}


def measure(command: Sequence[str | Path], folder: Path, timeout: float) -> Sample:
    """Run ``command`` in ``folder`` to its end, or kill its process group after ``timeout`` seconds."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder, env=environment(), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, stop)
        timer.start()
        try:
            # wait4 and not Popen.wait: only it gives the usage of this one child and of what the child waited for.
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        failure = explain(child.returncode, late.is_set(), output) if child.returncode else None
        return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024, failure)


def explain(code: int, late: bool, output: IO[bytes]) -> str:
    """Say in a few words why a child failed: late, or the last exception that it printed."""
    if late:
        return "timed out"
    output.seek(0)
    text = output.read().decode(errors="replace")
    if "RecursionError" in text:
        return "failed (RecursionError)"
    if code < 0:
        return f"failed ({signal.Signals(-code).name})"
    last = text.strip().splitlines()[-1:] or [f"exit {code}"]
    print(f"a child failed: {last[0]}", file=sys.stderr)
    return f"failed ({last[0].partition(':')[0][:40]})"
