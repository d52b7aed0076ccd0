"""Parameter with a secret, `SecretParameter`, that is looked up when it is used, and its unset value.

A task can be made, planned and listed without the secret: only the code that reads the attribute needs it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import luigi
from luigi.parameter import ParameterVisibility

from kart_runtime.errors import ConfigError, EnvVarMissing
from kart_runtime.errors.secret_sources import may_be_secret, texts_in
from kart_runtime.errors.secrets import note_secret
from kart_runtime.storage.staging import active_run

_REFERENCE = re.compile(r"\$\{\s*oc\.env\s*:\s*([^},\s]+)\s*(?:,([^}]*))?\}")


class Unset:
    """Value of a secret whose environment variable is not set: raises `error` when it is used."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __repr__(self) -> str:
        return "(not set)"


class SecretParameter(luigi.Parameter[str]):
    """A text such as a password or the url of a database, that is needed only when `run()` reads it.

    It is not in the unique id, and in no log, record or listing. `${oc.env:NAME}` in its value stands for an
    environment variable, as in the YAML files; if that is not set, `self.<name>` raises `EnvVarMissing`, while plans,
    lists and complete tasks do without.

    Parameters
    ----------
    default
        Text. None: configuration must give one before `self.<name>` is read.
    description
        What the secret is for.

    Examples
    --------
    >>> class Download(TaskOnKart[str]):
    ...     token = SecretParameter(default="${oc.env:API_TOKEN}")
    """

    def __init__(self, default: str | None = None, *, description: str | None = None) -> None:
        super().__init__(
            default=default,  # type: ignore[arg-type]
            description=description,
            significant=False,
            positional=False,
            visibility=ParameterVisibility.PRIVATE,
        )

    if not TYPE_CHECKING:  # which take luigi's: text

        def __get__(self, instance: Any, owner: Any) -> Any:
            if instance is None:
                return self
            value = super().__get__(instance, owner)
            if isinstance(value, Unset):
                raise value.error
            return _looked_up(value, f"{type(instance).__name__}.{self._attribute_name}")

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Accept what stands for no value; luigi's warning would quote the value."""


def _looked_up(text: str | None, key: str) -> str:
    if text is None:
        expected = "a reference such as ${oc.env:NAME} in its YAML file"
        raise ConfigError("the secret has no value", key=key, expected=expected)

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = os.environ.get(name, default)
        if found is None:
            raise EnvVarMissing(name, file="", key=key)
        _note(found)
        return found

    secret = _REFERENCE.sub(value, text)
    _note(secret)
    return secret


def _note(secret: str) -> None:
    """Remember a secret, here and for the program that has asked this process to run a task."""
    note_secret(secret)
    run = active_run.get()
    if run is not None:
        run.secrets.add(secret)


def note_held(name: str, value: Any) -> None:
    """Remember the value of a parameter that is not public, unless it is a word or number that any text may hold."""
    for text in texts_in(value):
        if "${" not in text and may_be_secret(text, name):
            note_secret(text)


def is_reference(value: object) -> bool:
    """Return whether a value only says where the secret is, so that it may be shown."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None
