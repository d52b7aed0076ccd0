"""Errors of the configuration, and of extras that are not installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kart_runtime.errors.base import KartError


class ConfigError(KartError, ValueError):
    """Invalid configuration; nothing has run.

    Parameters
    ----------
    message
        The mistake.
    file
        Place of the mistake: ``path``, ``path:line`` or "command line".
    key
        Full dotted key.
    expected
        Accepted values.
    suggestion
        Known name closest to the given one.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        key: str | None = None,
        expected: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.message, self.file, self.key, self.expected, self.suggestion = message, file, key, expected, suggestion
        where = ": ".join(part for part in (file, key) if part)
        text = f"{where}: {message}" if where else message
        if expected:
            text += f" (expected {expected})"
        if suggestion:
            text += f". Did you mean '{suggestion}'?"
        super().__init__(text)


class ConfigErrors(ConfigError):
    """Several mistakes in the configuration.

    Parameters
    ----------
    errors
        The mistakes, in the order found.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        lines = "".join(f"\n  {error}" for error in self.errors)
        super().__init__(f"{len(self.errors)} problems in the configuration:{lines}")


class EnvVarMissing(ConfigError):
    """An environment variable that a configuration value refers to is not set.

    Parameters
    ----------
    name
        The variable.
    file
        Where the value was written.
    key
        The value's dotted key.
    """

    def __init__(self, name: str, *, file: str, key: str) -> None:
        self.name = name
        message = f"environment variable {name} is not set. Set it, or give it a default: ${{oc.env:{name},VALUE}}"
        super().__init__(message, file=file, key=key)


class ExtraMissing(ConfigError, ImportError):
    """The library of an optional extra is not installed.

    Parameters
    ----------
    what
        What needs the library, and which one.
    extra
        The extra of kart-runtime that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        super().__init__(f"{what}. {how_to_add(extra)}")


def how_to_add(extra: str) -> str:
    """Return what installs an extra; never `pip install kart-runtime`, which an index could answer with another one."""
    return f"Write kart-runtime[{extra}] into the dependencies of pyproject.toml, and run: make setup (or uv sync)"


class LockSettingsIncomplete(ConfigError, AssertionError):
    """Parameters of a lock that do not fit together, such as a host without a port; the arguments of `ConfigError`."""


@contextmanager
def require_extra(what: str, extra: str) -> Iterator[None]:
    """Raise `ExtraMissing` if an import inside the ``with`` block fails."""
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(what, extra) from error
