"""Partitions: tasks of one class for each date, or number, of a range; both ends of a range are included."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any, Generic, TypeVar, cast

import luigi
from luigi.date_interval import DateInterval
from luigi.parameter import _DateParameterBase, _DatetimeParameterBase

from kart_runtime.errors import NotRequired, PlanError, closest_match
from kart_runtime.task import identity
from kart_runtime.task.loading import load_values
from kart_runtime.task.nested import iter_flat
from kart_runtime.task.origin import is_from_other_task
from kart_runtime.task.parameters import declaration
from kart_runtime.task.parameters.dates import stepped

TaskT = TypeVar("TaskT", bound=luigi.Task)
V = TypeVar("V")

MOST = 20_000
"""Partitions of one range; more are taken for a slip."""

_MAX_LISTED = 10
"""Tasks that a message lists."""


class InvalidRange(PlanError, ValueError):
    """A range of partitions cannot be made.

    Attributes
    ----------
    name
        ``Task.parameter``.
    why
        What is wrong, and what to write.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


def partitions(task: type[TaskT], /, **values: Any) -> list[TaskT]:
    """Return the tasks of a class for each value of a range, earlier first; for `requires()` and `build`.

    Parameters
    ----------
    task
        The class.
    **values
        Its parameters. A tuple ``(first, last)`` for a date, time or integer is a range that includes both; so is an
        interval of luigi's, such as ``luigi.date_interval.Month(2026, 1)``. With several ranges, there is a task for
        each combination. Everything else is passed to all tasks.

    Returns
    -------
    list
        The tasks.

    Raises
    ------
    InvalidRange
        An end is not a value of the parameter, the last one comes before the first, or there are too many.

    Examples
    --------
    >>> class Report(TaskOnKart[pd.DataFrame]):
    ...     def requires(self):
    ...         return partitions(Daily, day=(date(2026, 1, 1), date(2026, 1, 31)))
    """
    for name in values:
        _check_parameter(task, name)
    ranges = {name: found for name, value in values.items() if (found := _range(task, name, value)) is not None}
    check_number(task, ranges)
    return [task(**values | dict(zip(ranges, combination, strict=True))) for combination in product(*ranges.values())]


def check_number(task: type[luigi.Task], ranges: Mapping[str, list[Any]]) -> None:
    """Raise `InvalidRange` if several ranges have too many combinations."""
    number = 1
    for values in ranges.values():
        number *= len(values)
    if number > MOST:
        name = f"{task.get_task_family()}.{' and '.join(ranges)}"
        raise InvalidRange(name, f"the ranges have {number:,} combinations, more than {MOST:,}. Split them.")


def _range(task: type[luigi.Task], name: str, value: Any) -> list[Any] | None:
    """Return the values of a range; None if a value is none."""
    param = declaration(task).params[name]
    if not is_countable(param):
        return None
    if isinstance(value, DateInterval):
        last: Any = value.date_b - datetime.timedelta(days=1)
        if isinstance(param, _DatetimeParameterBase):
            last = datetime.datetime.combine(last, datetime.time(23, 59, 59))
        return values_between(task, name, value.date_a, last)
    if not isinstance(value, tuple):
        return None
    if len(value) != 2:
        raise InvalidRange(f"{task.get_task_family()}.{name}", f"expected (first, last), got {value!r}")
    return values_between(task, name, *value)


def is_countable(param: luigi.Parameter[Any]) -> bool:
    """Return whether the values of a parameter follow one another: dates, times and integers do."""
    if isinstance(param, luigi.NumericalParameter):
        return cast("Any", param)._var_type is int
    return (
        isinstance(param, _DateParameterBase | _DatetimeParameterBase)
        or type(param).next_in_enumeration is not luigi.Parameter.next_in_enumeration
    )


def values_between(task: type[luigi.Task], name: str, first: Any, last: Any) -> list[Any]:
    """Return the values of a parameter from the first to the last, which is included; raises `InvalidRange`."""
    param, where = declaration(task).params[name], f"{task.get_task_family()}.{name}"
    first, last = (_end(task, name, end) for end in (first, last))
    if last < first:
        begin, end = param.serialize(first), param.serialize(last)
        raise InvalidRange(where, f"the range ends before it begins: {begin}..{end}. Write the earlier end first.")
    values = []
    value = first
    while value is not None and value <= last:
        values.append(value)
        if len(values) > MOST:
            begin, end = param.serialize(first), param.serialize(last)
            raise InvalidRange(where, f"{begin}..{end} has more than {MOST:,} values. Split the range.")
        value = next_value(param, value)
    return values


def next_value(param: luigi.Parameter[Any], value: Any) -> Any:
    """Return the value that follows another one; None if there is none."""
    try:
        return value + 1 if type(value) is int else param.next_in_enumeration(value)
    except (OverflowError, ValueError):  # the end of the calendar
        return None


def _end(task: type[luigi.Task], name: str, end: Any) -> Any:
    param = declaration(task).params[name]
    if end is None:
        raise InvalidRange(f"{task.get_task_family()}.{name}", "an end of the range is None. Write both ends.")
    if isinstance(end, str):
        try:
            end = param.parse(end)
        except (ValueError, TypeError) as error:
            raise InvalidRange(f"{task.get_task_family()}.{name}", f"{end!r} is not a value: {error}") from error
    return declaration(task).checked(name, end)


class PartitionValues(Mapping[Any, V], Generic[V]):
    """Stored values of a range of partitions, by date or number, earlier first; each is loaded when it is asked for.

    Examples
    --------
    >>> for day, frame in self.load_range(Daily, "day").items():
    ...     print(day, len(frame))
    """

    def __init__(self, consumer: luigi.Task, tasks: Mapping[Any, luigi.Task]) -> None:
        self._consumer, self._tasks = consumer, tasks

    def __getitem__(self, key: Any) -> V:
        return cast("V", load_values(self._consumer, cast("Any", self._tasks[key]).output()))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"PartitionValues({list(self._tasks)!r})"

    def concat(self) -> V:
        """Return one frame with the rows of all partitions, in their order.

        pandas frames are numbered anew, unless they have an index of their own; polars' lazy frames stay lazy.

        Raises
        ------
        TypeError
            The values are not frames of pandas or polars, nor tables of pyarrow.
        """
        return cast("V", _concatenated(list(self.values())))


def _concatenated(frames: list[Any]) -> Any:
    library = type(frames[0]).__module__.partition(".")[0] if frames else ""
    module: Any = sys.modules.get(library)
    if library == "pandas":
        numbered = all(isinstance(frame.index, module.RangeIndex) for frame in frames)
        return module.concat(frames, ignore_index=numbered)
    if library == "polars":
        return module.concat(frames)
    if library == "pyarrow":
        return module.concat_tables(frames)
    found = f"of type {type(frames[0]).__name__}" if frames else "none"
    raise TypeError(f"concat() joins frames, and the partitions are {found}. Go through them by .items().")


def load_range(
    consumer: Any, task: type[luigi.Task], name: str, ends: tuple[Any, Any], others: Mapping[str, Any]
) -> PartitionValues[Any]:
    """Return the values of the required partitions of a class, those between two ends, or all if these are None."""
    by_value = _required(consumer, task, name, others)
    first, last = ends
    if first is not None or last is not None:
        first = min(by_value, default=last) if first is None else first
        last = max(by_value, default=first) if last is None else last
        values = values_between(task, name, first, last)
        missing = next((value for value in values if value not in by_value), None)
        if missing is not None:
            text = declaration(task).params[name].serialize(missing)
            raise NotRequired(str(consumer), f"{task.get_task_family()}({name}={text})", _listed(by_value.values()))
        by_value = {value: by_value[value] for value in values}
    elif not by_value:
        required = _listed(identity.dependencies(consumer))
        raise NotRequired(str(consumer), f"a partition of {task.get_task_family()}", required)
    return PartitionValues(consumer, by_value)


def _required(consumer: Any, task: type[luigi.Task], name: str, others: Mapping[str, Any]) -> dict[Any, luigi.Task]:
    """Return the required tasks of a class by the value of a parameter, the lowest first."""
    for other in (name, *others):
        _check_parameter(task, other)
    wanted = {other: declaration(task).checked(other, value) for other, value in others.items()}
    by_value: dict[Any, luigi.Task] = {}
    for dependency in identity.dependencies(consumer):
        if isinstance(dependency, task) and all(getattr(dependency, key) == value for key, value in wanted.items()):
            value = getattr(dependency, name)
            if by_value.setdefault(value, dependency) is not dependency:
                raise InvalidRange(
                    f"{task.get_task_family()}.{name}",
                    f"two required tasks have {name}={declaration(task).params[name].serialize(value)}. Choose those "
                    f"to load by another parameter: self.load_range({task.__name__}, '{name}', PARAMETER=VALUE).",
                )
    return dict(sorted(by_value.items()))


def _check_parameter(task: type[luigi.Task], name: str) -> luigi.Parameter[Any]:
    params = declaration(task).params
    if name not in params:
        guess = closest_match(name, params)
        hint = f" Did you mean '{guess}'?" if guess else ""
        raise InvalidRange(f"{task.get_task_family()}.{name}", f"there is no such parameter.{hint}")
    return params[name]


def _listed(tasks: Iterable[luigi.Task]) -> list[str]:
    names = [str(task) for task in islice(tasks, _MAX_LISTED + 1)]
    return names if len(names) <= _MAX_LISTED else [*names[:_MAX_LISTED], "..."]


def load_previous(task: Any, name: str, steps: int) -> Any:
    """Return the stored value of the task's own earlier partition; None if there is none."""
    cls = type(task)
    param = _check_parameter(cls, name)
    try:
        value = stepped(param, getattr(task, name), -steps)
    except (OverflowError, ValueError):  # before the calendar begins
        return None
    if value is None:
        raise InvalidRange(f"{cls.get_task_family()}.{name}", "only a date, time or integer has a previous value.")
    earlier = task.clone(**{name: value})
    output = earlier.output()
    targets = list(iter_flat(output))
    if not targets or not all(target.exists() for target in targets):
        return None
    return None if is_from_other_task(earlier, targets) else load_values(task, output)
