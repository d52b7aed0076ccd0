"""Scripts that tests run as whole programs, which need no guard of `__main__`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import kart_runtime


def start_script(text):
    """Start a script in the working folder; whoever holds its output open is a process of it."""
    Path("script.py").write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "script.py"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(kart_runtime.__file__).parents[1])},
    )


def run_script(text):
    """Run a script to the end of all its processes; return it with what it wrote."""
    with start_script(text) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess("script.py", process.returncode, out, err)
