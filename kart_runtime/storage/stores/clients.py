"""Which client speaks to a service? One for all threads of a process, and another where the environment says so.

Used by `s3` and `gcs`, which say how theirs is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any


class Clients:
    """The clients of one service.

    Parameters
    ----------
    variables
        The environment variables that make another client when they change, as a notebook or a test may change them.
    """

    def __init__(self, *variables: str) -> None:
        self._variables = variables
        self._begin()
        # Two processes must not speak through one connection.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._made: dict[tuple[str | None, ...], Any] = {}
        self._lock = threading.Lock()

    def get(self, make: Callable[..., Any], *more: str | None) -> Any:
        """Return the client, which is made when it is asked for first.

        Parameters
        ----------
        make
            Makes one.
        more
            What it is called with, which makes another client when it changes.
        """
        counts = (*map(os.environ.get, self._variables), *more)
        found = self._made.get(counts)
        if found is None:
            with self._lock:
                found = self._made.get(counts)
                if found is None:
                    found = self._made[counts] = make(*more)
        return found
