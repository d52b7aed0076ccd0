"""Signals of `kart run`: the first ends the run in order, one more at once, without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.live.plain import Display
from kart_runtime.schedule.signals import Terminated, end_builds, handled


class StopSignals:
    """Handler of Ctrl-C and SIGTERM while a command runs tasks.

    The first signal raises KeyboardInterrupt in the main thread. The second does so where the build has noticed the
    first; if a task has taken that for an error of its own, and after the third, the process ends.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._count = 0
        self._code = ExitCode.INTERRUPTED
        self._has_noticed = False
        self._handled: AbstractContextManager[None]

    def __enter__(self) -> StopSignals:
        # The display's own handler of SIGTERM, which restores the terminal, is not needed meanwhile.
        term: Any = signal.getsignal(signal.SIGTERM) if self._display.handles_sigterm() else signal.SIG_DFL
        self._handled = handled(self._handle, {"SIGINT": signal.default_int_handler, "SIGTERM": term})
        self._handled.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handled.__exit__(kind, error, trace)

    @property
    def code(self) -> ExitCode:
        """Return the exit code of a command that was interrupted."""
        return self._code

    def notice(self) -> None:
        """Hear that the build has noticed the signal."""
        self._has_noticed = True

    def _handle(self, number: int, _frame: Any) -> None:
        self._count += 1
        if self._count == 1 and number == getattr(signal, "SIGTERM", None):
            self._code = ExitCode.TERMINATED
        if self._count == 1 or (self._count == 2 and self._has_noticed):
            raise (Terminated if number != signal.SIGINT else KeyboardInterrupt)
        end_builds()
        with suppress(BaseException):
            self._display.abandon()
            sys.stdout.flush()
            os.write(2, b"Interrupted.\n")
        os._exit(self._code)
