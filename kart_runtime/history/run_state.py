"""State of a run: how it ended, or whether it goes on.

A run names its process. On the machine of that process the system knows whether it lives. Elsewhere only its file says
so: a run that goes on adds a line to it every `BEAT_SECONDS`, and `REMOTE_BEAT_SECONDS` on a remote store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kart_runtime.storage.processes import is_alive

BEAT_SECONDS, REMOTE_BEAT_SECONDS = 60.0, 300.0
"""Seconds between two lines that say that a run goes on."""

ALIVE_SECONDS = 600.0
"""Seconds without a write after which a run without an end is taken for dead, if its process cannot be asked about."""


def state_of(
    header: Mapping[str, Any],
    end: Mapping[str, Any] | None,
    written: float,
    now: float | None = None,
    *,
    has_failed: bool = False,
) -> str:
    """Return "done", "failed", "interrupted", "running", "died", or "died?" where the process cannot be asked about.

    `written` is the time of the last write to the run's file. `has_failed` tells of runs of early versions, which have
    no end, whether an attempt failed.
    """
    if end is not None:
        state = end.get("state")
        return state if isinstance(state, str) and state else "died?"
    if header and "format" not in header:  # an early version, which does not write an end
        return "failed" if has_failed else "done"
    alive = is_process_alive(header)
    if alive is not None:
        return "running" if alive else "died"
    return "running" if (time.time() if now is None else now) - written < ALIVE_SECONDS else "died?"


def is_process_alive(header: Mapping[str, Any]) -> bool | None:
    """Return whether the process of a run lives; None if this machine cannot know."""
    process = header.get("process")
    return is_alive(process) if isinstance(process, str) else None
