"""Collected errors: each check of the configuration appends to a list, and the last step raises all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors import ConfigError, ConfigErrors


def split_errors(error: ConfigError) -> tuple[ConfigError, ...]:
    """Return the single errors that an error holds."""
    return error.errors if isinstance(error, ConfigErrors) else (error,)


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise the only error, or a `ConfigErrors` with all of them; do nothing if there is none."""
    singles = [single for error in errors for single in split_errors(error)]
    if len(singles) == 1:
        raise singles[0]
    if singles:
        raise ConfigErrors(singles)
