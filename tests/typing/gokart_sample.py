"""A program that came over from gokart, checked by mypy --strict and pyright without a plugin; never run."""

from __future__ import annotations

import datetime
from typing import assert_type

import luigi

import kart_runtime.gokart as gokart
from kart_runtime.storage.target import Target


class Words(gokart.TaskOnKart[list[str]]):
    """A task with parameters, annotated as luigi describes them."""

    text: luigi.Parameter[str] = luigi.Parameter(default="a b")
    times: luigi.IntParameter = luigi.IntParameter(default=1)
    limit: luigi.OptionalIntParameter = luigi.OptionalIntParameter(default=None)
    day: luigi.DateParameter = luigi.DateParameter(default=datetime.date(2024, 1, 1))
    lower: gokart.ExplicitBoolParameter = gokart.ExplicitBoolParameter(default=True)

    def output(self) -> Target:
        """Return one pickle file."""
        return self.make_target("words.pkl")

    def run(self) -> None:
        """Dump what the class says that it dumps."""
        assert_type(self.text, str)
        assert_type(self.times, int)
        assert_type(self.limit, int | None)
        assert_type(self.day, datetime.date)
        assert_type(self.lower, bool)
        self.dump(self.text.split() * self.times)
        self.dump(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


class Count(gokart.TaskOnKart[int]):
    """A task that holds tasks."""

    words: gokart.TaskInstanceParameter[gokart.TaskOnKart[list[str]]] = gokart.TaskInstanceParameter()
    more: gokart.ListTaskInstanceParameter[Words] = gokart.ListTaskInstanceParameter(default=[])

    def requires(self) -> dict[str, gokart.TaskOnKart[list[str]]]:
        """Return the one task."""
        return {"words": self.words}

    def run(self) -> None:
        """Load what the required tasks say that they store."""
        assert_type(self.load(self.words), list[str])
        assert_type(self.load([self.words, self.words]), list[list[str]])
        self.dump(len(self.load(self.words)))


class Older(gokart.TaskOnKart[str]):
    """gokart's older annotations: wrong for a checker without a plugin, and yet the constructor is known."""

    size: int = luigi.IntParameter(default=1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    words: gokart.TaskOnKart[list[str]] = gokart.TaskInstanceParameter()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def run(self) -> None:
        """Load by the annotation."""
        assert_type(self.size, int)
        assert_type(self.load(self.words), list[str])


assert_type(gokart.build(Count(words=Words(times=2))), int)
Words(times="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Words(time=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Count(words=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Count(words=Count(words=Words()))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Older(size="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Count()  # no error: the configuration may hold the value
