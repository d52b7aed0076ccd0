"""Libraries of other tools: keeping them silent, and a first look at whether their receiver is there."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_CONNECT_SECONDS = 3.0

_LIBRARIES = ("openlineage", "opentelemetry", "requests", "urllib3")
"""Names of the loggers, and of those below them, that report each try."""


class _Said(threading.local):
    """Messages of the libraries in this thread; None where nobody asks for them."""

    texts: list[str] | None = None


class _Silence(logging.Filter):
    """Filter that takes the messages of the threads that send."""

    def __init__(self) -> None:
        super().__init__()
        self.said = _Said()
        self._seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if self.said.texts is None:
            return True
        self.said.texts.append(record.getMessage())
        return False

    def cover(self) -> None:
        """Filter the loggers of the libraries, as far as they exist."""
        loggers = logging.root.manager.loggerDict
        if len(loggers) != self._seen:
            self._seen = len(loggers)
            for name, logger in list(loggers.items()):
                if name.partition(".")[0] in _LIBRARIES and isinstance(logger, logging.Logger):
                    logger.addFilter(self)


_silence = _Silence()


@contextmanager
def silent_libraries() -> Iterator[list[str]]:
    """Take the messages of the libraries in this thread; yields the list that they are added to."""
    texts: list[str] = []
    before = _silence.said.texts
    _silence.said.texts = texts
    _silence.cover()
    try:
        yield texts
    finally:
        _silence.said.texts = before


def check_receiver(url: str) -> None:
    """Raise `OSError` if nobody listens at a URL: the libraries would try for minutes. Behind a proxy, it decides."""
    from urllib.request import getproxies, proxy_bypass  # takes longer than all the rest of a run without exporters

    place = urlsplit(url)
    host, scheme = place.hostname or "", place.scheme
    if scheme not in ("http", "https") or (scheme in getproxies() and not proxy_bypass(host)):
        return
    port = place.port or (443 if scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that can be no host's
        raise ConnectionError(f"{host}:{port} cannot be reached: {error}") from error
