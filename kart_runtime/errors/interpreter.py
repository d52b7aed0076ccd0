"""What the interpreter prints by itself, without secrets: errors that nobody catches, and warnings."""

from __future__ import annotations

import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

from kart_runtime.errors.secrets import masked


def mask_what_python_prints() -> None:
    """Mask secrets in the errors and warnings that this process prints from now on; others are printed as before."""
    if not isinstance(sys.excepthook, _Uncaught):
        sys.excepthook = _Uncaught(sys.excepthook)
    if not isinstance(threading.excepthook, _UncaughtInThread):
        threading.excepthook = _UncaughtInThread(threading.excepthook)
    if not isinstance(warnings.formatwarning, _Warning):
        warnings.formatwarning = _Warning(warnings.formatwarning)


class _Uncaught:
    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = _masked_trace(kind, error, trace)
        if text is None:
            self.before(kind, error, trace)
        else:
            sys.stderr.write(text)


class _UncaughtInThread:
    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(self, arguments: Any) -> None:
        text = _masked_trace(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        if text is None:
            self.before(arguments)
        else:
            name = arguments.thread.name if arguments.thread is not None else "?"
            sys.stderr.write(f"Exception in thread {name}:\n{text}")


class _Warning:
    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        return masked(self.before(*args, **kwargs))


def _masked_trace(kind: Any, error: Any, trace: TracebackType | None) -> str | None:
    """Return the text of an error, with the errors that it came from, if it shows a secret; else None."""
    if error is None or issubclass(kind, SystemExit | KeyboardInterrupt):
        return None
    try:
        text = "".join(traceback.format_exception(kind, error, trace))
    except Exception:  # noqa: BLE001 - the interpreter says what it can
        return None
    shown = masked(text)
    return None if shown == text else shown
