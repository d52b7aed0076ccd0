"""Text for people: without secrets, and without the control characters that texts of logs, names and files may hold.

A terminal would obey them: they can move the cursor, set its title, or show something else than what is there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kart_runtime.errors.secrets import masked

_COLOR = re.compile(r"\x1b\[[\d;:]*m")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tabs and ends of lines, and those that turn the direction of a text."""


class CannotPrint(OSError):
    """Standard output does not take what a command prints, because a disk is full, or nobody reads it."""


def visible(text: str) -> str:
    """Return a text with escapes for what a terminal would obey, such as that of Escape; colors are left out."""
    if text.isprintable() or _CONTROL.search(text) is None:
        return text
    text = _COLOR.sub("", text).replace("\r\n", "\n")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class _Shown:
    """A stream that masks and escapes what is written to it, and says that it was this stream that failed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: CannotPrint | None = None

    def write(self, text: str) -> int:
        try:
            self._stream.write(visible(masked(text)))
        except BrokenPipeError:
            raise
        except OSError as error:
            self.error = CannotPrint(*error.args)
            raise self.error from error
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        flush(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def flush(stream: Any) -> None:
    """Write what a stream still holds; raise `CannotPrint` if that is not possible."""
    try:
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CannotPrint(*error.args) from error


@contextmanager
def shown() -> Iterator[None]:
    """Mask and escape what is printed inside a `with` block."""
    before = sys.stdout, sys.stderr
    streams = _Shown(sys.stdout), _Shown(sys.stderr)
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        if sys.stdout is streams[0]:
            sys.stdout = before[0]
        if sys.stderr is streams[1]:
            sys.stderr = before[1]
        if streams[0].error is not None:  # argparse passes over it
            raise streams[0].error
