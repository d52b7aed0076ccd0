"""Logging of a run: to standard error, with the level and format of the settings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kart_runtime.cli.terminal import visible
from kart_runtime.errors.secrets import masked
from kart_runtime.settings import LoggingSettings

_VERBOSE = ("botocore",)
"""Loggers of libraries that report details at INFO in every run; shown at DEBUG only."""


class _CurrentStderr(logging.Handler):
    """Handler that writes to the current standard error, which a live display replaces to keep lines whole."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(visible(masked(self.format(record))), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as every handler of the standard library: a log line never ends a run
            self.handleError(record)


@contextmanager
def logging_as(settings: LoggingSettings) -> Iterator[None]:
    """Apply the logging settings inside a `with` block."""
    root, handler = logging.getLogger(), _CurrentStderr()
    handler.setFormatter(logging.Formatter(settings.format))
    levels = {root: logging.getLevelNamesMapping()[settings.level]}
    if levels[root] == logging.INFO:
        # A level that the program has set stays.
        verbose = (logger for logger in map(logging.getLogger, _VERBOSE) if logger.level == logging.NOTSET)
        levels |= dict.fromkeys(verbose, logging.WARNING)
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
