"""CPU, wall time and memory of one child process, as the kernel counts them, with a time limit.

Every section uses it. A child passes further values (seconds of a part, number of calls) to the bench with `report`.
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
MARK = "bench reports "
QUIET = {"HAMILTON_TELEMETRY_ENABLED": "false", "DO_NOT_TRACK": "1", "KEDRO_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Sample:
    """Cost of one process (seconds, bytes), or a short `failure` if there is no number.

    `reported` holds the values that the program measured itself.
    """

    cpu: float
    wall: float
    memory: int
    failure: str | None = None
    reported: dict[str, float] = field(default_factory=dict)


def report(**values: float) -> None:
    """Print values that this program measured itself; only the last call counts."""
    print(MARK + json.dumps(values), flush=True)


def environment() -> dict[str, str]:
    """Return the children's environment: the same paths, fixed hashing, nothing else that changes how Python works."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**inherited, **QUIET, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONPATH": str(SCRIPTS)}


def measure(command: Sequence[str | Path], folder: Path, timeout: float) -> Sample:
    """Run `command` in `folder`, and kill it with all processes that it started after `timeout` seconds."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as own:
        usage, output = Path(own) / "usage", Path(own) / "output"
        late = run((sys.executable, "-I", "-S", LAUNCHER, usage, *command), folder, output, timeout)
        text = output.read_text(encoding="utf-8", errors="replace")
        if late or not usage.exists():
            return Sample(0.0, timeout, 0, "timed out" if late else explain(1, text))
        status, cpu, wall, memory = usage.read_text(encoding="ascii").split()
        code = os.waitstatus_to_exitcode(int(status))
        failure = explain(code, text) if code else None
        return Sample(float(cpu), float(wall), int(memory) * 1024, failure, reported_values(text))


def run(command: Sequence[str | Path], folder: Path, output: Path, timeout: float) -> bool:
    """Run a command with its output in the file `output`; return whether it timed out."""
    with output.open("wb") as file:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder, env=environment(), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            return True
        finally:
            # Also after Ctrl-C, which does not reach the child's session, and if workers outlive their program.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return False


def reported_values(text: str) -> dict[str, float]:
    """Return the values of the last `report`."""
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    return dict(json.loads(lines[-1].removeprefix(MARK))) if lines else {}


def explain(code: int, text: str) -> str:
    """Return a short reason why a child failed: the last exception that it printed."""
    if "RecursionError" in text:
        return "failed (RecursionError)"
    if code < 0:
        return f"failed ({signal.Signals(-code).name})"
    last = text.strip().splitlines()[-1:] or [f"exit {code}"]
    print(f"\na child failed: {last[0]}", file=sys.stderr)
    return f"failed ({last[0].partition(':')[0][:40]})"
