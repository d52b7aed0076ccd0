"""Words for dates in configuration, such as `yesterday`, and steps between values of a parameter.

A word stands for a date or time of the machine's own clock, in the time zone of the environment variable ``TZ`` if that
is set. `fix_now` sets the time that the words refer to, once for each configuration: midnight does not split a run.
"""

from __future__ import annotations

import datetime
import os
import re
from typing import Any, cast
from zoneinfo import ZoneInfo

import luigi
from luigi.parameter import _DateParameterBase, _DatetimeParameterBase

WORDS = ("today", "yesterday", "tomorrow", "today-7", "now", "now-1")
"""Examples of each kind of word, for messages."""

_WORD = re.compile(r"(?P<day>yesterday|tomorrow)|(?P<start>today|now)(?P<offset>[+-]\d{1,9})?")
_DAYS = {"yesterday": -1, "tomorrow": 1}

_fixed: datetime.datetime | None = None


def clock() -> datetime.datetime:
    """Return the local time without its zone, or that of the zone in ``TZ``."""
    zone = os.environ.get("TZ", "").removeprefix(":")
    try:
        return datetime.datetime.now(ZoneInfo(zone)).replace(tzinfo=None) if zone else datetime.datetime.now()
    except (OSError, ValueError, KeyError):  # a rule such as JST-9, which only the system reads
        return datetime.datetime.now()


def fix_now() -> None:
    """Let all words refer to this moment, until the next call."""
    global _fixed
    _fixed = clock()


def now() -> datetime.datetime:
    """Return the time that words refer to."""
    return _fixed or clock()


def takes_words(param: luigi.Parameter[Any]) -> bool:
    """Return whether the values of a parameter are dates or times."""
    return isinstance(param, _DateParameterBase | _DatetimeParameterBase)


def is_word(text: object) -> bool:
    """Return whether a configured value is a word."""
    return isinstance(text, str) and _WORD.fullmatch(text.strip()) is not None


def date_of(param: Any, word: str) -> Any:
    """Return the value that a word stands for; raises ValueError if it is out of range.

    `today-7` is seven days ago; `now-7` is seven steps of the parameter ago: hours, months or days.
    """
    match = _WORD.fullmatch(word.strip())
    if match is None:
        raise ValueError(f"{word!r} is not a word for a date")
    steps = int(match["offset"] or 0)
    try:
        if match["start"] == "now":
            return stepped(param, param.normalize(now()), steps)
        days = _DAYS[match["day"]] if match["day"] else steps
        return param.normalize(now().date() + datetime.timedelta(days=days))
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{word} is out of the range of dates") from error


def stepped(param: Any, value: Any, steps: int) -> Any:
    """Return the value some steps after another one, or before it; None if the values cannot be counted."""
    size = steps * getattr(param, "interval", 1)
    if isinstance(param, luigi.MonthParameter):
        year, month = divmod(value.year * 12 + value.month - 1 + size, 12)
        return datetime.date(year, month + 1, 1)
    if isinstance(param, luigi.YearParameter):
        return value.replace(year=value.year + size)
    if isinstance(param, _DateParameterBase):
        return value + datetime.timedelta(days=size)
    if isinstance(param, _DatetimeParameterBase):
        return value + size * cast("Any", param)._timedelta
    return value + steps if type(value) is int else None
