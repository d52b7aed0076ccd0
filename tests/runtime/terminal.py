"""A terminal for tests: a program writes to a pseudo-terminal, and pyte says what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence

import pyte

Screen = list[str]

_OF_OTHERS = {"CI", "COLUMNS", "LINES", "NO_COLOR", "PYTEST_CURRENT_TEST", "PYTHONUNBUFFERED"}
"""Variables that say something about another terminal."""


class Terminal:
    """A terminal of some size, and the program that runs in it; `seen` are the screens, in order, without repeats."""

    def __init__(self, command: Sequence[str], columns: int = 100, rows: int = 30, **variables: str) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        self._set_size(columns, rows)
        outer = {name: value for name, value in os.environ.items() if name not in _OF_OTHERS}
        environment = {**outer, "TERM": "xterm-256color", **variables}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.sent = b""
        self.seen: list[Screen] = []
        self.began = time.monotonic()

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as a person who drags the corner of the window."""
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    @property
    def lines(self) -> Screen:
        """What the screen shows."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def all_lines(self) -> Screen:
        """What has scrolled away, and what the screen shows."""
        above = [
            "".join(row[column].data for column in range(self.screen.columns)).rstrip()
            for row in self.screen.history.top
        ]
        return above + self.lines

    def read_until(self, found: Callable[[Screen], object] = lambda _: False, seconds: float = 60.0) -> bool:
        """Read until the screen is as wanted; return False when the program ends before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([self._ours], [], [], 0.05)[0]:
                continue
            try:
                part = os.read(self._ours, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                return False
            if not part:
                return False
            self.sent += part
            self._stream.feed(part)
            if not self.seen or self.seen[-1] != self.lines:
                self.seen.append(self.lines)
            if found(self.lines):
                return True
        raise TimeoutError("\n".join(self.lines))

    def finish(self, seconds: float = 60.0) -> int:
        """Read to the end, and return the exit code."""
        self.read_until(seconds=seconds)
        os.close(self._ours)
        return self.process.wait(timeout=seconds)

    def send_signal(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the program."""
        self.process.send_signal(number)

    def close(self) -> None:
        """End the program, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
