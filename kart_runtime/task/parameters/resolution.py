"""Values of a task's parameters.

Each parameter gets its argument, else an override, else the value of a configuration class it inherits from, else that
of luigi's configuration, else its default. luigi walks all attributes of the class and asks its configuration for each
parameter, twice for each task. Here the parameters of a class are listed once, and the values that do not come from the
call are resolved once for each state of the configuration: building a task costs one dict copy and its own arguments.

The state of the configuration is (active overrides, luigi's command line, luigi's sections for this class).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import LuigiConfigParser, LuigiTomlParser
from luigi.parameter import (
    DuplicateParameterException,
    MissingParameterException,
    ParameterVisibility,
    UnconsumedParameterWarning,
    UnknownParameterException,
)

from kart_runtime.errors import ParameterValueError, closest_match
from kart_runtime.errors.secrets import MASK
from kart_runtime.task.parameters.inheritance import ATTRIBUTE as SOURCES
from kart_runtime.task.parameters.inheritance import inherited_values
from kart_runtime.task.parameters.kinds import made_default
from kart_runtime.task.parameters.overrides import (
    ActiveOverrides,
    AmbiguousVariant,
    active_overrides,
    configured_secrets,
    overrides_for,
    under_active_overrides,
)
from kart_runtime.task.parameters.refusals import Unfit
from kart_runtime.task.parameters.secret import SecretParameter, Unset, note_held
from kart_runtime.task.parameters.values import ONE_TEXT, Check, check_for, exact_types

SHARED_SECTION = "TaskOnKart"
"""The section of luigi's configuration whose values count for every task, as in gokart."""

_ABSENT: Any = object()
_NO_VALUE: Any = luigi.parameter._no_value  # luigi's own mark

_versions = itertools.count()


class MissingValues(MissingParameterException):
    """Parameters of a task that have neither a value nor a default."""

    def __init__(self, task: type[luigi.Task], names: tuple[str, ...]) -> None:
        self.task, self.names = task, names
        super().__init__(task, names)

    def __str__(self) -> str:
        """Return luigi's message, with all names."""
        return f"{self.task.get_task_family()} requires a value for {', '.join(map(repr, self.names))}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make luigi's error with the message: another process may not know the class."""
        return MissingParameterException, (str(self),)


class Defaults(NamedTuple):
    """The values that do not come from a call, under one state of the configuration.

    `required` names those that have none; `version` is a number of this state and class.
    """

    state: tuple[Any, ...]
    values: dict[str, Any]
    required: tuple[str, ...]
    version: int


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
    exact
        The types, by name, whose values are taken as they are.
    hidden
        The parameters that are not public, which no text shows.
    """

    __slots__ = (
        "_checks",
        "_inherits",
        "_recent",
        "cls",
        "exact",
        "family",
        "hidden",
        "params",
        "positional",
        "significant",
    )

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
        self.exact = {name: exact_types(param) for name, param in self.params.items()}
        self.hidden = frozenset(_not_public(cls, self.params))
        self._checks: dict[str, Check] = {name: check_for(param) for name, param in self.params.items()}
        self._inherits = cls if hasattr(cls, SOURCES) else None
        self._recent: tuple[Defaults, ...] = ()

    def defaults(self) -> Defaults:
        """Return the values of a task built without arguments, worked out once for each state of the configuration."""
        state = _configuration_state(self.family, self._inherits)
        for recent in self._recent:
            if recent.state == state:
                return recent
        inherited = state[-1] or {}
        values = {name: self._default(name, param, inherited) for name, param in self.params.items()}
        required = tuple(name for name, value in values.items() if value is _ABSENT)
        defaults = Defaults(state, values, required, next(_versions))
        self._recent = (defaults, *self._recent[:3])  # builds of several configurations go back and forth
        self._warn_of_unconsumed()
        return defaults

    def checked(self, name: str, value: Any) -> Any:
        """Return a value as the task holds it; raises `ParameterValueError` if the parameter does not take it."""
        try:
            held = self._checks[name](self.params[name], value)
        except Unfit as unfit:
            raise unfit.refusal(self.family, name, _HIDDEN if name in self.hidden else value) from None
        return held if type(held) in ONE_TEXT else under_active_overrides(held)

    def note_hidden(self, values: Mapping[str, Any]) -> None:
        """Remember the values of a new task that no text may show."""
        for name in self.hidden:
            note_held(name, values[name])

    def _default(self, name: str, param: luigi.Parameter[Any], inherited: Mapping[str, Any]) -> Any:
        override = overrides_for(self.cls).get(name)
        if override is not None:
            if override.error is not None:
                return Unset(override.error) if isinstance(param, SecretParameter) else _ABSENT
            return self.checked(name, override.value)
        if name in inherited:
            return self.checked(name, inherited[name])
        shared = luigi_section(SHARED_SECTION)
        if name in shared:
            text = shared[name]
            return self.checked(name, param.parse(text) if isinstance(text, str) else text)
        try:
            value = param._get_value(self.family, name)
            return _ABSENT if value is _NO_VALUE else self.checked(name, made_default(param, value))
        except (ParameterValueError, AmbiguousVariant):
            raise
        except Exception as error:
            raise ValueError(f"{self.family}: the configured value of '{name}' cannot be used: {error}") from error

    def _warn_of_unconsumed(self) -> None:
        family = self.family
        ignored = getattr(self.cls, "ignore_unconsumed", ())
        for key in luigi_section(family):
            name = key.replace("-", "_")
            if name not in self.params and name not in ignored:
                guess = closest_match(name, self.params)
                hint = f" Did you mean '{guess}'?" if guess else ""
                warnings.warn(
                    f"The configuration sets '{name}' for the task '{family}', which has no such parameter.{hint}",
                    UnconsumedParameterWarning,
                    stacklevel=4,
                )


def _listed(cls: type[luigi.Task]) -> list[tuple[str, luigi.Parameter[Any]]]:
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    params = [(name, value) for name, value in attributes.items() if isinstance(value, luigi.Parameter)]
    return sorted(params, key=lambda item: item[1]._counter)


def _not_public(cls: type, params: Mapping[str, luigi.Parameter[Any]]) -> Iterator[str]:
    """Yield the parameters that luigi's scheduler must not show; those that the engine hides are no secrets."""
    engine = [vars(base) for base in cls.__mro__ if base.__module__.startswith("kart_runtime.")]
    for name, param in params.items():
        is_engines = any(getattr(each.get(name), "visibility", None) is ParameterVisibility.HIDDEN for each in engine)
        if param.visibility != ParameterVisibility.PUBLIC and not is_engines:
            yield name


class _Hidden:
    """What messages show in place of a value."""

    def __repr__(self) -> str:
        return MASK


_HIDDEN = _Hidden()


def secret_names(cls: type[luigi.Task], overrides: ActiveOverrides | None = None) -> frozenset[str]:
    """Return the names of the parameters that hold secrets, by default under the active overrides."""
    overrides = overrides or active_overrides()
    hidden = declaration(cls).hidden
    return hidden | configured_secrets(cls, overrides) if overrides.by_class else hidden


def _all_sections() -> Mapping[str, Any]:
    config = luigi.configuration.get_config()
    sections: Mapping[str, Any] = getattr(config, "data", config)  # the toml parser of luigi keeps its sections there
    return sections


def luigi_section(name: str) -> Mapping[str, Any]:
    """Return a section of luigi's configuration, empty when there is none."""
    sections = _all_sections()
    return dict(sections[name]) if name in sections else {}


def _configuration_state(family: str, inherits: type[luigi.Task] | None) -> tuple[Any, ...]:
    # Asked for each task that is built; in a project that is configured by YAML it comes to look-ups that find nothing.
    # luigi's get_config() would read the environment each time; its toml parser exists only where it is in use.
    config: Any = LuigiConfigParser._instance if LuigiTomlParser._instance is None else None
    named = config._sections if config is not None else _all_sections()
    own = luigi_section(family) if family in named else None
    shared = luigi_section(SHARED_SECTION) if SHARED_SECTION in named else None
    inherited = inherited_values(inherits) if inherits is not None else None
    return active_overrides(), CmdlineParser.get_instance(), own, shared, inherited


_declarations: dict[type, Declaration] = {}


def declaration(cls: type[luigi.Task]) -> Declaration:
    """Return the parameters of a class, worked out once."""
    declared = _declarations.get(cls)
    if declared is None:
        declared = _declarations[cls] = Declaration(cls)
    return declared


def forget_declarations() -> None:
    """Work the parameters of all classes out again, because one class was given a new one, or another namespace."""
    _declarations.clear()


def resolve(cls: type[luigi.Task], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter of a new task, in the order of declaration."""
    declared = declaration(cls)
    return completed(declared, declared.defaults(), accepted(declared, args, kwargs))


def accepted(declared: Declaration, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, checked and normalised; raises as `resolve` does."""
    if args:
        kwargs = _with_names(declared, args, kwargs)
    given: dict[str, Any] = {}
    exact = declared.exact
    for name, value in kwargs.items():
        kinds = exact.get(name)
        if kinds is None:
            raise UnknownParameterException(_unknown(name, declared))
        if type(value) in kinds:
            given[name] = value
        else:
            given[name] = held = declared.checked(name, value)
            if name not in declared.hidden or isinstance(held, luigi.Task | tuple):  # the warning quotes the value
                declared.params[name]._warn_on_wrong_param_type(name, held)
    return given


def completed(declared: Declaration, defaults: Defaults, given: dict[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter; raises as `resolve` does where one has none."""
    values = defaults.values.copy()
    values.update(given)
    for name in defaults.required:
        if values[name] is _ABSENT:
            override = overrides_for(declared.cls).get(name)
            if override is not None and override.error is not None:
                raise override.error
            raise MissingValues(
                declared.cls, tuple(absent for absent in defaults.required if values[absent] is _ABSENT)
            )
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
    guess = closest_match(name, declared.params)
    # The task's own come first; those of the engine take no positional arguments.
    known = sorted(declared.params, key=lambda param: param not in declared.positional)
    hint = f" Did you mean '{guess}'?" if guess else f" It has: {', '.join(known)}."
    return f"{declared.family} has no parameter '{name}'.{hint}"
