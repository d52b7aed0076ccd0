"""The type that a task stores is found where it is declared, however far up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar

import luigi
import numpy as np
import pandas as pd
import polars as pl
import pytest

from kart_runtime import TaskOnKart
from kart_runtime.task.declared_type import WrongType, declared_type

V = TypeVar("V")


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=0)


class Generic1(TaskOnKart[V], Generic[V]):
    pass


class Generic2(Generic1[V]):
    pass


class Frames(Generic2[pd.DataFrame]):
    pass


class Child(Frames):
    pass


@pytest.mark.parametrize(
    ("cls", "found"),
    [(TaskOnKart, None), (Number, int), (Generic1, None), (Frames, pd.DataFrame), (Child, pd.DataFrame)],
)
def test_the_declared_type_is_found_through_generic_classes(cls, found):
    assert declared_type(cls, TaskOnKart) is found


class Readable(Protocol):
    def read(self) -> str: ...


class Row(TypedDict):
    a: int


def task_of(declared):
    class Some(TaskOnKart[declared]):
        def output(self):
            return self.make_target("x.pkl")

    return Some()


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (list[float], [1]),
        (float, 1),
        (float, np.float32(1)),
        (int, np.int64(1)),
        (bool, np.bool_(True)),
        (int | None, None),
        (int | str, "a"),
        (Sequence[int], [1]),
        (Mapping[str, int], {}),
        (Any, object),
        (Readable, 5),
        (Literal[1], 2),
        (Row, {"a": 1}),
        (V, 1),
        (object, 1),
        (pl.LazyFrame, pl.DataFrame()),
        (type[int], int),
    ],
    ids=str,
)
def test_what_may_be_of_the_declared_type_is_dumped(declared, value):
    task_of(declared).dump(value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [(pd.DataFrame, [1]), (list[int], {}), (int, 1.5), (int, None), (str | None, 5), (dict | list, "a"), (str, b"")],
)
def test_what_is_not_of_the_declared_type_is_refused(declared, value):
    task = task_of(declared)
    with pytest.raises(WrongType, match=r"Some.* dumped a .*declares TaskOnKart\[.*check_dump_type = False"):
        task.dump(value)
    assert not task.output().exists()
    type(task).check_dump_type = False
    task.dump(value)


def test_one_of_several_outputs_is_not_checked():
    class Two(TaskOnKart[dict]):
        def output(self):
            return {"a": self.make_target("a.pkl")}

    Two().dump(1, "a")
