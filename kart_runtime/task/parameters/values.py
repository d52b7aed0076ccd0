"""Values that a parameter takes: its text, which is what the unique id holds, must stand for one value only.

luigi takes any value, and writes it as text for the id; two values of one text would share a result. Here a value that
the text does not give back is refused with what to write instead. numpy's scalars become Python's, a time or date of a
library's own class that of the standard library, where the text is the same. Parameters outside the unique id take
what luigi takes.
"""

from __future__ import annotations

import ast
import datetime
import enum
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any, cast

import luigi
from luigi.date_interval import DateInterval
from luigi.freezing import FrozenOrderedDict
from luigi.parameter import OptionalParameterMixin, ParameterVisibility, _DateParameterBase, _DatetimeParameterBase
from luigi.task_register import Register, TaskClassAmbigiousException, TaskClassNotFoundException

from kart_runtime.task.parameters.kinds import (
    PLAIN,
    ListTaskInstanceParameter,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
    frozen,
)
from kart_runtime.task.parameters.refusals import (
    Unfit,
    example_for,
    instead_of,
    named,
    parameter_for,
    refused,
    shown,
    type_of,
    written_in_json,
)

Param = luigi.Parameter[Any]
Check = Callable[[Any, Any], Any]
"""Function of a parameter and a given value that returns the value as the task holds it."""

_ABSENT: Any = luigi.parameter._no_value
ONE_TEXT = frozenset({*PLAIN, datetime.date, datetime.timedelta, type(PurePath())}) - {float}
"""Types whose equal values have one text."""


def kinds_of(value: Any, param: Param | None = None) -> Any:
    """Return what tells equal values with different texts apart: types, keys in order, the sign of 0.0, time zones."""
    kind = type(value)
    if kind in ONE_TEXT:
        return kind
    if kind is float:
        return kind if value else str(value)
    if kind is tuple:
        return tuple(map(kinds_of, value))
    if kind is FrozenOrderedDict:
        return tuple(value), tuple(map(kinds_of, value.values()))
    if hasattr(value, "to_str_params") or isinstance(value, enum.Enum):  # tasks: equal by their texts
        return kind
    return kind, repr(value) if param is None else param.serialize(value)


def exact_types(param: Param) -> frozenset[type]:
    """Return the types whose values a parameter takes as they are: nothing to normalize and nothing to check."""
    library, own = _library_class(type(param))
    if own - {"__init__"}:
        return frozenset()
    if library in {luigi.Parameter, luigi.StrParameter} and not isinstance(param, OptionalParameterMixin):
        return frozenset({str}) if _is_text_default(param) or not _in_unique_id(param) else frozenset()
    if library is luigi.NumericalParameter:
        kind = cast("Any", param)._var_type
        return frozenset({kind, type(None)}) if kind in (int, float) else frozenset()
    if library is luigi.DateParameter:
        return frozenset({datetime.date, type(None)}) if cast("Any", param).interval == 1 else frozenset()
    return _EXACT.get(library, frozenset())


def check_for(param: Param) -> Check:
    """Return the function that checks the values of a parameter."""
    library, own = _library_class(type(param))
    if not _in_unique_id(param) and not issubclass(library, (luigi.BoolParameter, *_TASKS)):
        return _normalized
    if own & {"serialize", "parse", "date_format"} and not issubclass(library, SerializableParameter):
        check: Check = _own
    else:
        check = next(check for kind, check in _CHECKS if issubclass(library, kind))
    return _optional(check) if isinstance(param, OptionalParameterMixin) else check


def _in_unique_id(param: Param) -> bool:
    return param.significant and param.visibility != ParameterVisibility.PRIVATE


def _library_class(cls: type) -> tuple[type, set[str]]:
    """Return the class of luigi or kart that a parameter's class is or extends, and the names that it adds."""
    own: set[str] = set()
    for base in cls.__mro__:
        if base is OptionalParameterMixin:
            continue
        if base.__module__.partition(".")[0] in {"luigi", "kart_runtime"}:
            return base, own
        own.update(vars(base).keys() - {"__module__", "__doc__", "__parameters__", "__orig_bases__", "__qualname__"})
    raise TypeError(f"{cls!r} is no parameter class of luigi")


def _normalized(param: Any, given: Any) -> Any:
    try:
        value = param.normalize(given)
    except (TypeError, ValueError, AttributeError) as error:
        raise Unfit(
            f"{named(param)} does not take {type_of(given)} ({error})", f"Write {example_for(param)}"
        ) from error
    return value if type(value) in PLAIN else frozen(value)


def _optional(check: Check) -> Check:
    """Return a check that takes None, and refuses what has the empty text of None."""

    def checked(param: Any, given: Any) -> Any:
        if given is None:
            return None
        value = check(param, given)
        if value is not None and not param.serialize(value):
            raise Unfit(f"its text is empty, which is the text of None in {named(param)}", "Write None")
        return value

    return checked


def scalar(value: Any) -> Any:
    """Return a scalar of numpy as Python's, if nothing changes by that: not a float32; other values as they are."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    item = value.item()
    return item if type(item) in {bool, int, str} or isinstance(value, float) else value


def _exactly(param: Any, value: Any, *kinds: type) -> Any:
    """Return a value of exactly these types, or None, which no value of these types has the text of."""
    value = scalar(value)
    if type(value) in kinds or value is None:
        return value
    if type(value).__name__ in {"float16", "float32"}:
        raise Unfit(
            f"{named(param)} does not take {type_of(value)}, whose text is that of a float64", "Write float(value)"
        )
    raise refused(param, value, f"Write {example_for(param)}")


def _bool(param: Any, given: Any) -> Any:
    value = scalar(_normalized(param, given))
    if type(value) is not bool and given is not None:
        raise refused(param, given, "Write True or False")
    return value


def _int(param: Any, given: Any) -> Any:
    return _exactly(param, _normalized(param, given), int)


def _float(param: Any, given: Any) -> Any:
    return _exactly(param, _normalized(param, given), float, int)


def _number(param: Any, given: Any) -> Any:
    return (_int if param._var_type is int else _float)(param, given)


def _choice(param: Any, given: Any) -> Any:
    value = scalar(_normalized(param, given))
    if type(value) is not param._var_type:
        raise Unfit(f"{type_of(value)} is not the type of the choices", f"Write {_one_of(param, value)!r}")
    if sum(param.serialize(choice) == param.serialize(value) for choice in param._choices) > 1:
        raise Unfit("another choice has the same text", "Use an EnumParameter")
    return value


def _one_of(param: Any, value: Any) -> Any:
    return next((choice for choice in param._choices if choice == value), None)


def _choices(param: Any, given: Any) -> Any:
    if isinstance(given, str):
        raise Unfit(f"{named(param)} does not take a text", "Write a list of choices")
    value = tuple(_one_of(param, item) for item in map(scalar, _normalized(param, given)))
    if param.parse(param.serialize(value)) != value:
        raise Unfit("its elements, joined by commas, are those of another list", "Use an EnumListParameter")
    return value


def _enum(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    _check_member(param, value)
    return value


def _enums(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if not isinstance(value, tuple):
        raise refused(param, value, f"Write a list of members of {param._enum.__name__}")
    for member in value:
        _check_member(param, member)
    return value


def _check_member(param: Any, value: Any) -> None:
    kind, expected = type(value), param._enum
    # A class that a notebook or a worker has defined again is the same one to its user.
    same = kind is expected or (kind.__module__, kind.__qualname__) == (expected.__module__, expected.__qualname__)
    if not same or not isinstance(value.name, str):
        raise Unfit(
            f"{type_of(value)} is not {expected.__name__}" if not same else f"it has no name in {expected.__name__}",
            f"Write a member of {expected.__name__}",
        )


def _list(param: Any, given: Any) -> Any:
    standard = param.schema is None and type(param).normalize is luigi.ListParameter.normalize
    if standard and type(given) in _LISTS and all(type(item) in PLAIN for item in given):
        return tuple(given)  # what luigi would make of it, sooner
    value = _normalized(param, given)
    if type(value) is not tuple and value is not None:
        raise refused(param, given, "Write a list, such as list(value)")
    return _json(value)


def _dict(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if not isinstance(value, Mapping) and value is not None:
        raise refused(param, given, "Write a dict")
    return _json(value)


def _json(value: Any) -> Any:
    """Return a nested value whose JSON gives it back."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is tuple:
        return value if all(type(item) in PLAIN for item in value) else tuple(map(_json, value))
    if kind is FrozenOrderedDict:
        return FrozenOrderedDict((_json_key(key), _json(item)) for key, item in value.items())
    plain = scalar(value)
    if type(plain) in PLAIN:
        return plain
    raise Unfit(
        f"it holds {shown(value)}, a {type_of(value)}, which JSON does not give back", f"Write {written_in_json(value)}"
    )


def _json_key(key: Any) -> str:
    if type(key) is not str:
        text = str(key) if isinstance(key, str | int | float) and not isinstance(key, bool) else "text"
        raise Unfit(f"its key {key!r} becomes text", f"Write the key as text, such as {text!r}")
    return key


def _date(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if value is None or type(value) is datetime.date:
        return value
    if not isinstance(value, datetime.date):
        raise refused(param, given, f"Write {example_for(param)}")
    return datetime.date(value.year, value.month, value.day)


def _naive_time(param: Any, given: Any) -> Any:
    if isinstance(given, datetime.datetime) and given.tzinfo is not None:
        raise Unfit(
            f"it has a time zone, which {named(param)} does not write",
            "Write value.replace(tzinfo=None), or use a ZonedDateSecondParameter",
        )
    value = _normalized(param, given)
    if value is None or type(value) is datetime.datetime:
        return value
    return _standard(value)


def _standard(time: datetime.datetime) -> datetime.datetime:
    """Return a time to the second as one of the standard library, without its zone."""
    return datetime.datetime(time.year, time.month, time.day, time.hour, time.minute, time.second)


def _zoned(param: Any, given: Any) -> Any:
    if not isinstance(given, datetime.datetime):
        raise refused(param, given, f"Write {example_for(param)}")
    value = _normalized(param, given)
    offset = value.utcoffset()
    # The text holds the offset, and not the rules of a zone.
    zone = None if offset is None else datetime.timezone(offset)
    return _standard(value).replace(tzinfo=zone)


def _span(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if not isinstance(value, datetime.timedelta):
        raise refused(param, given, f"Write {example_for(param)}")
    if value.microseconds or getattr(value, "nanoseconds", 0):
        raise Unfit(
            f"it has a part of a second, and the text of {named(param)} has whole seconds",
            "Use a FloatParameter of seconds, or an IntParameter of milliseconds",
        )
    return value if type(value) is datetime.timedelta else datetime.timedelta(value.days, value.seconds)


def _interval(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if value is not None and not isinstance(value, DateInterval):
        raise refused(param, given, f"Write {example_for(param)}")
    return value


def _task_class(param: Any, given: Any) -> Any:
    value = _normalized(param, given)
    if not isinstance(value, type) or not issubclass(value, luigi.Task):
        raise refused(param, given, "Write a task class")
    try:
        Register.get_task_cls(value.get_task_family())
    except TaskClassAmbigiousException:
        family = value.get_task_family()
        raise Unfit(f"there are two task classes {family}", "Give one of them a task_namespace") from None
    except TaskClassNotFoundException:
        pass
    return value


def _text(param: Any, given: Any) -> Any:
    value, default = scalar(_normalized(param, given)), param._default
    if type(value) is str:
        if not _is_text_default(param) and (value == param.serialize(default) or _is_literal(param, value)):
            raise Unfit(
                f"the default is {shown(default)}, so the parameter may hold a value of that text which is no text",
                f"Declare the parameter as a {parameter_for(default)}",
            )
        return value
    if not _is_text_default(param) and (_is_default(param, value) or _comes_back(param, value)):
        return value
    raise Unfit(f"{named(param)} takes text, and {type_of(value)} has the text of another value", instead_of(value))


def _is_default(param: Any, value: Any) -> bool:
    default = frozen(param._default)
    if value is default or type(value) is not type(default) or hasattr(value, "__array__"):
        return value is default
    return bool(value == default) and param.serialize(value) == param.serialize(default)


def _comes_back(param: Any, value: Any) -> bool:
    """Return whether a value that is no text may be held where the default is none: None, or a literal of Python."""
    if value is None or param._default is None:
        return value is param._default
    try:
        text = param.serialize(value)
        return type(ast.literal_eval(text)) is type(value) and text == repr(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _is_literal(param: Any, text: str) -> bool:
    """Return whether a text is that of a literal, where a literal may be held."""
    if param._default is None:
        return False
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return not isinstance(value, str) and str(value) == text


def _is_text_default(param: Any) -> bool:
    default = param._default
    if type(default) is str or default is _ABSENT:
        return True
    return default is None and isinstance(param, OptionalParameterMixin)


def _own(param: Any, given: Any) -> Any:
    """Check a parameter with methods of the user's own: values of Python's own types must come back from their text."""
    value = _normalized(param, given)
    wrote = "serialize" in _library_class(type(param))[1]
    reads = type(param).parse is not luigi.Parameter.parse
    if value is None or (wrote and (not reads or type(value) not in _COME_BACK)):
        return value
    text = param.serialize(value)
    try:
        back = _normalized(param, param.parse(text))
    except NotImplementedError:
        return value
    except Exception as error:
        raise Unfit(f"{named(param)} cannot read its text {shown(text)}: {error}", "Change parse()") from error
    if not _same(param, value, back, text):
        raise Unfit(
            f"its text is {shown(text)}, which {named(param)} reads as {shown(back)}",
            "Write that, or change serialize() so that different values have different texts",
        )
    return value


def _same(param: Any, value: Any, back: Any, text: str) -> bool:
    if type(back) is not type(value):
        return False
    if type(value) not in _COME_BACK and all(
        "__eq__" not in vars(base) for base in type(value).__mro__[:-1]
    ):  # told apart by its text only
        return bool(param.serialize(back) == text)
    try:
        return bool(value == back and kinds_of(value) == kinds_of(back)) or repr(value) == repr(back)
    except (ValueError, TypeError):  # an array does not say whether it equals another one
        return False


_LISTS = frozenset({list, tuple})
_COME_BACK = frozenset(
    {*PLAIN, tuple, FrozenOrderedDict, Decimal, datetime.date, datetime.datetime, datetime.timedelta, type(PurePath())}
)
_EXACT: dict[type, frozenset[type]] = {
    luigi.IntParameter: frozenset({int, type(None)}),
    luigi.FloatParameter: frozenset({float, int, type(None)}),
    luigi.BoolParameter: frozenset({bool}),
    luigi.OptionalIntParameter: frozenset({int, type(None)}),
    luigi.OptionalFloatParameter: frozenset({float, type(None)}),
    luigi.OptionalBoolParameter: frozenset({bool, type(None)}),
    luigi.OptionalParameter: frozenset({type(None)}),
    luigi.OptionalStrParameter: frozenset({type(None)}),
}
_TASKS = (TaskInstanceParameter, ListTaskInstanceParameter)
# The first matching kind counts, so subclasses come first.
_CHECKS: tuple[tuple[Any, Check], ...] = (
    ((*_TASKS, SerializableParameter), _normalized),
    (ZonedDateSecondParameter, _zoned),
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
    (_DatetimeParameterBase, _naive_time),
    (_DateParameterBase, _date),
    (luigi.TimeDeltaParameter, _span),
    (luigi.DateIntervalParameter, _interval),
    (luigi.PathParameter, _normalized),
    (luigi.TaskParameter, _task_class),
    (luigi.Parameter, _text),
)
