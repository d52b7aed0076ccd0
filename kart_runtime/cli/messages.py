"""Error messages: invalid configuration as paragraphs, and tracebacks that start in the project's own code."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from kart_runtime.errors import ConfigError, KartError, WriteFailed, described, shortened, trace_of
from kart_runtime.errors.secrets import masked
from kart_runtime.project.problems import split_errors

_MOST_CHARACTERS = 50_000
"""Length of a traceback; some errors quote all the data."""

_FRAMES = re.compile(r'(?:^  File ".*\n(?:    .*\n)*)+', re.MULTILINE)
"""The frames of one error in the text of a traceback."""


def explain(error: KartError) -> str:
    """Return the message for an error before anything ran; invalid configuration is one paragraph for each problem."""
    if not isinstance(error, ConfigError):
        return masked(f"error: {error}\nNothing was run or changed.")
    errors = split_errors(error)
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return "\n".join([*map(paragraph, errors), f"{count}; nothing was run or changed."])


def paragraph(error: ConfigError) -> str:
    """Return the message for one problem: place and error, and below them what was expected."""
    place = ": ".join(part for part in (error.file, error.key) if part)
    lines = [f"error: {place}: {error.message}" if place else f"error: {error.message}"]
    if error.suggestion:
        lines.append(f"       did you mean '{error.suggestion}'?")
    if error.expected:
        lines.append(f"       expected: {error.expected}")
    return masked("\n".join(lines))


def user_traceback(error: BaseException, root: Path) -> str:
    """Return a traceback without the engine's frames above the code in `root`, nor those below it in errors of kart.

    Without code in `root`, kart's own errors are one line.
    """
    try:
        return shortened(masked(_user_traceback(error, root)), _MOST_CHARACTERS)
    except RecursionError:
        return trace_of(error)


def tries_report(errors: Sequence[BaseException], root: Path) -> str:
    """Return the tracebacks of the tries of a task, but one for those that failed in the same way."""
    first: dict[str, int] = {}
    for index, error in enumerate(errors[::-1]):
        first.setdefault(described(error), len(errors) - 1 - index)
    if len(errors) == 1:
        return f":\n{user_traceback(errors[0], root).rstrip()}"
    shown = sorted(first.values())
    text = f" in {len(errors)} tries{', each time in the same way' if len(shown) == 1 else ''}:"
    for index in shown:
        heading = f"\ntry {index + 1} of {len(errors)}:" if len(shown) > 1 else ""
        text += f"{heading}\n{user_traceback(errors[index], root).rstrip()}"
    return text


def _user_traceback(error: BaseException, root: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if Path(frame.filename).is_relative_to(root)]
    if isinstance(error, WriteFailed) or (not own and isinstance(error, KartError)):
        return described(error)
    from_worker = _worker_traceback(error, root)
    if from_worker or not own:  # with tblib, which Dask may install, an error from a worker has its frames as well
        return from_worker or "".join(traceback.format_exception(error))
    report = traceback.TracebackException.from_exception(error)
    end = own[-1] + 1 if isinstance(error, KartError) else None
    report.stack = traceback.StackSummary.from_list(list(report.stack)[own[0] : end])
    return "".join(report.format())


def _worker_traceback(error: BaseException, root: Path) -> str:
    """Return the traceback that a worker process has added to an error as a note, likewise shortened, or nothing."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith("In process "):
            return _FRAMES.sub(lambda frames: _from_own_code(frames[0], root), note)
    return ""


def _from_own_code(frames: str, root: Path) -> str:
    """Return the frames from the first one in `root` on, or all of them if there is none."""
    return frames[max(frames.find(f'  File "{root}{os.sep}'), 0) :]
