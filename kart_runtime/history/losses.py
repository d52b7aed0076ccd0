"""Log files and records that could not be written: told once for each folder, counted, and told with their number.

They only explain what happened, so a loss never fails a task. An attempt in a worker process sends its losses with its
outcome, so that a build tells of all of them once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kart_runtime.errors import RecordsNotStored, described, warn
from kart_runtime.storage.stores import background

logger = logging.getLogger(__name__)


class Loss(NamedTuple):
    """What could not be done in a folder, why, and for how many files."""

    what: str
    folder: str
    why: str
    number: int = 1


_lock = threading.Lock()
_numbers: dict[str, int] = {}
"""Folder to the number of what was lost there since the last build began."""


class _ThreadState(threading.local):
    collected: list[Loss] | None = None


_state = _ThreadState()


def report_again() -> None:
    """Report losses again, since a build begins."""
    with _lock:
        _numbers.clear()


def report_loss(what: str, folder: str, error: Exception, number: int = 1) -> None:
    """Warn, once for a folder, of something that could not be written there, and that only explains what happened."""
    loss = Loss(what, folder, described(error), number)
    if _state.collected is None:
        tell(loss)
    else:
        _state.collected.append(loss)


def report_not_stored(error: RecordsNotStored) -> None:
    """Report what could not be stored in the background."""
    before, log, _ = error.key.partition("/log/")
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    report_loss("store log files or run records", before + log, cause, error.number)


def tell(loss: Loss) -> None:
    """Count a loss, and warn of the first one in its folder."""
    with _lock:
        is_first = loss.folder not in _numbers
        _numbers[loss.folder] = _numbers.get(loss.folder, 0) + loss.number
    if is_first:
        text = "Could not %s in %s: %s. Outputs are not affected. Further losses there are counted when the build ends."
        warn(logger, text, loss.what, loss.folder, loss.why.rstrip("."))


def lost_number() -> int:
    """Return how many log files and records are known to be lost since the last build began."""
    return sum(_numbers.values()) + background.lost_number()


def tell_totals() -> None:
    """Warn of each folder where more than one file is lost, with their number."""
    for folder, number in list(_numbers.items()):
        if number > 1:
            text = "%d log files or records of this run are not in %s: `kart show` and `kart gc` do not know of them."
            warn(logger, text, number, folder)


@contextmanager
def collected_losses() -> Iterator[list[Loss]]:
    """Collect what this thread loses until the block ends, instead of telling it."""
    before, _state.collected = _state.collected, []
    try:
        yield _state.collected
    finally:
        _state.collected = before
