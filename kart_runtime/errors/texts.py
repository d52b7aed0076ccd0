"""Texts of errors: descriptions, tracebacks, what is alike, and the closest name to an unknown one."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from kart_runtime.errors.secrets import masked

K = TypeVar("K")


def closest_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None if none is close."""
    import difflib  # needed only where something is wrong

    candidates = list(known)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    if name.lower() in lowered:
        return lowered[name.lower()]
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return matches[0] if matches else None


_MOST_CHARACTERS = 10_000
"""Length of an error's text in messages and records; some hold the data that was at fault."""


def described(error: BaseException) -> str:
    """Return type and text of an error, without secrets, shortened, and whatever its class does when it is asked."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as second:  # noqa: BLE001 - it must not hide the first
        text = f"(no text: its __str__ raised {type(second).__name__})"
    return shortened(masked(f"{type(error).__name__}: {text}"))


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a text without its middle if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head = most * 3 // 4
    return f"{text[:head]}\n... {len(text) - most} characters left out ...\n{text[head - most :]}"


def trace_of(error: BaseException) -> str:
    """Return the traceback of an error as text, as `described` returns its own text."""
    try:
        return shortened(masked("".join(traceback.format_exception(error))), 10 * _MOST_CHARACTERS)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return f"{''.join(traceback.format_tb(error.__traceback__))}{described(error)}\n"


TRIES_NOTE = "failed in "
"""Beginning of the note that an error has after several tries."""


def described_tries(error: BaseException) -> str:
    """Return the errors of all tries, if there was more than one, else what `described` returns."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(TRIES_NOTE)]
    return shortened(masked(notes[-1])) if notes else described(error)


def alike(errors: Mapping[K, BaseException]) -> list[tuple[K, list[K], list[K]]]:
    """Return the errors by kind and place, as the first one, those with its text, and those with another text."""
    groups: dict[Any, tuple[K, list[K], list[K]]] = {}
    for key, error in errors.items():
        first, same, other = groups.setdefault((type(error), _place(error)), (key, [], []))
        if key != first:
            (same if described_tries(error) == described_tries(errors[first]) else other).append(key)
    return list(groups.values())


def _place(error: BaseException) -> Any:
    """Return the line that an error was raised at; for one from another process, the last line that its note names."""
    lines = [line for note in getattr(error, "__notes__", ()) for line in note.splitlines() if line[:8] == '  File "']
    if lines or error.__traceback__ is None:
        return lines[-1] if lines else described(error)
    *_, (frame, number) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename, number


def not_run_text(not_started: Mapping[str, str]) -> str:
    """Return one line for the tasks that were not run, by the name of what did not complete upstream of each."""
    causes = list(dict.fromkeys(not_started.values()))
    upstream = f"upstream {causes[0]}" if len(causes) == 1 else f"{len(causes)} tasks upstream"
    if len(not_started) == 1:
        return f"{next(iter(not_started))} was not run, because {upstream} did not complete"
    kinds = Counter(re.split(r"[\[(]", name, maxsplit=1)[0] for name in not_started)
    names = [f"{number} {name}" if number > 1 else name for name, number in kinds.items()]
    shown = list(not_started) if len(not_started) <= _MOST_NAMES else names[:_MOST_CLASSES]
    more = f" and {len(names) - len(shown)} more classes" if len(names) > len(shown) else ""
    return f"{len(not_started)} tasks were not run, because {upstream} did not complete: {', '.join(shown)}{more}"


def more_failed(names: Sequence[str]) -> str:
    """Return one line for the tasks that failed as the one before them."""
    shown = ", ".join(names[:_MOST_CLASSES]) + (", ..." if len(names) > _MOST_CLASSES else "")
    return f"{len(names)} more failed in the same way: {shown}"


_MOST_NAMES = 5
"""Tasks that are named; of more, their classes are counted."""

_MOST_CLASSES = 20


def without_engine(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of kart above the first one of other code; all of them if there is none."""
    rest = trace
    while rest is not None and rest.tb_frame.f_globals.get("__name__", "").startswith("kart_runtime."):
        rest = rest.tb_next
    return rest or trace


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, unless its class forbids it."""
    with suppress(Exception):
        error.add_note(note)


def warn(logger: logging.Logger, message: str, *args: object) -> None:
    """Log a warning; a handler that raises costs only the message, which is then printed."""
    try:
        logger.warning(message, *args, stacklevel=2)
    except Exception as error:  # noqa: BLE001 - of a handler of the user's own
        with suppress(Exception):
            sys.stderr.write(f"{message % args}\n(a log handler raised {described(error)})\n")
