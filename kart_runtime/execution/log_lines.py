"""Log records of an attempt, kept as text beside its other log files.

They are taken where `logging` makes them, after its levels and before its handlers: a handler of the engine's own would
change what `logging.basicConfig` in a program does, and whether warnings reach the screen.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from kart_runtime.errors.secrets import masked
from kart_runtime.storage.staging import active_run

_HEAD, _TAIL = 1 << 15, 1 << 15
"""Characters that are kept from the beginning and from the end."""

_LONGEST = 4096
"""Characters of one record."""


class LogLines:
    """Text of the log records of one attempt: the beginning and the end, if there are many."""

    __slots__ = ("_head", "_head_size", "_tail", "_tail_size", "_times", "count", "left_out")

    def __init__(self) -> None:
        self.count = self.left_out = 0
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_size = self._tail_size = 0
        self._times = logging.Formatter()

    def add(self, record: logging.LogRecord) -> None:
        """Add a record."""
        self.count += 1
        line = f"{self._times.formatTime(record)} {record.levelname} {record.name}: {_message(record)}"
        line = masked(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")
        if not self._tail and self._head_size + len(line) <= _HEAD:
            self._head.append(line)
            self._head_size += len(line) + 1
            return
        self._tail.append(line)
        self._tail_size += len(line) + 1
        while self._tail_size > _TAIL:
            self._tail_size -= len(self._tail.popleft()) + 1
            self.left_out += 1

    def text(self) -> str:
        """Return the records, a line or more for each."""
        gap = [f"... {self.left_out} records left out ..."] if self.left_out else []
        return "".join(f"{line}\n" for line in (*self._head, *gap, *self._tail))


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - as `logging`, which only reports it
        text = f"{record.msg} ({type(error).__name__} in its arguments)"
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    return text


class _Factory:
    """Factory of log records that keeps each with the attempt that runs here."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.make(*args, **kwargs)
        run: Any = active_run.get()
        if run is not None and run.keeps_logs:
            if run.lines is None:
                run.lines = LogLines()
            run.lines.add(record)
        return record


def keep_log_records() -> None:
    """Keep what is logged in an attempt from now on, in this process."""
    make = logging.getLogRecordFactory()
    if type(make) is not _Factory:  # the first attempt of this process, or a program has set its own since
        logging.setLogRecordFactory(_Factory(make))
