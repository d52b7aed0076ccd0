"""How are several mistakes of one configuration told at once? As one error that holds them all.

Used by every module of this package: each check appends to a list, and the last step raises.
"""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors import ConfigError, ConfigErrors


def each(error: ConfigError) -> tuple[ConfigError, ...]:
    """Return the single mistakes that an error stands for."""
    return error.errors if isinstance(error, ConfigErrors) else (error,)


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise what was collected; nothing, when nothing was.

    Raises
    ------
    ConfigError
        The only one, or a `ConfigErrors` with all of them.
    """
    found = [single for error in errors for single in each(error)]
    if len(found) == 1:
        raise found[0]
    if found:
        raise ConfigErrors(found)
