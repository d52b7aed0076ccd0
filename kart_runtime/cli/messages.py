"""How are mistakes shown? What is wrong and where, what was expected, and that nothing was run.

Called by `entry` for refusals, by ``check`` for findings, and by ``run`` for tasks that failed.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from kart_runtime.errors import ConfigError, KartError
from kart_runtime.project.problems import each


def explain_config(error: ConfigError) -> str:
    """Return a refused configuration as lines for people, one paragraph for each mistake."""
    mistakes = each(error)
    counted = "1 problem" if len(mistakes) == 1 else f"{len(mistakes)} problems"
    paragraphs = "\n".join(paragraph(mistake) for mistake in mistakes)
    return f"{paragraphs}\n{counted}; nothing was run or changed."


def paragraph(error: ConfigError) -> str:
    """Return one mistake: the place and the message, and below them what was expected."""
    where = ": ".join(part for part in (error.file, error.key) if part)
    lines = [f"error: {where}: {error.message}" if where else f"error: {error.message}"]
    if error.suggestion:
        lines.append(f"       did you mean '{error.suggestion}'?")
    if error.expected:
        lines.append(f"       expected: {error.expected}")
    return "\n".join(lines)


def explain_error(error: KartError) -> str:
    """Return another error of the engine that came before anything ran."""
    return f"error: {error}\nNothing was run or changed."


def user_traceback(error: BaseException, root: Path) -> str:
    """Return a traceback that begins where the project's own code does; the engine's frames above it explain nothing.

    An error of the engine itself, such as a missing dump, is its message alone.

    Parameters
    ----------
    error
        What a task raised.
    root
        The folder of the project's code.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [place for place, frame in enumerate(frames) if Path(frame.filename).is_relative_to(root)]
    if not own and isinstance(error, KartError):
        return f"{type(error).__name__}: {error}"
    if not own:
        return "".join(traceback.format_exception(error))
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list(list(shown.stack)[own[0] :])
    return "".join(shown.format())
