"""Warnings of what a file format does not keep, where gokart's files never kept it and code may rely on that.

Everything else that a format cannot hold is refused, by `CannotEncode`. Python shows a warning once for each text,
which names the task's class, so once for each class and process.
"""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import Any

dumping: ContextVar[str] = ContextVar("kart_dumping", default="")
"""Name of the class of the task that is dumping; `TaskOnKart.dump` sets it."""

declared: ContextVar[Any] = ContextVar("kart_declared", default=None)
"""Type that the dumped value is declared to have, as the one that loads it will pass it to `load`; `Target` sets it."""


class FormatWarning(UserWarning):
    """A part of a dumped value is not stored, or comes back changed. The message names the part and the remedy."""


def warn_of_loss(format: str, loss: str, remedy: str) -> None:  # noqa: A002 - the field's word
    """Warn that a format loses a part of the value that is being dumped."""
    who = dumping.get()
    warnings.warn(f"{f'{who}: ' if who else ''}{format} {loss}. {remedy}.", FormatWarning, stacklevel=2)
