"""What does one child process cost? Its CPU, wall time and memory as the kernel counts them, within a bounded time.

Used by every section. A child that wants to say more (seconds of a part, how often something ran) does it by ``say``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
MARK = "bench says "
QUIET = {"HAMILTON_TELEMETRY_ENABLED": "false", "DO_NOT_TRACK": "1", "KEDRO_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Sample:
    """What one process cost (seconds, bytes), or why there is no number: ``failure`` is then a few words.

    ``said`` is what the program has measured itself.
    """

    cpu: float
    wall: float
    memory: int
    failure: str | None = None
    said: dict[str, float] = field(default_factory=dict)


def say(**values: float) -> None:
    """Print what the program (this process) has measured itself; the last call counts."""
    print(MARK + json.dumps(values), flush=True)


def environment() -> dict[str, str]:
    """Return the children's environment: this one's path, fixed hashing, nothing that changes Python's ways."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, **QUIET, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONPATH": str(SCRIPTS)}


def measure(command: Sequence[str | Path], folder: Path, timeout: float) -> Sample:
    """Run ``command`` in ``folder`` to its end, or kill it and all that it started after ``timeout`` seconds."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as own:
        counted, said = Path(own) / "counted", Path(own) / "said"
        late = run((sys.executable, "-I", "-S", LAUNCHER, counted, *command), folder, said, timeout)
        text = said.read_text(encoding="utf-8", errors="replace")
        if late or not counted.exists():
            return Sample(0.0, timeout, 0, "timed out" if late else explain(1, text))
        status, cpu, wall, memory = counted.read_text(encoding="ascii").split()
        code = os.waitstatus_to_exitcode(int(status))
        failure = explain(code, text) if code else None
        return Sample(float(cpu), float(wall), int(memory) * 1024, failure, what_it_says(text))


def run(command: Sequence[str | Path], folder: Path, said: Path, timeout: float) -> bool:
    """Run a command with its output in the file ``said``; return whether it took too long."""
    with said.open("wb") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder, env=environment(), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            return True
        finally:
            # Also after Ctrl-C, which the session of its own has not seen, and when workers outlive their program.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return False


def what_it_says(text: str) -> dict[str, float]:
    """Return the values of the last ``say``."""
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    return dict(json.loads(lines[-1].removeprefix(MARK))) if lines else {}


def explain(code: int, text: str) -> str:
    """Say in a few words why a child failed: the last exception that it printed."""
    if "RecursionError" in text:
        return "failed (RecursionError)"
    if code < 0:
        return f"failed ({signal.Signals(-code).name})"
    last = text.strip().splitlines()[-1:] or [f"exit {code}"]
    print(f"\na child failed: {last[0]}", file=sys.stderr)
    return f"failed ({last[0].partition(':')[0][:40]})"
