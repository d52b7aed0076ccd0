"""Uses of a task of one type where a task of a wider type is taken, checked by mypy --strict and pyright; never run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol, TypedDict, TypeVar, assert_type

import luigi
import numpy as np
import pandas as pd

import kart_runtime.gokart as gokart
from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build

Model = TypeVar("Model")


class Fitted(Protocol):
    """What a model offers."""

    def predict(self, rows: list[float]) -> list[float]:
        """Return a value for each row."""
        ...


class Mean:
    """A model."""

    def predict(self, rows: list[float]) -> list[float]:
        """Return the rows."""
        return rows


class Prices(pd.DataFrame):
    """A frame of one's own."""


class Row(TypedDict):
    """A row."""

    price: float


class Numbers(TaskOnKart[list[float]]):
    """A list."""

    n: luigi.IntParameter = luigi.IntParameter(default=3)

    def run(self) -> None:
        """Dump what the class says that it dumps."""
        self.dump([1.0] * self.n)
        self.dump("x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


class Whole(TaskOnKart[int]):
    """A number."""

    def run(self) -> None:
        """Dump what the class says that it dumps."""
        self.dump(3)
        self.dump("x", "log.txt")
        self.dump("x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


class Table(TaskOnKart[dict[str, int]]):
    """A dict."""


class Train(TaskOnKart[Mean]):
    """A model."""


class PriceFrame(TaskOnKart[Prices]):
    """A frame of one's own."""


class Rows(TaskOnKart[list[Row]]):
    """Rows."""


class Array(TaskOnKart[np.ndarray[Any, Any]]):
    """An array."""


class Step(TaskOnKart[Model]):
    """A base class of one's own, with a type of its own."""


class Tuned(Step[Mean]):
    """A task of a base class of one's own."""


class Old(gokart.TaskOnKart[list[float]]):
    """A task that came over from gokart."""


def total(values: Sequence[float]) -> float:
    """Take a sequence."""
    return sum(values)


def count(values: Iterable[object]) -> int:
    """Take anything that can be gone through."""
    return len(list(values))


def size(value: Sized) -> int:
    """Take a protocol of the standard library."""
    return len(value)


def keys(values: Mapping[str, float]) -> list[str]:
    """Take a mapping."""
    return list(values)


def maybe(values: Sequence[float] | None) -> float:
    """Take a sequence or nothing."""
    return sum(values or [])


def either(value: Sequence[float] | float) -> float:
    """Take one of two types."""
    return value if isinstance(value, int | float) else sum(value)


def predicted(model: Fitted) -> list[float]:
    """Take a protocol of one's own."""
    return model.predict([])


def rows_of(frame: pd.DataFrame) -> int:
    """Take a frame."""
    return len(frame)


def first(values: Sequence[Mapping[str, object]]) -> object:
    """Take a sequence of mappings."""
    return values[0]


def nested(values: Sequence[Sequence[float]]) -> float:
    """Take the values of several tasks."""
    return sum(map(sum, values))


def applied(function: Callable[[Sequence[float]], float], task: TaskOnKart[Sequence[float]]) -> float:
    """Take a task of a sequence."""
    return function(build(task))


def named(tasks: Mapping[str, TaskOnKart[Hashable]]) -> list[str]:
    """Take tasks by name."""
    return list(tasks)


class Sums(TaskOnKart[float]):
    """A task that holds wider tasks than it is given."""

    numbers: TaskInstanceParameter[TaskOnKart[Sequence[float]]] = TaskInstanceParameter()
    model: TaskInstanceParameter[TaskOnKart[Fitted]] = TaskInstanceParameter(default=Train)
    many: ListTaskInstanceParameter[TaskOnKart[Sequence[float]]] = ListTaskInstanceParameter(default=[])

    def requires(self) -> dict[str, TaskOnKart[object]]:
        """Return tasks of several types."""
        return {"numbers": self.numbers, "model": self.model, "whole": Whole()}

    def run(self) -> None:
        """Use what other tasks store as what it is taken for."""
        total(self.load(Numbers()))
        count(self.load(Numbers()))
        size(self.load(Table()))
        keys(self.load(Table()))
        maybe(self.load(Numbers()))
        either(self.load(Numbers()))
        either(self.load(Whole()))
        predicted(self.load(Train()))
        predicted(self.load(Tuned()))
        predicted(self.load(self.model))
        rows_of(self.load(PriceFrame()))
        first(self.load(Rows()))
        size(self.load(Array()))
        nested(self.load([Numbers(), Numbers(n=4)]))
        nested(self.load([self.numbers, Numbers()]))
        total(self.load(Old()))
        total(self.load(self.numbers))
        assert_type(self.load(Numbers()), list[float])
        assert_type(self.load(self.numbers), Sequence[float])
        values: Iterable[float] = self.load(Numbers())
        wider: float = self.load(Whole())
        anything: Iterator[Any] = self.load_generator(Numbers())
        total(self.load(Whole()))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        keys(self.load(Numbers()))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.dump(sum(values) + wider + len(list(anything)))
        self.dump(self.load(Whole()))


total(build(Numbers()))
maybe(build(Numbers()))
keys(build(Table()))
predicted(build(Tuned()))
rows_of(build(PriceFrame(), return_value=True))
total(gokart.build(Old()))
applied(total, Numbers())
named({"whole": Whole()})
tasks: list[TaskOnKart[Sequence[float]]] = [Numbers(), Old()]
held: TaskOnKart[float | None] = Whole()
Sums(numbers=Numbers(), model=Tuned(), many=[Numbers(), Old()])
assert_type(build(Numbers()), list[float])

narrower: TaskOnKart[list[int]] = Numbers()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
Sums(numbers=Whole())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
