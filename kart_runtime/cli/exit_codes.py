"""Which exit codes are there? These; `docs/reference/command-line.md` explains them."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """A task failed."""
    REFUSED = 2
    """The arguments or the configuration are not acceptable; nothing has run."""
    PROBLEMS = 3
    """`check` found something."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read the output has gone away."""
