"""Entry point: parse a command line, execute its command, and turn errors into messages and an exit code.

The commands raise; this is the only module that prints errors. What only some commands need is imported when they run,
so that `--help` costs no more than argparse.
"""

from __future__ import annotations

import argparse
import atexit
import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress

from kart_runtime.cli.command_table import Command
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.live import shows_block
from kart_runtime.cli.parser import parse
from kart_runtime.cli.terminal import CannotPrint, flush, shown, visible
from kart_runtime.errors import KartError


def main(argv: Sequence[str] | None = None, *, package: str | None = None) -> int:
    """Execute a command line and return its exit code.

    Parameters
    ----------
    argv
        The arguments. None: those of the process.
    package
        Package whose `python -m PACKAGE` this is. None: `kart`, which looks for the project in the current directory
        and above it.

    Returns
    -------
    int
        The exit code, an `ExitCode`.
    """
    _replace_closed()
    _replace_unencodable()
    try:
        code = _execute(list(sys.argv[1:] if argv is None else argv), package)
        flush(sys.stdout)
    except BrokenPipeError:
        # `| head` has read enough.
        _close_stdout()
        code = ExitCode.PIPE_CLOSED
    except CannotPrint as error:
        _close_stdout()
        with suppress(OSError, ValueError):  # standard error may be on the same full disk
            print(f"error: cannot write to standard output: {error.strerror or error}", file=sys.stderr)
        code = ExitCode.FAILED
    if argv is None:
        _leave_threads(code)
    return code


def _leave_threads(code: int) -> None:
    """End the process at once if a thread is left whose task was given up: Python might wait for it."""
    threads = sys.modules.get("kart_runtime.execution.executors.threads")
    if threads is None or not threads.threads_given_up():
        return
    last = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    last.start()
    last.join(_LAST_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


_LAST_SECONDS = 5.0
"""How long the functions that are called at the end of the process may take."""


def _close_stdout() -> None:
    """Throw away what is left to print: Python writes it once more at exit, which must not fail either."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_WITH_TASKS = ("run", "search")
"""Commands in which tasks print as well, and draw bars: they mask and escape their own lines alone."""


def _replace_closed() -> None:
    """Open what was closed when the command began: a file must not take the number of standard output or error."""
    names = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if names:
        number = 0
        while number <= 2:
            number = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        os.close(number)
    for name in names:
        setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))


def _replace_unencodable() -> None:
    """Print the code of a character that the terminal lacks, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _execute(argv: list[str], package: str | None) -> int:
    try:
        with shown():
            command, arguments = parse(argv, package)
        execute = _loaded(command, arguments)
        with nullcontext() if command.name in _WITH_TASKS else shown():
            return execute(arguments)
    except SystemExit as done:  # argparse has printed help, or an error
        return done.code if isinstance(done.code, int) else ExitCode.REFUSED
    except KartError as error:
        from kart_runtime.cli.messages import explain

        print(visible(explain(error)), file=sys.stderr)
        return ExitCode.REFUSED
    except KeyboardInterrupt as stop:
        print("Interrupted.", file=sys.stderr)
        return ExitCode.TERMINATED if type(stop).__name__ == "Terminated" else ExitCode.INTERRUPTED


def _loaded(command: Command, arguments: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    """Return the function of a command; before what `kart run` needs is imported, a terminal shows that it began."""
    if command.name != "run" or arguments.quiet or not shows_block():
        return command.load()
    with suppress(OSError, ValueError):
        print("reading the project ...", end="\r", flush=True)
    try:
        return command.load()
    finally:
        with suppress(OSError, ValueError):
            print("\x1b[K", end="", flush=True)
