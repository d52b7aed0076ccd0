"""A build with a display: ``display off|plain|block COUNT``. The terminal is one that nobody looks at."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Iterator

import luigi

from bench_lib.child import report
from kart_runtime import TaskOnKart
from kart_runtime.builder import run_build
from kart_runtime.settings import BuildSettings

MODE, COUNT = sys.argv[1], int(sys.argv[2])


class Work(TaskOnKart[int]):
    """Task number `i`."""

    i = luigi.IntParameter()

    def run(self) -> None:
        """Store the number."""
        self.dump(self.i)


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Have standard output be a terminal of 100 columns; a child process reads what it is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    child = os.fork()
    if not child:
        os.close(theirs)
        with contextlib.suppress(OSError):
            while os.read(ours, 1 << 16):
                pass
        os._exit(0)
    os.close(ours)
    before = os.dup(1)
    sys.stdout.flush()
    os.dup2(theirs, 1)
    os.close(theirs)
    os.environ["TERM"] = "xterm-256color"
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.waitpid(child, 0)


def main() -> None:
    """Run the tasks, and report the CPU seconds of the build."""
    tasks = [Work(i=i) for i in range(COUNT)]
    with terminal():
        from kart_runtime.cli.live.block import LiveDisplay
        from kart_runtime.cli.live.plain import Display

        shown = {"off": None, "plain": Display(), "block": LiveDisplay()}[MODE]
        wall, cpu = time.perf_counter(), time.process_time()
        with shown or contextlib.nullcontext():
            run_build(tasks, BuildSettings(), on_event=None if shown is None else shown.show)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    report(wall=wall, cpu=cpu)


if __name__ == "__main__":
    main()
