"""Rows at the bottom of a terminal that stay there while everything else scrolls above them.

The terminal itself keeps them apart: its scrolling region ends above the rows. So whatever writes to it (tasks,
`logging`, worker processes, libraries in C, a debugger) goes above the rows, at once, and nothing has to be captured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

_SAVE, _RESTORE, _ALL_ROWS, _ERASE_BELOW, _DOWN = "\x1b7", "\x1b8", "\x1b[r", "\x1b[J", "\x1bD"

_FEWEST_ROWS = 5
"""Rows of a terminal below which it is left to what the tasks write."""

_ALL_EVERY = 8
"""Number of drawings after which all rows are drawn, as something may have cleared the screen."""


def size_of(stream: Any) -> tuple[int, int] | None:
    """Return columns and rows of a terminal, None if it is none, does not know, or cannot place the cursor."""
    try:
        if not stream.isatty() or os.environ.get("TERM", "") in {"dumb", ""}:
            return None
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return (size.columns, size.lines) if size.columns > 0 and size.lines >= _FEWEST_ROWS else None


class Screen:
    """Rows at the bottom of the terminal of a stream. All methods may be called in any thread, and raise nothing.

    A process has one of them at a time: while another one is open, nothing is shown.
    """

    _used: ClassVar[Screen | None] = None

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._number: int = stream.fileno()
        self._height = 0
        self._size: tuple[int, int] | None = None
        self._rows: list[str] = []
        self._n_drawn = 0
        self._lock = threading.RLock()
        self._handlers: dict[int, Any] = {}

    @property
    def handles_sigterm(self) -> bool:
        """Return whether its handler of SIGTERM is in force."""
        number = getattr(signal, "SIGTERM", None)
        return number in self._handlers and signal.getsignal(number) == self._handlers[number]

    @property
    def size(self) -> tuple[int, int] | None:
        """Return columns and rows of the terminal; None if it is gone, or too small."""
        return size_of(self._stream)

    def reserve(self, height: int) -> None:
        """Keep a number of rows at the bottom."""
        with self._lock:
            size = self.size
            if size is None or height >= size[1] or Screen._used not in (None, self):
                return
            if not self._height:
                self._handle_signals()
            Screen._used = self
            self._size, self._height, self._rows = size, height, []
            bottom = size[1] - height
            self._write(
                f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_ERASE_BELOW}{_DOWN * height}\x1b[{height}A"
                f"{_SAVE}\x1b[1;{bottom}r{_RESTORE}"
            )

    def draw(self, rows: Sequence[str]) -> None:
        """Show rows of text, which have to fit; those beyond the height are left out."""
        with self._lock:
            if not self._height:
                return
            if self.size != self._size:
                self._fit()
            if self._size is None:
                return
            self._n_drawn += 1
            is_whole = not self._rows or self._n_drawn % _ALL_EVERY == 0
            shown = [*rows[: self._height], *[""] * (self._height - len(rows))]
            first = self._size[1] - self._height + 1
            changed = [
                f"\x1b[{first + place};1H{row}\x1b[K"
                for place, row in enumerate(shown)
                if is_whole or self._rows[place] != row
            ]
            self._rows = shown
            if changed:
                region = f"\x1b[1;{first - 1}r" if is_whole else ""
                self._write(f"{_SAVE}{region}{''.join(changed)}{_RESTORE}")

    def print(self, text: str) -> bool:
        """Print a line above the rows, past what a task has begun to print; return False while there are no rows."""
        with self._lock:
            if self._height:
                self._write(f"{text}\n")
            return bool(self._height)

    def _fit(self) -> None:
        """Place the rows anew after the size of the terminal has changed."""
        size = self.size
        if size is None or self._height >= size[1]:  # leave it alone until it is larger
            if self._size is not None:
                self._write(f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_ERASE_BELOW}")
            self._size = None
        else:
            self.reserve(self._height)

    def close(self) -> None:
        """Give the whole terminal back, without the rows."""
        with self._lock:
            if self._height:
                self._height, Screen._used = 0, None
                self._write(f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_ERASE_BELOW}")
                self._restore_signals()

    def _write(self, text: str) -> None:
        """Write all at once, so that nothing that others write comes between."""
        data = text.encode(getattr(self._stream, "encoding", None) or "utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._number, data) :]
        except OSError:  # the terminal is gone
            self._height = 0

    # -- signals: what ends or stops the process leaves the terminal in order ----------------------------------------

    def _handle_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for name, handler in (("SIGTERM", self._ended), ("SIGTSTP", self._stopped)):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                self._handlers[number] = handler
                signal.signal(number, handler)

    def _restore_signals(self) -> None:
        handlers, self._handlers = self._handlers, {}
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if signal.getsignal(number) == handler:
                    signal.signal(number, signal.SIG_DFL)

    def _ended(self, number: int, _frame: Any) -> None:
        self.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _stopped(self, number: int, _frame: Any) -> None:
        height = self._height
        self.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # returns when the process goes on
        with contextlib.suppress(Exception):
            self.reserve(height)
