"""Time limits of requests to object stores and clusters, and the pauses between their tries.

One number is set: `network_timeout`, the seconds until an operation has its first answer or is given up, all tries
together. The others follow from it, so that their sum is never more: one for connecting, one for the silence that ends
a try (two of those fit), and the time in which a try may begin. The bytes of an answer may take as long as they come.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kart_runtime.errors import ConfigError

logger = logging.getLogger(__name__)

VARIABLE = "KART_NETWORK_TIMEOUT"
DEFAULT_SECONDS = 60.0

_TOLD_AFTER = 5
"""Failures in a row of one operation after which a line of the log says that it goes on trying."""

_TELL_AGAIN_SECONDS = 10.0

_chosen: list[float] = []
"""What builds that run now have set, the last one last."""

_project: float | None = None
"""What the active project's configuration has set."""

_told_at = -math.inf

_silent: dict[str, float] = {}
"""Service to the time until which it counts as silent, by `time.monotonic`."""

_OF_A_SILENT_SERVICE = 0.1
"""Part of the time that operations have while a service is silent: the first one has waited for all of it."""

_random = random.SystemRandom()
"""Not the program's generator, whose numbers a task may count on."""

_MOST_FAILURES = 40
"""Failures in a row after which an operation is given up whose answers begin, and never end."""


class TimeLimits(NamedTuple):
    """Seconds: `total` for an operation; for connecting and for silence of one try; in which the last try may begin."""

    total: float
    connect: float
    silence: float
    tries: float

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row, by chance, so that clients do not come at once.

        The longest pause is a thirtieth of the whole: eight failures and more fit into `tries`.
        """
        longest = self.total / 30
        return min(longest, self.total / 600 * 2.0 ** min(failures - 1, 16)) * _random.uniform(0.5, 1.0)


def time_limits(service: str = "") -> TimeLimits:
    """Return the limits that hold now; those of a service that has just been silent are shorter."""
    total = network_timeout()
    if _silent and _silent.get(service, 0.0) > time.monotonic():
        total *= _OF_A_SILENT_SERVICE
    return limits_for(total)


def note_silence(service: str) -> None:
    """Remember that an operation of a service was given up because no answer came."""
    _silent[service] = time.monotonic() + network_timeout()


def note_answer(service: str) -> None:
    """Remember that a service has answered, whatever it said."""
    if _silent:
        _silent.pop(service, None)


def limits_for(total: float) -> TimeLimits:
    """Return the limits of operations that may take `total` seconds until their first answer."""
    connect, silence = total / 12, total * 0.45
    return TimeLimits(total, connect, silence, total - connect - silence)


def network_timeout() -> float:
    """Return the seconds that an operation may take until its first answer."""
    seconds = chosen_timeout()
    if seconds is not None:
        return seconds
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return DEFAULT_SECONDS
    try:
        return checked(float(text))
    except ValueError as error:
        raise ConfigError(f"'{text}' is not a time", key=VARIABLE, expected="a number of seconds above 0") from error


def chosen_timeout() -> float | None:
    """Return what a build, or the project, has set; None if neither has."""
    return _chosen[-1] if _chosen else _project


def checked(seconds: float) -> float:
    """Return a number of seconds; raise `ValueError` unless it is finite and above 0."""
    if not 0 < seconds < math.inf:
        raise ValueError(f"expected a number of seconds above 0, got {seconds}")
    return seconds


@contextmanager
def using_network_timeout(seconds: float | None) -> Iterator[None]:
    """Let operations of this process take so long until the block ends; None changes nothing."""
    if seconds is None:
        yield
        return
    _chosen.append(seconds)
    try:
        yield
    finally:
        _chosen.remove(seconds)


def set_project_timeout(seconds: float | None) -> float | None:
    """Let operations of this process take so long unless a build says otherwise; return what held before."""
    global _project
    before, _project = _project, seconds
    return before


class Tries:
    """The tries of one operation, which end when its time is over."""

    def __init__(self, where: str, limits: TimeLimits | None = None) -> None:
        self._where, self._limits = where, limits or time_limits()
        self.began, self.failures = time.monotonic(), 0

    def extend(self) -> None:
        """Let the time begin anew, because something has arrived; failures still count until a try succeeds."""
        self.began = time.monotonic()

    def pause(self, why: object) -> float | None:
        """Count a failure; return the seconds to wait before the next try, None if there is no time for one."""
        self.failures += 1
        seconds = self._limits.pause(self.failures)
        passed = time.monotonic() - self.began
        if passed + seconds > self._limits.tries or self.failures > _MOST_FAILURES:
            return None
        if self.failures == _TOLD_AFTER:
            _tell(self._where, why, self._limits.tries - passed)
        return seconds

    def sleep(self, why: object) -> bool:
        """Count a failure, and wait; return whether there is time for another try."""
        seconds = self.pause(why)
        if seconds is not None:
            time.sleep(seconds)
        return seconds is not None


def _tell(where: str, why: object, seconds: float) -> None:
    global _told_at
    if time.monotonic() - _told_at < _TELL_AGAIN_SECONDS:
        return
    _told_at = time.monotonic()
    logger.warning("%s fails again and again (%s); trying for up to %.0f s more.", where, why, seconds)
