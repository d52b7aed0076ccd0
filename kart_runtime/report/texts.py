"""Short texts for people: durations, sizes, and texts of any kind inside HTML."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

_CONTROL = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that are not drawn, or turn the direction of what follows."""


def escaped(value: object, most: int = 0) -> str:
    """Return a value as text inside HTML, or inside an attribute; of more than `most` characters, the beginning."""
    text = _CONTROL.sub("\ufffd", str(value))
    if most and len(text) > most:
        text = f"{text[: most - 1]}…"
    return html.escape(text, quote=True)


def seconds_text(seconds: float) -> str:
    """Return a duration: 30 ms, 4.1 s, 2:40, 1:02:05."""
    if seconds < 0.1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def when_text(seconds: float | None) -> str:
    """Return a time in UTC."""
    if seconds is None:
        return "at an unknown time"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def number_text(value: object) -> str:
    """Return a number of a metric with at most six digits."""
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
