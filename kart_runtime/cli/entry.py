"""How does a command line become an exit code? Parse, execute, and say in words what went wrong.

This is the only place where errors turn into text and numbers; the commands raise.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.messages import explain_config, explain_error
from kart_runtime.cli.parser import parse
from kart_runtime.errors import ConfigError, KartError


def main(argv: Sequence[str] | None = None, *, package: str | None = None) -> int:
    """Execute a command line and return its exit code.

    Parameters
    ----------
    argv
        The arguments. None: those of the process.
    package
        The package whose ``python -m PACKAGE`` this is. None: ``kart``, which finds the project by the current folder.
    """
    _print_anything()
    try:
        code = _execute(list(sys.argv[1:] if argv is None else argv), package)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has seen enough. Python flushes once more at exit, which must not fail loudly either.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED
    return code


def _print_anything() -> None:
    """Let a terminal that lacks a character show its code instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _execute(argv: list[str], package: str | None) -> int:
    try:
        arguments = parse(argv, package)
        return int(arguments.execute(arguments))
    except SystemExit as done:  # argparse has printed help, or what is wrong
        return done.code if isinstance(done.code, int) else ExitCode.REFUSED
    except ConfigError as error:
        print(explain_config(error), file=sys.stderr)
        return ExitCode.REFUSED
    except KartError as error:
        print(explain_error(error), file=sys.stderr)
        return ExitCode.REFUSED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return ExitCode.INTERRUPTED
