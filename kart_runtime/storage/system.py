"""What operating systems have and others lack, asked for in one place."""

from __future__ import annotations

import os
from collections.abc import Callable


def after_fork(callback: Callable[[], object]) -> None:
    """Have `callback` called in each process that this one forks, if the system can fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)
