"""What a task asks for is found, and what it does not require is named."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Any

import luigi
import numpy as np
import pandas as pd
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import NotRequired
from kart_runtime.task.loading import generate_values, load_values, output_target


class Number(TaskOnKart[int]):
    value = luigi.IntParameter()

    def run(self):
        self.dump(self.value)


class Gathers(TaskOnKart[int]):
    def requires(self):
        return {"one": Number(value=1), "more": [Number(value=2), (Number(value=3),)]}


@pytest.fixture
def task():
    build([Number(value=value) for value in (1, 2, 3, 4)])
    return Gathers()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, {"one": 1, "more": [2, [3]]}),
        ("more", [2, [3]]),
        (Number(value=2), 2),
        ([Number(value=3), "one"], [3, 1]),
        ((Number(value=value) for value in (1, 2)), [1, 2]),
        (Number(value=1, rerun=True), 1),
        (Number(value=4).make_target("x.pkl", use_unique_id=False), "given"),
    ],
    ids=["all", "key", "task", "list", "generator", "same id", "target"],
)
def test_a_wanted_thing_is_found(task, wanted, found):
    if found == "given":
        wanted.dump("given")
    assert load_values(task, wanted) == found


def test_values_of_a_dict_come_with_their_keys(task):
    assert list(generate_values(task, None)) == [("one", 1), ("more", [2, [3]])]
    assert list(generate_values(task, "more")) == [2, 3]


def test_values_are_loaded_when_they_are_asked_for(task):
    values = generate_values(task, "more")
    assert next(values) == 2
    Number(value=3).output().remove()
    with pytest.raises(FileNotFoundError):
        next(values)


@pytest.mark.parametrize(
    ("wanted", "shown"), [("two", "'two'.*'one', 'more'"), (Number(value=4), r"Number\[.*value=4")]
)
def test_what_is_not_required_is_named(task, wanted, shown):
    with pytest.raises(NotRequired, match=shown):
        load_values(task, wanted)


class Several(TaskOnKart[int]):
    def output(self):
        return {"a": self.make_target("a.pkl"), "b": self.make_target("b.pkl")}


def test_one_of_several_outputs_has_to_be_named():
    assert output_target(Several(), "b").path() == Several().output()["b"].path()
    with pytest.raises(KeyError, match=r"Several.output\(\) has no 'c'; it has 'a', 'b'"):
        output_target(Several(), "c")
    with pytest.raises(TypeError, match="say which output is meant"):
        output_target(Several(), None)


def number(value):
    return Number(value=value)


STRUCTURES = {
    "none": (lambda: None, []),
    "list with none": (lambda: [number(1), None, [None, number(2)]], [1, None, [None, 2]]),
    "dict with none": (lambda: {"a": None, "b": number(2)}, {"a": None, "b": 2}),
    "generator": (lambda: (number(value) for value in (1, 2)), [1, 2]),
    "generator inside": (lambda: {"a": map(number, (1, 2))}, {"a": [1, 2]}),
    "values": (lambda: {"a": number(1), "b": number(2)}.values(), [1, 2]),
    "deque": (lambda: deque([number(1), (number(2),)]), [1, [2]]),
    "mapping": (lambda: MappingProxyType({"a": number(1)}), {"a": 1}),
    "array": (lambda: np.array([number(1), number(2)], dtype=object), [1, 2]),
    "series": (lambda: pd.Series([number(1), number(2)]), [1, 2]),
    "set": (lambda: {number(1)}, [1]),
    "other keys": (lambda: {1: number(1), ("a", 2): number(2), None: number(3)}, {1: 1, ("a", 2): 2, None: 3}),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("options", [{}, {"executor": "processes", "workers": 2}])
def test_requirements_may_have_any_structure(name, options):
    made, values = STRUCTURES[name]
    task = Structured(name=name)
    assert build(task, **options) == values
    assert task.requires() is not None or made() is None
    assert Structured(name=name).make_unique_id() == task.make_unique_id()


class Structured(TaskOnKart[Any]):
    name = luigi.Parameter()

    def requires(self):
        return STRUCTURES[self.name][0]()

    def run(self):
        value = self.load()
        if self.name == "other keys":
            value = {key: self.load(key) for key in (1, ("a", 2))} | {None: value[None]}
        self.dump(value)
