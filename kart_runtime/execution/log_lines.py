"""Log records of an attempt, kept as text beside its other log files, and without secrets wherever they go.

They are taken where `logging` makes them, after its levels and before its handlers: a handler of the engine's own would
change what `logging.basicConfig` in a program does, and whether warnings reach the screen.
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from typing import Any

from kart_runtime.errors.credentials import is_of_requests, without_credentials
from kart_runtime.errors.secret_sources import note_new_environment
from kart_runtime.errors.secrets import any_secret, masked, masked_copy
from kart_runtime.storage.staging import active_run

_HEAD, _TAIL = 1 << 15, 1 << 15
"""Bytes that are kept from the beginning and from the end."""

_LONGEST = 4096
"""Characters of one record."""


class LogLines:
    """Text of the log records of one attempt: the beginning and the end, if there are many."""

    __slots__ = ("_head", "_head_size", "_last", "_tail", "_tail_size", "_times", "count", "left_out")

    def __init__(self) -> None:
        self.count = self.left_out = 0
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_size = self._tail_size = 0
        self._times = logging.Formatter()
        self._last: Any = lambda: None

    def add(self, record: logging.LogRecord, text: str) -> None:
        """Add a record once, with its message and traceback."""
        if self._last() is record:  # a program's own factory calls the one below it
            return
        self._last = weakref.ref(record)
        self.count += 1
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
        line = f"{self._times.formatTime(record)} {record.levelname} {record.name}: {text}\n"
        data = line.encode(errors="backslashreplace")
        if not self._tail and self._head_size + len(data) <= _HEAD:
            self._head.append(data)
            self._head_size += len(data)
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size > _TAIL:
            self._tail_size -= len(self._tail.popleft())
            self.left_out += 1

    def data(self) -> bytes:
        """Return the records as UTF-8, a line or more for each."""
        gap = [f"... {self.left_out} records left out ...\n".encode()] if self.left_out else []
        return b"".join((*self._head, *gap, *self._tail))


def _message(record: logging.LogRecord) -> str:
    """Return the message of a record, in which secrets are masked for all handlers."""
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - as `logging`, which only reports it
        shown = masked(f"{record.msg} ({type(error).__name__} in its arguments)")
        if _shows_secret(record, error):
            record.msg, record.args = shown, None
        return shown
    shown = masked(text)
    if record.levelno <= logging.DEBUG or is_of_requests(record.name):
        shown = without_credentials(shown)
    if shown != text:
        record.msg, record.args = shown, None
    elif record.args:  # a formatter may write them, also those that the message does not use
        record.args = masked_copy(record.args)
    return shown


def _shows_secret(record: logging.LogRecord, error: Exception) -> bool:
    """Return whether the report of `logging` about wrong arguments, which quotes them, may hold a secret."""
    try:
        report = f"{record.msg!r} {record.args!r} {error}"
    except Exception:  # noqa: BLE001 - it cannot be quoted, so it cannot be looked at
        return any_secret()
    return masked(report) != report


def _trace(record: logging.LogRecord) -> str:
    """Return the traceback of a record, in which secrets are masked for all handlers."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    text = logging.Formatter().formatException(record.exc_info)
    shown = masked(text)
    if shown != text:
        record.exc_text, record.exc_info = shown, None  # formatters take the text if it is there
    return f"\n{shown}"


class _Fields(dict[str, Any]):
    """Attributes of a log record, in which the values of `extra=`, which `logging` adds last, are masked."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _shown(value))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _shown(value: Any) -> Any:
    """Return a value without secrets; what shows one in its text is replaced by that."""
    try:
        copy = masked_copy(value)
        if copy is not value or isinstance(value, str | int | float | bool | None):
            return copy
        text = str(value)
        return value if masked(text) == text else masked(text)
    except Exception:  # noqa: BLE001 - of an object whose text cannot be made
        return value


class _Factory:
    """Factory of log records that masks secrets, and keeps each record with the attempt that runs here."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        note_new_environment()  # a task may have fetched a token, and logs it now
        record: logging.LogRecord = self.make(*args, **kwargs)
        run: Any = active_run.get()
        if run is not None and (not run.keeps_logs or record.name is None):  # None: to be filled, by makeLogRecord
            run = None
        if run is not None or any_secret():
            text = f"{_message(record)}{_trace(record)}"
            if any_secret() and record.name is not None:
                record.stack_info = masked(record.stack_info) if record.stack_info else record.stack_info
                record.__dict__ = _Fields(vars(record))
            if run is not None:
                if run.lines is None:
                    run.lines = LogLines()
                run.lines.add(record, text)
        return record


def keep_log_records() -> None:
    """Keep what is logged in an attempt from now on, and mask secrets in it, in this process."""
    note_new_environment()
    make = logging.getLogRecordFactory()
    if type(make) is not _Factory:  # the first attempt of this process, or a program has set its own since
        logging.setLogRecordFactory(_Factory(make))
