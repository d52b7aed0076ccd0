"""Signals that end a build: SIGTERM does what Ctrl-C does, and a second signal ends at once.

A build in a program of the user's own takes over SIGTERM only where nothing handles it, in the main thread, and for as
long as it runs; then the program ends as it would have. `kart run` owns its process, and also handles Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the main thread stands."""


_ending: list[Callable[[], None]] = []
"""What has to be done before the process ends without the end of its builds."""


@contextmanager
def before_exit(function: Callable[[], None]) -> Iterator[None]:
    """Have a function called if the process ends inside the block without leaving it."""
    _ending.append(function)
    try:
        yield
    finally:
        _ending.remove(function)


def end_builds() -> None:
    """Call what has to be done before the process ends; nothing of it may raise."""
    for function in reversed(_ending):
        with suppress(BaseException):
            function()


@contextmanager
def handled(handler: Callable[[int, Any], None], replaced: dict[str, Any]) -> Iterator[None]:
    """Handle signals inside the block, by name, of which each still has the handler that is given for it."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name, known in replaced.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == known:
                with suppress(ValueError):  # not the main interpreter
                    before[number] = known
                    signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, known)


@contextmanager
def sigterm_ends_builds() -> Iterator[None]:
    """Let SIGTERM end a build as Ctrl-C does, so that workers end and records are written, and then the program."""
    received = []

    def handler(number: int, _frame: Any) -> None:
        received.append(number)
        raise Terminated

    try:
        with handled(handler, {"SIGTERM": signal.SIG_DFL}):
            yield
    finally:
        if received:
            os.kill(os.getpid(), received[0])
