"""Lines of records that are signed: with a key, only these count as what runs have recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kart_runtime.errors import warn
from kart_runtime.storage.signing_keys import VARIABLE, keyring, line_is_signed

logger = logging.getLogger(__name__)

_counts_unsigned: ContextVar[bool] = ContextVar("counts_unsigned", default=False)

_reported: set[str] = set()
"""Places of which it was said that they hold lines that do not count."""


@contextmanager
def counting_unsigned() -> Iterator[None]:
    """Let lines count that are not signed, until the block ends: to compare outputs with them before they are."""
    token = _counts_unsigned.set(True)
    try:
        yield
    finally:
        _counts_unsigned.reset(token)


def signed_text(text: str, run: str, place: str) -> str:
    """Return the lines of a run's file that are signed; all of them if there is no key."""
    keys = keyring()
    if keys is None or _counts_unsigned.get():
        return text
    lines = text.splitlines()
    signed = [line for line in lines if line_is_signed(line, run, keys)]
    if len(signed) < len(lines) and place not in _reported:
        _reported.add(place)
        warn(
            logger,
            "Ignoring what run %s, and perhaps others, have recorded in %s: it is not signed by a key of %s. Sign it, "
            "if you trust it: kart sign",
            run,
            place,
            VARIABLE,
        )
    return "".join([f"{line}\n" for line in signed])
