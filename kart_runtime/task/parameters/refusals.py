"""Refusals of parameter values: why a value is refused, and what to write instead."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import luigi
from luigi.parameter import _DateParameterBase, _DatetimeParameterBase

from kart_runtime.errors import ParameterValueError
from kart_runtime.task.parameters.kinds import ZonedDateSecondParameter

_EXAMPLES: tuple[tuple[Any, str], ...] = (
    (luigi.IntParameter, "an int"),
    (luigi.FloatParameter, "a float"),
    (luigi.NumericalParameter, "a number of the parameter's type"),
    (ZonedDateSecondParameter, "a datetime.datetime with a time zone"),
    (_DatetimeParameterBase, "a datetime.datetime without a time zone"),
    (_DateParameterBase, "a datetime.date"),
    (luigi.TimeDeltaParameter, "a datetime.timedelta"),
    (luigi.DateIntervalParameter, "an interval of luigi.date_interval"),
    (luigi.PathParameter, "a path"),
    (luigi.ChoiceParameter, "one of its choices"),
)


class Unfit(ValueError):
    """A value is refused: why, and what to write."""

    def __init__(self, why: str, write: str) -> None:
        self.why, self.write = why, write
        super().__init__(f"{why}. {write}")

    def refusal(self, family: str, name: str, value: Any) -> ParameterValueError:
        """Return the error that names task, parameter and value."""
        return ParameterValueError(family, name, shown(value), self.why, self.write)


def refused(param: Any, value: Any, write: str) -> Unfit:
    """Return the refusal of a value of this type."""
    return Unfit(f"{named(param)} does not take {type_of(value)}", write)


def written_in_json(value: Any) -> str:
    """Return what to write in place of a value that JSON does not give back."""
    if isinstance(value, enum.Enum):
        return "the member's value or name"
    if isinstance(value, set | frozenset):
        return "sorted(value)"
    return "value.tolist()" if hasattr(value, "tolist") else "text, numbers, lists and dicts"


def parameter_for(value: Any) -> str:
    """Return the parameter class for a value."""
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "BoolParameter"),
        (enum.Enum, "EnumParameter"),
        (int, "IntParameter"),
        (float, "FloatParameter"),
        (type(None), "OptionalParameter"),
        ((list, tuple), "ListParameter"),
        (Mapping, "DictParameter"),
        (PurePath, "PathParameter"),
        (datetime.datetime, "DateSecondParameter"),
        (datetime.date, "DateParameter"),
        (datetime.timedelta, "TimeDeltaParameter"),
    )
    return next((f"luigi.{name}" for kind, name in kinds if isinstance(value, kind)), "SerializableParameter")


def instead_of(value: Any) -> str:
    """Return what to write in place of a value that is no text."""
    if hasattr(value, "__array__") or hasattr(value, "__dataframe__"):
        return "Hold a task that makes it (TaskInstanceParameter), or a SerializableParameter"
    if isinstance(value, str):
        return "Write str(value), or declare the parameter as a luigi.EnumParameter"
    if type(value) in {int, float, bool, Decimal}:
        return f"Write {str(value)!r}, or declare the parameter as a {parameter_for(value)}"
    return f"Write text, or declare the parameter as a {parameter_for(value)}"


def shown(value: Any) -> str:
    """Return a value as text, on one line and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}..."


def named(param: Any) -> str:
    """Return the name of a parameter's class."""
    return type(param).__name__


def type_of(value: Any) -> str:
    """Return the name of a value's type."""
    kind = type(value)
    if value is None or kind.__module__ == "builtins":
        return kind.__name__.removesuffix("Type")
    return f"{kind.__module__}.{kind.__name__}"


def example_for(param: Any) -> str:
    """Return what to write for a parameter."""
    for kind, words in _EXAMPLES:
        if isinstance(param, kind):
            return words
    return "a value of the parameter's type"
