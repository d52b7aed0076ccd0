"""Exit codes; `docs/reference/command-line.md` explains them."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Result of a command."""

    OK = 0
    FAILED = 1
    """A task failed, or an update left conflicts or failing checks."""
    REFUSED = 2
    """The arguments or the configuration are invalid; nothing ran."""
    PROBLEMS = 3
    """`check` reported problems, or `update --check` found an update."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Standard output was closed by its reader (broken pipe)."""
    TERMINATED = 143
    """SIGTERM."""
