"""The type that a task stores is found where it is declared, however far up."""

from __future__ import annotations

from typing import Generic, TypeVar

import luigi
import pandas as pd
import pytest

from kart_runtime import TaskOnKart
from kart_runtime.task.declared_type import declared_type

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
