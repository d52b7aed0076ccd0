"""Which value does each parameter get? Its argument, else an override, else that of a configuration class it inherits
from, else luigi's configuration, else its default.

luigi answers by walking all attributes of the class and asking its configuration for each parameter, twice for each
task built. Here the parameters of a class are listed once, and the values that do not come from the call are worked out
once for each state of the configuration: building a task costs one dict copy and its own arguments.

The state of the configuration is (overrides' generation, luigi's command line, luigi's sections for this class).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import (
    DuplicateParameterException,
    MissingParameterException,
    ParameterVisibility,
    UnconsumedParameterWarning,
    UnknownParameterException,
)

from kart_runtime.errors import nearest
from kart_runtime.parameters.inheritance import inherited_values
from kart_runtime.parameters.kinds import frozen
from kart_runtime.parameters.overrides import generation, overrides_for

SHARED_SECTION = "TaskOnKart"
"""The section of luigi's configuration whose values count for every task, as in gokart."""

_ABSENT: Any = object()


class Declaration:
    """The parameters of one task class.

    Attributes
    ----------
    family
        luigi's name of the class: its namespace and its own name.
    params
        Name to parameter, in the order in which they were declared.
    positional
        The names that positional arguments fill, in order.
    significant
        The parameters that make up the unique id: significant and not private.
    required
        The names that have no value but that of an argument.
    """

    __slots__ = ("_inherited", "_state", "_values", "cls", "family", "params", "positional", "required", "significant")

    def __init__(self, cls: type[luigi.Task]) -> None:
        self.cls = cls
        self.family: str = cls.get_task_family()
        self.params: dict[str, luigi.Parameter[Any]] = dict(_listed(cls))
        self.positional = [name for name, param in self.params.items() if param.positional]
        self.significant = [
            (name, param)
            for name, param in self.params.items()
            if param.significant and param.visibility != ParameterVisibility.PRIVATE
        ]
        self._inherited: dict[str, Any] = {}
        self._state: tuple[Any, ...] | None = None
        self._values: dict[str, Any] = {}
        self.required: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """Return the value of every parameter when a task is built without arguments; a mark where there is none."""
        inherited = inherited_values(self.cls)
        state = (*_configuration_state(self.family), inherited)
        if state != self._state:
            self._inherited = inherited
            self._values = {name: self._default(name, param) for name, param in self.params.items()}
            self.required = tuple(name for name, value in self._values.items() if value is _ABSENT)
            self._state = state
            self._warn_of_unconsumed()
        return self._values

    def _default(self, name: str, param: luigi.Parameter[Any]) -> Any:
        override = overrides_for(self.cls).get(name)
        if override is not None:
            return frozen(override.value)
        if name in self._inherited:
            return frozen(param.normalize(self._inherited[name]))
        shared = _section(SHARED_SECTION)
        if name in shared:
            text = shared[name]
            return frozen(param.normalize(param.parse(text) if isinstance(text, str) else text))
        family = self.family
        try:
            if not param.has_task_value(family, name):
                return _ABSENT
            return frozen(param.task_value(family, name))
        except Exception as error:
            raise ValueError(f"{family}: the configured value of '{name}' cannot be used: {error}") from error

    def _warn_of_unconsumed(self) -> None:
        family = self.family
        ignored = getattr(self.cls, "ignore_unconsumed", ())
        for key in _section(family):
            name = key.replace("-", "_")
            if name not in self.params and name not in ignored:
                warnings.warn(
                    f"The configuration sets '{name}' for the task '{family}', which has no such parameter.",
                    UnconsumedParameterWarning,
                    stacklevel=4,
                )


def _listed(cls: type[luigi.Task]) -> list[tuple[str, luigi.Parameter[Any]]]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(vars(base))
    params = [(name, value) for name, value in found.items() if isinstance(value, luigi.Parameter)]
    return sorted(params, key=lambda item: item[1]._counter)


def _sections() -> Mapping[str, Any]:
    config = luigi.configuration.get_config()
    found: Mapping[str, Any] = getattr(config, "data", config)  # the toml parser of luigi keeps its sections there
    return found


def _section(name: str) -> Mapping[str, Any]:
    sections = _sections()
    return dict(sections[name]) if name in sections else {}


def _configuration_state(family: str) -> tuple[Any, ...]:
    sections = _sections()
    # In a project that is configured by YAML these are two look-ups that find nothing.
    own = dict(sections[family]) if family in sections else None
    shared = dict(sections[SHARED_SECTION]) if SHARED_SECTION in sections else None
    return generation(), CmdlineParser.get_instance(), own, shared


_declarations: dict[type, Declaration] = {}


def declaration(cls: type[luigi.Task]) -> Declaration:
    """Return the parameters of a class, worked out once.

    Parameters
    ----------
    cls
        A task class.
    """
    found = _declarations.get(cls)
    if found is None:
        found = _declarations[cls] = Declaration(cls)
    return found


def forget_declarations() -> None:
    """Work the parameters of all classes out again, because one class was given a new one, or another namespace."""
    _declarations.clear()


def resolve(cls: type[luigi.Task], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter of a new task, in the order of declaration.

    Parameters
    ----------
    cls
        The task class.
    args, kwargs
        The arguments of the call.

    Raises
    ------
    luigi.parameter.UnknownParameterException
        For an argument that the class does not declare.
    luigi.parameter.DuplicateParameterException
        For an argument given twice.
    luigi.parameter.MissingParameterException
        For a parameter that has neither an argument nor a default.
    """
    declared = declaration(cls)
    values = declared.values().copy()
    if args:
        kwargs = _with_names(declared, args, kwargs)
    for name, value in kwargs.items():
        param = declared.params.get(name)
        if param is None:
            raise UnknownParameterException(_unknown(name, declared))
        value = frozen(param.normalize(value))  # noqa: PLW2901 - the name stands for the same thing
        param._warn_on_wrong_param_type(name, value)
        values[name] = value
    missing = ", ".join(f"'{name}'" for name in declared.required if values[name] is _ABSENT)
    if missing:
        raise MissingParameterException(f"{declared.family} requires a value for {missing}")
    return values


def _with_names(declared: Declaration, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    family = declared.family
    if len(args) > len(declared.positional):
        raise UnknownParameterException(
            f"{family} takes at most {len(declared.positional)} positional parameters, {len(args)} were given"
        )
    named = dict(zip(declared.positional, args, strict=False))
    twice = named.keys() & kwargs.keys()
    if twice:
        raise DuplicateParameterException(f"{family}: {', '.join(sorted(twice))} was given twice")
    return {**named, **kwargs}


def _unknown(name: str, declared: Declaration) -> str:
    guess = nearest(name, declared.params)
    # The task's own come first; those of the engine take no positional arguments.
    known = sorted(declared.params, key=lambda one: one not in declared.positional)
    hint = f" Did you mean '{guess}'?" if guess else f" It has: {', '.join(known)}."
    return f"{declared.family} has no parameter '{name}'.{hint}"
