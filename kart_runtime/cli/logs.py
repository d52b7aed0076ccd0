"""Where do log records go during a run? To standard error, at the level and in the format of the settings.

Called by ``run``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kart_runtime.settings import LoggingSettings

_CHATTY = ("botocore",)
"""Loggers of libraries that tell at INFO, in every run, where they have found what. At DEBUG they are heard."""


class _CurrentStderr(logging.Handler):
    """Writes to whatever standard error is at the moment: a moving bar puts its own in, to keep lines whole."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as every handler of the standard library: a log line never ends a run
            self.handleError(record)


@contextmanager
def logging_as(settings: LoggingSettings) -> Iterator[None]:
    """Log as the settings say inside a ``with`` block.

    Parameters
    ----------
    settings
        Level and format.
    """
    root, handler = logging.getLogger(), _CurrentStderr()
    handler.setFormatter(logging.Formatter(settings.format))
    levels = {root: logging.getLevelNamesMapping()[settings.level]}
    if levels[root] == logging.INFO:
        # One that the program has given a level of its own keeps it.
        chatty = (logger for logger in map(logging.getLogger, _CHATTY) if logger.level == logging.NOTSET)
        levels |= dict.fromkeys(chatty, logging.WARNING)
    before = {logger: logger.level for logger in levels}
    for logger, level in levels.items():
        logger.setLevel(level)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, level in before.items():
            logger.setLevel(level)
