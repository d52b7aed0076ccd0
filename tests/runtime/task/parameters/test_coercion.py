"""A configured value fits its parameter exactly, or the message says what was expected and what was found."""

from __future__ import annotations

import datetime
import enum
from pathlib import Path

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luigi.freezing import FrozenOrderedDict

from kart_runtime import (
    ListTaskInstanceParameter,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
)
from kart_runtime.task.parameters import coerce


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Even:
    def __init__(self, number):
        if number % 2:
            raise ValueError("odd")
        self.number = number

    def gokart_serialize(self):
        return str(self.number)

    @classmethod
    def gokart_deserialize(cls, s):
        return cls(int(s))

    def __eq__(self, other):
        return self.number == other.number

    __hash__ = None


class Percent(luigi.Parameter):
    """A kind of a user's own."""

    def parse(self, x):
        return int(x.removesuffix("%"))


ACCEPTED = [
    (luigi.IntParameter(), 4, 4),
    (luigi.FloatParameter(), 1, 1.0),
    (luigi.FloatParameter(), 1e-3, 1e-3),
    (luigi.BoolParameter(), True, True),
    (luigi.Parameter(), "text", "text"),
    (luigi.StrParameter(), "", ""),
    (luigi.OptionalParameter(), None, None),
    (luigi.OptionalIntParameter(), None, None),
    (luigi.OptionalIntParameter(), 3, 3),
    (luigi.OptionalFloatParameter(), 3, 3.0),
    (luigi.OptionalListParameter(), [1], (1,)),
    (luigi.ListParameter(), [1, ["a", {"b": 2}]], (1, ("a", FrozenOrderedDict({"b": 2})))),
    (luigi.TupleParameter(), [[1, 2]], ((1, 2),)),
    (luigi.DictParameter(), {"a": [1]}, FrozenOrderedDict({"a": (1,)})),
    (luigi.DateParameter(), "2026-01-31", datetime.date(2026, 1, 31)),
    (luigi.DateSecondParameter(), "2026-01-31T070809", datetime.datetime(2026, 1, 31, 7, 8, 9)),
    (luigi.TimeDeltaParameter(), "2 hours", datetime.timedelta(hours=2)),
    (luigi.EnumParameter(enum=Colour), "RED", Colour.RED),
    (luigi.EnumListParameter(enum=Colour), ["RED", "BLUE"], (Colour.RED, Colour.BLUE)),
    (luigi.ChoiceParameter(choices=["a", "b"]), "a", "a"),
    (luigi.ChoiceParameter(choices=[1, 2], var_type=int), 2, 2),
    (luigi.ChoiceListParameter(choices=["a", "b"]), ["b"], ("b",)),
    (luigi.NumericalParameter(var_type=int, min_value=0, max_value=9), 8, 8),
    (luigi.PathParameter(), "a/b", Path("a/b")),
    (ZonedDateSecondParameter(), "2026-01-31T07:08:09Z", datetime.datetime(2026, 1, 31, 7, 8, 9, tzinfo=datetime.UTC)),
    (SerializableParameter(Even), "4", Even(4)),
    (Percent(), "40%", 40),
]

REFUSED = [
    (luigi.IntParameter(), "4", "expected int, got str '4'"),
    (luigi.IntParameter(), 4.0, "expected int, got float 4.0"),
    (luigi.IntParameter(), True, "expected int, got bool True"),
    (luigi.IntParameter(), None, "expected int, got null"),
    (luigi.IntParameter(), [4], r"expected int, got a list \[4\]"),
    (luigi.FloatParameter(), "deep", "expected float, got str 'deep'"),
    (luigi.FloatParameter(), False, "expected float"),
    (luigi.BoolParameter(), "yes", r"expected bool \(true or false\), got str 'yes'"),
    (luigi.BoolParameter(), 1, "expected bool"),
    (luigi.Parameter(), 4, r"expected text \(put it into quotes\), got int 4"),
    (luigi.Parameter(), None, "expected text, got null"),
    (luigi.OptionalIntParameter(), "x", "expected int"),
    (luigi.OptionalParameter(), 4, "expected text"),
    (luigi.ListParameter(), "a", "expected a list"),
    (luigi.ListParameter(), {"a": 1}, "expected a list, got a map"),
    (luigi.DictParameter(), [1], "expected a map, got a list"),
    (luigi.DateParameter(), "someday", "a date such as 2026-01-31"),
    (luigi.DateParameter(), 20260131, "a date such as"),
    (luigi.TimeDeltaParameter(), "soon", "a time such as"),
    (luigi.EnumParameter(enum=Colour), "red", "did you mean 'RED'"),
    (luigi.ChoiceParameter(choices=["tree", "forest"]), "tre", "did you mean 'tree'"),
    (luigi.ChoiceParameter(choices=[1, 2], var_type=int), 3, "expected one of 1, 2"),
    (luigi.ChoiceListParameter(choices=["a"]), "a", "expected a list"),
    (luigi.NumericalParameter(var_type=int, min_value=0, max_value=9), 9, r"\[0, 9\)"),
    (luigi.NumericalParameter(var_type=int, min_value=0, max_value=9), 1.5, "expected int"),
    (SerializableParameter(Even), "3", "odd"),
    (Percent(), 40, "expected percent"),
    (TaskInstanceParameter(), "LoadData", "pipeline logic stays in Python"),
    (ListTaskInstanceParameter(), ["LoadData"], "pipeline logic stays in Python"),
    (luigi.TaskParameter(), "LoadData", "pipeline logic stays in Python"),
]


def label(case):
    return type(case).__name__ if isinstance(case, luigi.Parameter | Even) else str(case)


@pytest.mark.parametrize(("param", "value", "held"), ACCEPTED, ids=label)
def test_a_fitting_value_is_held_as_the_task_would_hold_it(param, value, held):
    found = coerce(param, value)
    assert found == held
    assert type(found) is type(held)


@pytest.mark.parametrize(("param", "value", "message"), REFUSED, ids=label)
def test_another_value_is_refused(param, value, message):
    with pytest.raises(ValueError, match=message):
        coerce(param, value)


@pytest.mark.parametrize(
    ("param", "text", "yaml", "held"),
    [
        (luigi.Parameter(), "007", 7, "007"),
        (luigi.Parameter(), "true", True, "true"),
        (luigi.ChoiceParameter(choices=["1", "2"]), "1", 1, "1"),
        (luigi.DateParameter(), "2026-01-31", "2026-01-31", datetime.date(2026, 1, 31)),
        (luigi.IntParameter(), "7", 7, 7),
    ],
    ids=label,
)
def test_on_the_command_line_text_is_taken_as_it_stands(param, text, yaml, held):
    assert coerce(param, yaml, text=text) == held


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_and_the_same_float_are_one_value(number):
    assert repr(coerce(luigi.FloatParameter(), number)) == repr(coerce(luigi.FloatParameter(), float(number)))
