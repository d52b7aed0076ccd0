"""Strict check of a configured value against its parameter.

YAML has types of its own, so a value of another type than the parameter is an error instead of being converted to text
and parsed: ``1`` for a float is 1.0 (one unique id for both), ``"4"`` for an int is an error. Types that YAML does not
have (dates, enums, paths, intervals) are written as text, which the parameter parses.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import luigi

from kart_runtime.errors import closest_match
from kart_runtime.task.parameters import dates
from kart_runtime.task.parameters.kinds import ListTaskInstanceParameter, TaskInstanceParameter
from kart_runtime.task.parameters.values import check_for

_TASK_KINDS = (TaskInstanceParameter, ListTaskInstanceParameter, luigi.TaskParameter)
_JSON_NAMES = {dict: "a map", list: "a list", tuple: "a list", type(None): "null"}


def coerce(param: luigi.Parameter[Any], value: object, *, text: str | None = None) -> object:
    """Return a configured value as the task would hold it; raises ValueError if its type does not fit."""
    if isinstance(param, _TASK_KINDS):
        raise ValueError("its value is a task, and configuration cannot wire tasks: pipeline logic stays in Python")
    if value is None:
        if is_optional(param):
            return None
        raise ValueError(_mismatch(_expected(param), value))
    for kinds, check in _CHECKS:
        if isinstance(param, kinds):
            checked = check(param, value, text)
            break
    else:
        checked = _parsed(param, value, text)
    return _normalized(param, checked)


_NOT_TEXT = (
    luigi.BoolParameter,
    luigi.NumericalParameter,
    luigi.IntParameter,
    luigi.FloatParameter,
    luigi.ListParameter,
    luigi.DictParameter,
    luigi.ChoiceListParameter,
    luigi.EnumListParameter,
    *_TASK_KINDS,
)


def takes_text(param: luigi.Parameter[Any]) -> bool:
    """Return whether the values of a parameter are written as text, which no quotes need to tell from other types."""
    return not isinstance(param, _NOT_TEXT) and not (
        isinstance(param, luigi.ChoiceParameter) and param._var_type is not str
    )


def keeps_blanks(param: luigi.Parameter[Any]) -> bool:
    """Return whether blanks around a text are a part of it."""
    return isinstance(param, luigi.StrParameter | luigi.PathParameter | luigi.ChoiceParameter) or _is_plain_text(param)


def is_optional(param: luigi.Parameter[Any]) -> bool:
    """Return whether None is a value of a parameter."""
    return isinstance(param, luigi.parameter.OptionalParameterMixin)


def _normalized(param: luigi.Parameter[Any], value: Any) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # luigi only warns of a value of the wrong type
        try:
            value = check_for(param)(param, value)
            param._warn_on_wrong_param_type("value", value)
        except (Warning, TypeError, ValueError, AttributeError) as error:
            raise ValueError(str(error)) from error
    return value


def _int(param: Any, value: Any, text: str | None) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(_mismatch("int", value))


def _float(param: Any, value: Any, text: str | None) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(_mismatch("float", value))


def _bool(param: Any, value: Any, text: str | None) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(_mismatch("bool (true or false)", value))


def _number(param: Any, value: Any, text: str | None) -> Any:
    # luigi checks the range in parse() only.
    number = (_int if param._var_type is int else _float)(param, value, text)
    return param.parse(number)


def _choice(param: Any, value: Any, text: str | None) -> Any:
    of_text = param._var_type is str and text is not None
    choice = text if of_text else value
    if param._var_type is float and type(choice) is int:
        choice = float(choice)
    if type(choice) is param._var_type and choice in param._choices:
        return choice
    listed = sorted(map(str, param._choices))
    guess = closest_match(str(choice), listed)
    hint = f"; did you mean '{guess}'?" if guess else ""
    raise ValueError(f"expected one of {', '.join(listed)}, got {as_found(choice)}{hint}")


def _choices(param: Any, value: Any, text: str | None) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(_mismatch("a list", value))
    return tuple(_choice(param, item, None) for item in value)


def _list(param: Any, value: Any, text: str | None) -> Any:
    if isinstance(value, list | tuple):
        return value
    raise ValueError(_mismatch("a list", value))


def _dict(param: Any, value: Any, text: str | None) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError(_mismatch("a map", value))


def _enum(param: Any, value: Any, text: str | None) -> Any:
    names = [member.name for member in param._enum]
    name = str(value) if isinstance(value, str) else text
    if isinstance(value, param._enum):
        return value
    if name not in names:
        guess = closest_match(str(value), names)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise ValueError(f"expected one of {', '.join(names)}, got {as_found(value)}{hint}")
    return param._enum[name]


def _enums(param: Any, value: Any, text: str | None) -> tuple[enum.Enum, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(_mismatch("a list", value))
    return tuple(_enum(param, item, None) for item in value)


def _text(param: Any, value: Any, text: str | None) -> str:
    if text is not None:
        return text
    if isinstance(value, str):
        return value
    raise ValueError(_mismatch("text (put it into quotes)", value))


def _parsed(param: Any, value: Any, text: str | None) -> Any:
    """Parse a text, for types that YAML does not have."""
    written = text if text is not None else value
    if not isinstance(written, str):
        raise ValueError(_mismatch(_expected(param), value))
    try:
        return param.parse(written)
    except (ValueError, KeyError, TypeError, AttributeError, luigi.parameter.ParameterException) as error:
        if dates.takes_words(param) and dates.is_word(written):  # after a parse() of the user's own, which may know it
            return dates.date_of(param, written)
        guess = closest_match(written, dates.WORDS) if dates.takes_words(param) else None
        hint = f"; did you mean '{guess}'?" if guess else f": {error}"
        raise ValueError(f"expected {_expected(param)}, got {as_found(written)}{hint}") from error


# The first matching kind counts, so subclasses come first.
_CHECKS: list[tuple[Any, Callable[[Any, Any, str | None], Any]]] = [
    (luigi.BoolParameter, _bool),
    (luigi.IntParameter, _int),
    (luigi.FloatParameter, _float),
    (luigi.NumericalParameter, _number),
    (luigi.ChoiceListParameter, _choices),
    (luigi.ChoiceParameter, _choice),
    (luigi.EnumListParameter, _enums),
    (luigi.EnumParameter, _enum),
    (luigi.ListParameter, _list),
    (luigi.DictParameter, _dict),
    (luigi.StrParameter, _text),
]


def _is_plain_text(param: luigi.Parameter[Any]) -> bool:
    return type(param) in {luigi.Parameter, luigi.OptionalParameter, luigi.OptionalStrParameter}


def _plain_or_parsed(param: Any, value: Any, text: str | None) -> Any:
    return _text(param, value, text) if _is_plain_text(param) else _parsed(param, value, text)


_CHECKS.append((luigi.Parameter, _plain_or_parsed))


_WORDS = f"or {', '.join(dates.WORDS)}"
_EXPECTED = (
    (luigi.IntParameter, "int"),
    (luigi.BoolParameter, "bool (true or false)"),
    (luigi.FloatParameter, "float"),
    (luigi.MonthParameter, f"a month such as 2026-01 ({_WORDS})"),
    (luigi.YearParameter, f"a year such as 2026 ({_WORDS})"),
    (luigi.DateParameter, f"a date such as 2026-01-31 ({_WORDS})"),
    (luigi.DateHourParameter, f"an hour such as 2026-01-31T09 ({_WORDS})"),
    (luigi.DateMinuteParameter, f"a minute such as 2026-01-31T0930 ({_WORDS})"),
    (luigi.DateSecondParameter, f"a second such as 2026-01-31T093059 ({_WORDS})"),
    (luigi.ListParameter, "a list"),
    (luigi.DictParameter, "a map"),
    (luigi.PathParameter, "a path"),
    (luigi.TimeDeltaParameter, "a time such as '2 hours' or an ISO 8601 duration"),
)


def _expected(param: luigi.Parameter[Any]) -> str:
    for kind, words in _EXPECTED:
        if isinstance(param, kind):
            return words
    return "text" if _is_plain_text(param) else type(param).__name__.removesuffix("Parameter").lower()


def _mismatch(expected: str, value: object) -> str:
    return f"expected {expected}, got {as_found(value)}"


def as_found(value: object) -> str:
    """Return the text of an invalid value for messages: its YAML type and the value."""
    kind = _JSON_NAMES.get(type(value), type(value).__name__)
    return kind if value is None else f"{kind} {value!r}"
