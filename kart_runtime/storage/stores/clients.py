"""Clients of a service: one for all threads of a process, and a new one when the environment changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from kart_runtime.storage.system import after_fork


class Clients:
    """The clients of one service, one for each combination of values of some environment variables."""

    def __init__(self, *variables: str) -> None:
        self._variables = variables
        self._begin()
        after_fork(self._begin)  # two processes must not share a connection

    def _begin(self) -> None:
        self._clients: dict[tuple[str | None, ...], Any] = {}
        self._lock = threading.Lock()

    def get(self, make: Callable[..., Any], *arguments: str | None) -> Any:
        """Return the client for the present environment and `arguments`, created by `make(*arguments)` when needed."""
        settings = (*map(os.environ.get, self._variables), *arguments)
        client = self._clients.get(settings)
        if client is None:
            with self._lock:
                client = self._clients.get(settings)
                if client is None:
                    client = self._clients[settings] = make(*arguments)
        return client
