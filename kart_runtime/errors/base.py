"""Base class of all errors."""

from __future__ import annotations

from typing import Any


class KartError(Exception):
    """Base class of the errors that kart raises."""

    def __str__(self) -> str:
        # Those that are OSErrors, too, would build their text from errno and filename, which are not set.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the attributes: the message is composed, so `args` would not fit the constructor."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[KartError], args: tuple[Any, ...], state: dict[str, Any]) -> KartError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error
