"""What does a build say when a program asks for messages (`build(..., log_level=...)`)? A line a task, on stderr.

Called by `builder`. While it is in force, messages of the whole process below the level are held back, as in gokart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kart_runtime.execution.attempt import AttemptState
from kart_runtime.schedule.events import BuildFinished, Event, Listener, TaskFinished, TaskStarted

logger = logging.getLogger("kart_runtime.build")


@contextmanager
def build_logging(level: int | None, listener: Listener | None) -> Iterator[Listener | None]:
    """Give the listener of a build, which also writes messages from a level on; logging is as before afterwards.

    Parameters
    ----------
    level
        A level of the standard library's logging. None: no messages, and logging stays as it is.
    listener
        Who else is told of the build's events.
    """
    if level is None:
        yield listener
        return
    disabled, own_level = logging.root.manager.disable, logger.level
    handler = logging.StreamHandler()
    logging.disable(max(level - 10, 0))
    logger.setLevel(level)
    logger.addHandler(handler)

    def both(event: Event) -> None:
        _log(event)
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
        if outcome.state is AttemptState.FAILED:
            logger.error("%s: failed\n%s", event.task, outcome.trace)
        else:
            logger.info("%s: %s (%.1f s)", event.task, outcome.state.value, outcome.seconds)
    elif isinstance(event, BuildFinished):
        logger.info("%s", event.summary.text())
