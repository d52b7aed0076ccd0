"""Log messages of a build, a line for each task on standard error, for `build(..., log_level=...)`.

While it is active, messages of the whole process below the level are suppressed, as in gokart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kart_runtime.execution.attempt import AttemptState
from kart_runtime.schedule.events import (
    BuildFinished,
    Event,
    Listener,
    TaskFinished,
    TaskLocked,
    TaskStarted,
    retry_text,
    tolerant,
    waiting_text,
)

logger = logging.getLogger("kart_runtime.build")


@contextmanager
def build_logging(level: int | None, listener: Listener | None) -> Iterator[Listener | None]:
    """Return the listener of a build, which also logs events from a level on; restore logging afterwards."""
    if level is None:
        yield tolerant(listener)
        return
    listener, log = tolerant(listener), tolerant(_log)
    disabled, own_level = logging.root.manager.disable, logger.level
    handler = logging.StreamHandler()
    logging.disable(max(level - 10, 0))
    logger.setLevel(level)
    logger.addHandler(handler)

    def both(event: Event) -> None:
        if log is not None:
            log(event)
        if listener is not None:
            listener(event)

    try:
        yield both
    finally:
        logger.removeHandler(handler)
        logger.setLevel(own_level)
        logging.disable(disabled)


def _log(event: Event) -> None:
    if isinstance(event, TaskStarted):
        logger.info("%s: started", event.task)
    elif isinstance(event, TaskFinished):
        outcome = event.outcome
        if event.is_retried:
            logger.warning("%s: %s\n%s", event.task, retry_text(event), outcome.trace)
        elif outcome.state is AttemptState.FAILED:
            logger.error("%s: failed\n%s", event.task, outcome.trace)
        else:
            logger.info("%s: %s (%.1f s)", event.task, outcome.state.value, outcome.seconds)
    elif isinstance(event, TaskLocked):
        if event.number:
            logger.warning("%s", waiting_text(event, str(event.task)))
    elif isinstance(event, BuildFinished):
        logger.info("%s", event.summary.text())
