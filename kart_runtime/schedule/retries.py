"""Retries: how many tries a task has, which errors end them, and what is said about the tries that failed."""

from __future__ import annotations

from collections.abc import Sequence

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
from kart_runtime.task.limits import retries_of

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


def number_of_tries(task: luigi.Task) -> int:
    """Return how often a task is tried at most: `retries` says how often again, luigi's `retry_count` how often."""
    return max(retries_of(task) + 1, task.retry_count or 1)


def may_help(error: BaseException | None) -> bool:
    """Return whether another try may end without this error. An empty input may be a matter of time."""
    return isinstance(error, EmptyDump) or not isinstance(error, _FINAL)


def note_tries(errors: Sequence[BaseException]) -> None:
    """Add a note about all tries, each different error once, to the error of the last one."""
    texts = dict.fromkeys(described(error).rstrip() for error in errors)
    add_note(errors[-1], f"{TRIES_NOTE}{len(errors)} tries: {'; '.join(texts)}")
