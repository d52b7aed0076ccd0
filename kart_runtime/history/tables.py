"""Text tables, times and numbers, as the commands on the history print them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_GAP = 2
_NARROWEST = 4
"""Characters that a column keeps when a table is too wide."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

LONGEST_CELL = 60
"""Characters of a value in a table; the rest is in `--json`."""


def printable(text: str, most: int = LONGEST_CELL) -> str:
    """Return a text on one line, with escapes for what terminals do not show, and shortened."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:most])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def named_counts(names: Mapping[str, int] | Iterable[str]) -> list[str]:
    """Return names with how often they occur, if that is more than once: `Train ×3`."""
    return [f"{name} ×{number}" if number > 1 else name for name, number in Counter(names).items()]


def number_text(value: Any) -> str:
    """Return a metric as text: four digits that count."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 or abs(value) >= 1e15 else f"{value:.0f}"
    return "" if value is None else printable(str(value))


def seconds_text(seconds: float) -> str:
    """Return a duration: 4.1s, 2m05s, 1h04m."""
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m{int(seconds % _MINUTE):02}s"
    return f"{int(seconds // _HOUR)}h{int(seconds % _HOUR // _MINUTE):02}m"


def epoch(started: str) -> float:
    """Return a time of a record in seconds since the epoch; 0 if it is none."""
    try:
        return datetime.fromisoformat(started).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def iso(started: float) -> str:
    """Return seconds since the epoch as a time of a record; "" for 0."""
    try:
        return datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds") if started else ""
    except (ValueError, OverflowError, OSError):
        return ""


def ago(started: float, now: float | None = None) -> str:
    """Return how long ago something was; its date if that is more than a month, or lies in the future."""
    if not started:
        return "?"
    seconds = (time.time() if now is None else now) - started
    if not -_MINUTE < seconds < 30 * _DAY:
        return datetime.fromtimestamp(started).astimezone().strftime("%Y-%m-%d %H:%M")
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "min")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {name}{'s' if number > 1 and name != 'min' else ''} ago"
    return "just now"


def table_width(rows: Sequence[Sequence[str]]) -> int:
    """Return the characters of a line of a table that is not cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, right: Collection[int] = ()
) -> list[str]:
    """Return the lines of a table, cut to a width by its widest columns; columns in `right` are aligned there."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    while width is not None and sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in table:
        cells = [cell if len(cell) <= most else f"{cell[: most - 1]}…" for cell, most in zip(row, widths, strict=True)]
        aligned = [
            cell.rjust(most) if number in right else cell.ljust(most)
            for number, (cell, most) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append((" " * _GAP).join(aligned).rstrip())
    return lines


def size_text(size: int) -> str:
    """Return a number of bytes with a unit."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
