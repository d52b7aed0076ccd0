"""Retries: how many tries a task has, the pauses between them, which errors end them, and what is said about them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import luigi

from kart_runtime.errors import (
    TRIES_NOTE,
    CannotSend,
    CodecError,
    ConfigError,
    EmptyDump,
    PlanError,
    TaskError,
    add_note,
    described,
)
from kart_runtime.task.limits import retries_of, retry_delay_of

_FINAL = (
    ConfigError,
    PlanError,
    CodecError,
    TaskError,
    CannotSend,
    ImportError,
    NameError,
    NotImplementedError,
    SyntaxError,
)
"""Errors that the same code raises again, whatever else has changed."""


_LONGEST_PAUSE = 300.0
"""Seconds up to which the pause between two tries doubles; one that is stated may be longer."""

_JITTER = 0.25
"""Part of a pause that is added at random at most, so that tasks which failed together do not try again together."""

_random = random.SystemRandom()
"""Not the global generator, which tasks draw from."""


@dataclass(frozen=True)
class Retries:
    """How often tasks are tried, and after which pauses, where their classes do not say so themselves."""

    retries: int = 0
    delay: float = 0.0

    def check(self, task: luigi.Task) -> None:
        """Raise `ConfigError` for what a class says that is no number or no time."""
        retries_of(task)
        retry_delay_of(task)

    def tries(self, task: luigi.Task) -> int:
        """Return how often a task is tried at most: `retries` says how often again, luigi's `retry_count` how often."""
        count = task.retry_count
        return max(retries_of(task, self.retries if count is None else 0) + 1, count or 1)

    def pause(self, task: luigi.Task, failures: int) -> float:
        """Return the seconds to wait after a number of failed tries."""
        delay = retry_delay_of(task, self.delay)
        pause = min(delay * 2.0 ** min(failures - 1, 30), max(delay, _LONGEST_PAUSE))
        return pause * (1 + _JITTER * _random.random())


def may_help(error: BaseException | None) -> bool:
    """Return whether another try may end without this error. An empty input may be a matter of time."""
    return isinstance(error, EmptyDump) or not isinstance(error, _FINAL)


def note_tries(errors: Sequence[BaseException]) -> None:
    """Add a note about all tries, each different error once, to the error of the last one."""
    texts = dict.fromkeys(described(error).rstrip() for error in errors)
    add_note(errors[-1], f"{TRIES_NOTE}{len(errors)} tries: {'; '.join(texts)}")
