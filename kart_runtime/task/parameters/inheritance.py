"""Parameter values that task classes take from a configuration class, by `inherits_config_params`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import luigi

ATTRIBUTE = "_kart_config_sources"
TaskClass = TypeVar("TaskClass", bound=type[luigi.Task])


class inherits_config_params:  # noqa: N801 - gokart's name, and that of luigi's own decorators
    """Give a task the values of a configuration class, for the parameters that both have.

    Parameters
    ----------
    config_class
        The configuration: its values come from luigi's configuration, or from its defaults.
    parameter_alias
        Name in the configuration to name in the task, where these differ.

    Examples
    --------
    >>> class Shared(luigi.Config):
    ...     depth = luigi.IntParameter(default=3)
    >>> @inherits_config_params(Shared, parameter_alias={"depth": "max_depth"})
    ... class Train(TaskOnKart[object]):
    ...     max_depth = luigi.IntParameter()
    """

    def __init__(self, config_class: type[luigi.Config], parameter_alias: Mapping[str, str] | None = None) -> None:
        self._source = (config_class, dict(parameter_alias or {}))

    def __call__(self, task_class: TaskClass) -> TaskClass:
        """Return the class, which from now on takes its values from the configuration."""
        setattr(task_class, ATTRIBUTE, (*getattr(task_class, ATTRIBUTE, ()), self._source))
        return task_class


def inherited_values(cls: type[luigi.Task]) -> dict[str, Any]:
    """Return the values that a class takes from configuration classes, the last decorator's before the others'."""
    values: dict[str, Any] = {}
    for config_class, alias in getattr(cls, ATTRIBUTE, ()):
        for name, value in config_class().param_kwargs.items():
            values[alias.get(name, name)] = value
    return values
