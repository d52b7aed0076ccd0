"""Metrics of a task: what `run()` logs, step by step or once, and the numbers of an output called `metrics`.

They belong to the run of a task, and are recorded with it: the last value of each, and the steps in a file of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from kart_runtime.errors import TaskError
from kart_runtime.errors.secrets import masked
from kart_runtime.task.state import TaskRun

MOST_NAMES = 200
"""Number of metrics that a task may have; more of them are data."""

_MOST_EXACT = 1 << 63
"""Whole numbers from here on are recorded as a float: readers, such as a database, take no larger ones."""

_NAME = re.compile(r"[\w./ -]{1,100}")
_OTHER = re.compile(r"[^\w./ -]")
_STEM = re.compile(r"(?:^|/)metrics(?:_[0-9a-f]{32})?\.json$")


class InvalidMetric(TaskError, ValueError):
    """A metric has a name or value that cannot be recorded.

    Parameters
    ----------
    task
        The task.
    why
        The mistake, and what to write instead.
    """

    def __init__(self, task: str, why: str) -> None:
        self.task, self.why = task, why
        super().__init__(f"{task}: {why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task, self.why)


def log_metric(task: Any, name: str, value: Any, step: Any = None) -> None:
    """Record a value of a metric; raises `InvalidMetric`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidMetric(
            _name_of(task),
            f"{name!r} is not the name of a metric. Use 1 to 100 letters, digits, spaces and the characters _ - . /",
        )
    if step is not None and (isinstance(step, bool) or not isinstance(step, Integral)):
        raise InvalidMetric(_name_of(task), f"step {step!r:.60} of metric '{name}' is not a whole number.")
    number = _number(value)
    if number is None:
        kind = type(value).__name__
        raise InvalidMetric(_name_of(task), f"metric '{name}' is {kind} {value!r:.60}. Log a number.")
    run: TaskRun | None = task.__dict__.get("_kart_run")
    if run is None:  # run() was called directly: nobody keeps a record
        return
    if name not in run.metrics and len(run.metrics) >= MOST_NAMES:
        raise InvalidMetric(
            _name_of(task),
            f"'{name}' would be metric number {MOST_NAMES + 1}. Log at most {MOST_NAMES}; dump more as a table.",
        )
    run.add_metric(masked(name), number, None if step is None else int(step))


def log_metrics(task: Any, values: Any, step: Any = None) -> None:
    """Record several values; raises `InvalidMetric`."""
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise InvalidMetric(_name_of(task), f"log_metrics takes a map of names to numbers, not a {kind}.")
    for name, value in values.items():
        log_metric(task, name, value, step)


def note_output(task: Any, key: object, url: str, value: Mapping[Any, Any]) -> None:
    """Record the numbers of a JSON output whose key or name is `metrics`."""
    run: TaskRun | None = task.__dict__.get("_kart_run")
    if run is None or not (_STEM.search(url) or (key == "metrics" and url.endswith(".json"))):
        return
    for path, number in _numbers(value):
        name = _OTHER.sub("_", masked(path))[:100]  # `recall@10` is no name, but its number counts
        if name and (len(run.metrics) < MOST_NAMES or name in run.metrics):
            run.add_metric(name, number, None)


def _name_of(task: Any) -> str:
    return f"{task.get_task_family()}[{task.make_unique_id()[:8]}]"


def _numbers(value: Mapping[Any, Any]) -> Iterator[tuple[str, float | str]]:
    """Yield the numbers of a value that is at most two levels deep, with names joined by a dot."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from (
                (f"{key}.{inner}", number) for inner, leaf in item.items() if (number := _number(leaf)) is not None
            )
        elif (number := _number(item)) is not None:
            yield str(key), number


def _number(value: Any) -> float | str | None:
    """Return a finite number as it is, another one as its name, None if a value is no number."""
    if not isinstance(value, Real):
        item = getattr(value, "item", None)  # such as a tensor without dimensions
        value = item() if callable(item) and getattr(value, "ndim", 1) == 0 else value
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    try:
        number = float(value)
    except ValueError:  # the NaN of Decimal that signals
        return "nan"
    except OverflowError:  # a whole number or a fraction beyond what a float holds
        return "-inf" if value < 0 else "inf"
    if isinstance(value, Integral) and abs(number) < _MOST_EXACT:
        return int(value)
    return number if math.isfinite(number) else "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
