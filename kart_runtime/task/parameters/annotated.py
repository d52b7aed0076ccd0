"""Parameters whose kind follows from their annotation: ``max_depth: int = parameter(default=3)``.

`parameter` leaves a note in the class; when the class is created, `make_parameters` puts luigi's parameter in its
place. So everything else knows luigi's parameters only, and the unique id is the same as with ``luigi.IntParameter``.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, overload

import luigi

from kart_runtime.errors import TaskError
from kart_runtime.task.parameters.kinds import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    TaskInstanceParameter,
)

T = TypeVar("T")
_NONE: Any = luigi.parameter._no_value  # luigi's own mark for "no default"


class InvalidParameter(TaskError, TypeError):
    """A parameter is declared by `parameter()`, and its annotation or its options fit no kind of parameter.

    Parameters
    ----------
    task
        The class.
    name
        The parameter.
    why
        What is wrong, and what to write instead.
    """

    def __init__(self, task: str, name: str, why: str) -> None:
        self.task, self.name, self.why = task, name, why
        super().__init__(f"{task}.{name}: {why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task, self.name, self.why)


class _Declared:
    """What `parameter` was given, until the class is created."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.place = luigi.Parameter._counter  # the order of declaration, also among parameters of luigi's own
        luigi.Parameter._counter += 1


@overload
def parameter(
    *, default: type[T] | Callable[[], T], description: str = "", significant: bool = True, **options: Any
) -> T: ...


@overload
def parameter(*, default: T, description: str = "", significant: bool = True, **options: Any) -> T: ...


@overload
def parameter(*, description: str = "", significant: bool = True, **options: Any) -> Any: ...


def parameter(*, default: Any = _NONE, description: str = "", significant: bool = True, **options: Any) -> Any:
    """Declare a parameter of a task by an annotation, which says its type once.

    Parameters
    ----------
    default
        Value of a task that is given none. Without it, the value is required. For a task, also what returns one when it
        is called without arguments, such as its class.
    description
        What the parameter means.
    significant
        Whether the value takes part in the unique id.
    **options
        Further options of luigi's parameter class, such as ``visibility`` or ``positional``.

    Returns
    -------
    Any
        For type checkers, the value. The class gets the parameter of luigi's that suits the annotation: ``int``,
        ``float``, ``bool``, ``str``, ``pathlib.Path``, dates, times and intervals of `datetime`, an enum, ``Literal``
        of texts or numbers, ``Sequence[...]`` and ``tuple[...]``, ``Mapping[...]``, a task class, a ``Sequence`` of
        one, and each of the plain ones with ``| None``.

    Raises
    ------
    InvalidParameter
        When the class is created, if no parameter suits the annotation.

    Examples
    --------
    >>> class Train(TaskOnKart[float]):
    ...     max_depth: int = parameter(default=3)
    ...     columns: Sequence[str] = parameter(default=["age", "height"])
    ...     data: Load = parameter(default=Load)
    """
    texts = {"description": description} if description else {}
    return _Declared({"default": default, "significant": significant, **texts, **options})


def make_parameters(cls: type, members: Mapping[str, Any]) -> None:
    """Put luigi's parameters in the place of what `parameter` has left in a new class."""
    declared = {name: value for name, value in members.items() if isinstance(value, _Declared)}
    if not declared:
        return
    local = sys._getframe(2).f_locals  # of the class statement, which may be inside of a function
    for name, value in declared.items():
        param = _made(cls, name, _annotation(cls, name, local), value.options)
        param._counter = value.place
        param._default = value.options["default"]  # some of luigi's kinds have one of their own
        param.__set_name__(cls, name)
        type.__setattr__(cls, name, param)


def _annotation(cls: type, name: str, local: Mapping[str, Any]) -> Any:
    """Return the annotation of a member as an object; raise `InvalidParameter` if there is none, or none can be had."""
    try:
        found = inspect.get_annotations(cls).get(name, _NONE)
        if isinstance(found, str):
            names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
            found = eval(found, dict(names), {**local, **vars(cls)})  # noqa: S307 - the program's own annotation
    except Exception as error:
        raise InvalidParameter(
            cls.__name__,
            name,
            f"its annotation cannot be evaluated ({error}). What it names has to be imported where the class is "
            "created, and not only for type checkers; or declare one of luigi's parameters.",
        ) from error
    if found is _NONE:
        raise InvalidParameter(
            cls.__name__, name, f"it has no annotation. Write its type: '{name}: int = parameter(...)'."
        )
    return found


def _made(cls: type, name: str, annotation: Any, options: dict[str, Any]) -> luigi.Parameter[Any]:
    kind, more = _kind(cls, name, annotation)
    try:
        param = kind(**{**more, **options})
    except TypeError as error:
        raise InvalidParameter(
            cls.__name__, name, f"{kind.__name__} does not take these options ({error}). Correct them."
        ) from error
    return cast("luigi.Parameter[Any]", param)


_Optional: Any = luigi.parameter.OptionalParameterMixin  # whose types contradict those of the classes it is mixed with


class _OptionalDate(_Optional, luigi.DateParameter):  # type: ignore[misc]
    """Date, or none."""

    expected_type = datetime.date


class _OptionalDateSecond(_Optional, luigi.DateSecondParameter):  # type: ignore[misc]
    """Date and time, or none."""

    expected_type = datetime.datetime


class _OptionalTimeDelta(_Optional, luigi.TimeDeltaParameter):  # type: ignore[misc]
    """Interval, or none."""

    expected_type = datetime.timedelta


_PLAIN: dict[Any, tuple[Any, Any]] = {
    str: (luigi.Parameter, luigi.OptionalParameter),
    int: (luigi.IntParameter, luigi.OptionalIntParameter),
    float: (luigi.FloatParameter, luigi.OptionalFloatParameter),
    bool: (ExplicitBoolParameter, luigi.OptionalBoolParameter),
    Path: (luigi.PathParameter, luigi.OptionalPathParameter),
    datetime.date: (luigi.DateParameter, _OptionalDate),
    datetime.datetime: (luigi.DateSecondParameter, _OptionalDateSecond),
    datetime.timedelta: (luigi.TimeDeltaParameter, _OptionalTimeDelta),
}
"""Type to the parameter, and the one that takes None as well."""

_HELD_AS: dict[Any, str] = {
    list: "Sequence[...] or tuple[...], since a task holds a list as a tuple",
    set: "Sequence[...] or tuple[...], since a task holds a set as a tuple",
    dict: "Mapping[...], since a task holds a dict as a mapping that cannot change",
}


def _kind(cls: type, name: str, annotation: Any) -> tuple[Any, dict[str, Any]]:
    """Return luigi's parameter class for an annotation, and the options that follow from it."""
    annotation, is_optional = _without_none(annotation)
    origin = get_origin(annotation) or annotation
    if origin in _PLAIN:
        return _PLAIN[origin][is_optional], {}
    if origin is Literal:
        return _choice(cls, name, get_args(annotation), is_optional)
    if origin in (Sequence, tuple):
        return _sequence(get_args(annotation), is_optional)
    if origin is Mapping:
        return (luigi.OptionalDictParameter if is_optional else luigi.DictParameter), {}
    if isinstance(origin, type) and not is_optional:
        if issubclass(origin, luigi.Task):
            return TaskInstanceParameter, {"expected_type": origin}
        if issubclass(origin, enum.Enum):
            return luigi.EnumParameter, {"enum": origin}
    text = inspect.formatannotation(annotation) + (" | None" if is_optional else "")
    instead = _HELD_AS.get(origin)
    hint = f"Write {instead}." if instead else "Declare one of luigi's parameters, or a class of your own that is one."
    raise InvalidParameter(cls.__name__, name, f"no parameter takes its annotation, {text}. {hint}")


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without ``Annotated`` and ``| None``, and whether it has the latter."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not type(None)]
    is_one = len(parts) == 1 and len(parts) < len(get_args(annotation))
    return (_without_none(parts[0])[0], True) if is_one else (annotation, False)


def _choice(cls: type, name: str, choices: tuple[Any, ...], is_optional: bool) -> tuple[Any, dict[str, Any]]:
    kinds = set(map(type, choices))
    if len(kinds) != 1 or not kinds <= {str, int}:
        raise InvalidParameter(cls.__name__, name, "the values of its Literal have to be all texts, or all integers.")
    kind = luigi.OptionalChoiceParameter if is_optional else luigi.ChoiceParameter
    return kind, {"choices": choices, "var_type": kinds.pop()}


def _sequence(items: tuple[Any, ...], is_optional: bool) -> tuple[Any, dict[str, Any]]:
    item = get_origin(items[0]) or items[0] if items else None
    if isinstance(item, type) and issubclass(item, luigi.Task) and not is_optional:
        return ListTaskInstanceParameter, {"expected_elements_type": item}
    return (luigi.OptionalListParameter if is_optional else luigi.ListParameter), {}
