"""Parameters whose value is a task, and gokart's three small ones.

A task-valued parameter is serialized as in gokart 1.12, because that text is part of the unique id: the task's family
and its significant parameters as compressed JSON, nested. The nesting makes the text of a long chain grow
exponentially, so from `NESTING_LIMIT` characters on the unique id replaces the parameters; gokart itself takes minutes
and reaches its recursion limit before that.
"""

from __future__ import annotations

import bz2
import datetime
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

import luigi
from luigi import task_register

NESTING_LIMIT = 1 << 17
"""Characters of a serialized task from which on the nested parameters are written as the unique id."""

TaskT = TypeVar("TaskT", bound=luigi.Task)
PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types whose values are what they are: nothing to freeze, to look into or to take apart."""

_MISSING: Any = luigi.parameter._no_value  # luigi's own mark for "no default"


class TaskInstanceParameter(luigi.Parameter[TaskT], Generic[TaskT]):
    """A parameter whose value is a task; by default such tasks are also what the owner requires.

    Parameters
    ----------
    expected_type
        The class that the value must be an instance of. None: any task.
    default
        A task, or what returns one when it is called without arguments, such as its class. It is called when the owner
        is made, so that the configuration counts.
    **kwargs
        As for `luigi.Parameter`.

    Raises
    ------
    TypeError
        When `expected_type` is not a class, and when a task is given another value.
    """

    def __init__(
        self,
        expected_type: type[TaskT] | None = None,
        default: TaskT | Callable[[], TaskT] | Any = _MISSING,
        **kwargs: Any,
    ) -> None:
        self.expected_type = _checked_type(expected_type, "expected_type")
        super().__init__(default=cast("Any", default), **kwargs)

    def parse(self, x: Any) -> TaskT:
        """Return the task that `serialize` wrote as text."""
        return cast("TaskT", parse_task(x))

    def serialize(self, x: TaskT) -> str:
        """Return the text that stands for the task in ids and log files."""
        return serialize_task(x)

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        if not isinstance(param_value, self.expected_type):
            raise TypeError(f"{param_name} must be a {self.expected_type.__name__}, not {param_value!r}")


class ListTaskInstanceParameter(luigi.Parameter[Any], Generic[TaskT]):
    """A parameter whose value is a list of tasks (the task holds it as a tuple).

    Parameters
    ----------
    expected_elements_type
        The class that each element must be an instance of. None: any task.
    default
        A list of tasks and classes of tasks, or a function without arguments that returns a list of tasks, such as one
        for each fold of a cross-validation. It is called when the owner is made, so that the configuration counts.
    **kwargs
        As for `luigi.Parameter`.

    Raises
    ------
    TypeError
        When `expected_elements_type` is not a class, and when a task is given another value.
    """

    def __init__(
        self,
        expected_elements_type: type[TaskT] | None = None,
        default: list[TaskT] | Callable[[], Sequence[TaskT]] | Any = _MISSING,
        **kwargs: Any,
    ) -> None:
        self.expected_elements_type = _checked_type(expected_elements_type, "expected_elements_type")
        super().__init__(default=default, **kwargs)

    def parse(self, x: str) -> list[TaskT]:
        """Return the tasks that `serialize` wrote as text."""
        return [cast("TaskT", parse_task(item)) for item in json.loads(x)]

    def serialize(self, x: Any) -> str:
        """Return the text that stands for the tasks in ids and log files."""
        return json.dumps([serialize_task(task) for task in x])

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        for value in param_value:
            if not isinstance(value, self.expected_elements_type):
                raise TypeError(f"{param_name} must hold {self.expected_elements_type.__name__} only, not {value!r}")


def made_default(param: luigi.Parameter[Any], default: Any) -> Any:
    """Return the default of a parameter; a class or function in place of tasks is called now, when they are needed.

    Parameters
    ----------
    param
        The parameter.
    default
        Its default, or the value that luigi's configuration has for it.
    """
    if isinstance(param, TaskInstanceParameter):
        return _made(default)
    if isinstance(param, ListTaskInstanceParameter):
        tasks = _made(default)
        return tuple(map(_made, tasks)) if isinstance(tasks, list | tuple) else tasks
    return default


def _made(default: Any) -> Any:
    return default() if callable(default) and not isinstance(default, luigi.Task) else default


def _checked_type(expected: Any, name: str) -> type:
    if expected is None:
        return luigi.Task
    if not isinstance(expected, type):
        raise TypeError(f"{name} must be a class, not {expected!r}")
    return expected


def serialize_task(task: luigi.Task) -> str:
    """Return a task as gokart's text: JSON with its family and its significant parameters, compressed.

    Parameters
    ----------
    task
        The task.
    """
    state = getattr(task, "_kart", None)
    if state is not None and state.serialized is not None:
        return cast("str", state.serialized)
    family = task.get_task_family()
    params = json.dumps(task.to_str_params(only_significant=True))
    # Sticky: what holds an abbreviated task is abbreviated too, else the text would grow up to the limit again.
    abbreviated = state is not None and (len(params) > NESTING_LIMIT or any(map(_is_abbreviated, _held_tasks(task))))
    if abbreviated:
        text = json.dumps({"type": family, "unique_id": cast("Any", task).make_unique_id()})
    else:
        text = json.dumps({"type": family, "params": bz2.compress(params.encode()).hex()})
    if state is not None:
        state.serialized, state.abbreviated = text, abbreviated
    return text


def _is_abbreviated(task: luigi.Task) -> bool:
    state = getattr(task, "_kart", None)
    return state is not None and bool(state.abbreviated)


def _held_tasks(task: luigi.Task) -> Iterator[luigi.Task]:
    for value in task.param_kwargs.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, luigi.Task):
                yield item


def parse_task(text: str | dict[str, Any]) -> luigi.Task:
    """Return the task that `serialize_task` wrote.

    Parameters
    ----------
    text
        The text, or its JSON already decoded.

    Raises
    ------
    ValueError
        When the text holds a unique id instead of parameters: such a task is found in the workspace by `restore`.
    """
    spec = json.loads(text) if isinstance(text, str) else dict(text)
    cls = task_register.Register.get_task_cls(spec["type"])
    if "unique_id" in spec:
        return cast("luigi.Task", cast("Any", cls).restore(spec["unique_id"]))
    params = spec["params"]
    if isinstance(params, str):
        params = json.loads(bz2.decompress(bytes.fromhex(params)))
    return cast("luigi.Task", cls.from_str_params(params))


class ExplicitBoolParameter(luigi.BoolParameter):
    """A boolean that takes its value explicitly on luigi's command line: ``--flag true``."""

    parsing = luigi.BoolParameter.EXPLICIT_PARSING

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # luigi's own constructor would put False where no default is given; an explicit flag may be required.
        super(luigi.BoolParameter, self).__init__(*args, **kwargs)

    def _parser_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        # luigi's own would take a bare ``--flag`` for true.
        return cast("dict[str, Any]", super(luigi.BoolParameter, self)._parser_kwargs(*args, **kwargs))


class Serializable(Protocol):
    """What a value must offer to be held by a `SerializableParameter`."""

    def gokart_serialize(self) -> str:
        """Return the value as text; leave out what should not change the unique id."""
        ...

    @classmethod
    def gokart_deserialize(cls, s: str) -> Any:
        """Return the value that `gokart_serialize` wrote."""
        ...


S = TypeVar("S", bound=Serializable)


class SerializableParameter(luigi.Parameter[S], Generic[S]):
    """A parameter whose value writes and reads itself.

    Parameters
    ----------
    object_type
        The class of the value.
    *args, **kwargs
        As for `luigi.Parameter`.
    """

    def __init__(self, object_type: type[S], *args: Any, **kwargs: Any) -> None:
        self.object_type = object_type
        super().__init__(*args, **kwargs)

    def parse(self, x: str) -> S:
        """Return the value of a text."""
        return cast("S", self.object_type.gokart_deserialize(x))

    def serialize(self, x: S) -> str:
        """Return the text of a value."""
        return x.gokart_serialize()


class ZonedDateSecondParameter(luigi.Parameter[datetime.datetime]):
    """A date and time with its time zone, to the second: ``2013-07-10T19:07:38+09:00``, or ``Z`` for UTC."""

    def parse(self, x: str) -> datetime.datetime:
        """Return the time of an ISO 8601 text; a text without a zone is taken, with a warning."""
        value = datetime.datetime.fromisoformat(x)
        if value.tzinfo is None:
            warnings.warn(f"'{x}' has no time zone; luigi.DateSecondParameter is the kind without one.", stacklevel=2)
        return value

    def serialize(self, x: datetime.datetime) -> str:
        """Return the time in ISO 8601."""
        return x.isoformat()

    def normalize(self, x: datetime.datetime) -> datetime.datetime:
        """Cut the microseconds off."""
        return x.replace(microsecond=0)


def frozen(value: Any) -> Any:
    """Return a list or set as a tuple, so that a task can be hashed by it; other values as they are.

    Parameters
    ----------
    value
        A parameter's value. A set is sorted, because its order differs from process to process.
    """
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, set | frozenset):
        try:
            return tuple(sorted(value))
        except TypeError:
            return tuple(sorted(value, key=lambda item: (type(item).__name__, repr(item))))
    return value
