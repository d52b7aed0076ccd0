"""Two values of a parameter that differ never have one unique id: one of them is refused, or the ids differ."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import pickle
from pathlib import Path
from zoneinfo import ZoneInfo

import luigi
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luigi.date_interval import Custom, Month
from luigi.parameter import OptionalParameterMixin

from kart_runtime import SerializableParameter, TaskOnKart, ZonedDateSecondParameter
from kart_runtime.errors import ParameterValueError
from kart_runtime.task.parameters import coerce

UTC, TOKYO = dt.UTC, dt.timezone(dt.timedelta(hours=9))
TIME = dt.datetime(2026, 1, 1, 9)


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1  # noqa: PIE796 - an alias


class Paint(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    ONE = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Rounded(luigi.FloatParameter):
    """A kind whose text has less than its value."""

    def serialize(self, x):
        return f"{x:.2f}"


class Percent(luigi.Parameter):
    """A kind that only reads."""

    def parse(self, x):
        return int(str(x).removesuffix("%"))


class Words(luigi.Parameter):
    """A kind that reads and writes."""

    def parse(self, x):
        return tuple(x.split())

    def serialize(self, x):
        return " ".join(x)


class YearDay(luigi.DateParameter):
    date_format = "%m-%d"


class OptionalDate(OptionalParameterMixin, luigi.DateParameter):
    expected_type = dt.date


class Money:
    def __init__(self, amount, note):
        self.amount, self.note = amount, note

    def gokart_serialize(self):
        return str(self.amount)

    @classmethod
    def gokart_deserialize(cls, s):
        return cls(int(s), "")


def task_of(param, name="Sample"):
    return type(name, (TaskOnKart,), {"p": param, "__module__": __name__})


def text(**default):
    return luigi.Parameter(**default)


def label(case):
    return type(case).__name__ if isinstance(case, luigi.Parameter) else ascii(case)[:40]


REFUSED = [
    (luigi.TimeDeltaParameter(), dt.timedelta(milliseconds=500), "whole seconds. Use a FloatParameter of seconds"),
    (luigi.TimeDeltaParameter(), pd.Timedelta(nanoseconds=5), "whole seconds"),
    (luigi.TimeDeltaParameter(), np.timedelta64(5, "s"), "Write a datetime.timedelta"),
    (luigi.TimeDeltaParameter(), 5, "Write a datetime.timedelta"),
    (luigi.OptionalParameter(), "", "the text of None in OptionalParameter. Write None"),
    (luigi.OptionalStrParameter(), "", "Write None"),
    (luigi.OptionalChoiceParameter(choices=["", "a"]), "", "Write None"),
    (luigi.DictParameter(), {1: "a"}, "key 1 becomes text. Write the key as text, such as '1'"),
    (luigi.DictParameter(), {"a": [{None: 1}]}, "key None becomes text"),
    (luigi.DictParameter(), {True: 1}, "key True becomes text"),
    (luigi.DictParameter(), {Mode.FAST: 1}, "becomes text"),
    (luigi.DictParameter(), {"a": Level.ONE}, "the member's value or name"),
    (luigi.DictParameter(), [("a", 1)], "Write a dict"),
    (luigi.OptionalDictParameter(), {2.5: 1}, "key 2.5 becomes text"),
    (luigi.ListParameter(), [1, Mode.FAST], "the member's value or name"),
    (luigi.ListParameter(), [np.float32(0.1)], "JSON does not give back"),
    (luigi.ListParameter(), [{1, 2}], r"Write sorted\(value\)"),
    (luigi.ListParameter(), [b"a"], "JSON does not give back"),
    (luigi.ListParameter(), [dt.date(2026, 1, 1)], "JSON does not give back"),
    (luigi.ListParameter(), "abc", r"Write a list, such as list\(value\)"),
    (luigi.ListParameter(), np.arange(3), "Write a list"),
    (luigi.ListParameter(), range(3), "Write a list"),
    (luigi.ListParameter(), {"a": 1}, "Write a list"),
    (luigi.TupleParameter(), [[Level.ONE]], "JSON does not give back"),
    (luigi.IntParameter(), "1", "IntParameter does not take str. Write an int"),
    (luigi.IntParameter(), 1.0, "Write an int"),
    (luigi.IntParameter(), True, "Write an int"),
    (luigi.IntParameter(), Level.ONE, "Write an int"),
    (luigi.OptionalIntParameter(), "1", "Write an int"),
    (luigi.FloatParameter(), "0.5", "Write a float"),
    (luigi.FloatParameter(), np.float32(0.1), r"Write float\(value\)"),
    (luigi.FloatParameter(), decimal.Decimal("0.1"), "Write a float"),
    (luigi.FloatParameter(), False, "Write a float"),
    (luigi.NumericalParameter(var_type=int, min_value=0, max_value=9), "3", "Write an int|Write a number"),
    (luigi.BoolParameter(), 1, "Write True or False"),
    (luigi.BoolParameter(significant=False), "yes", "Write True or False"),
    (luigi.OptionalBoolParameter(), 0, "Write True or False"),
    (text(), 1, "takes text, and int has the text of another value. Write '1', or declare .* luigi.IntParameter"),
    (text(), None, "declare the parameter as a luigi.OptionalParameter"),
    (text(), True, "luigi.BoolParameter"),
    (text(), 0.5, "luigi.FloatParameter"),
    (text(), (1, 2), "luigi.ListParameter"),
    (text(), {"a": 1}, "luigi.DictParameter"),
    (text(), Path("a"), "luigi.PathParameter"),
    (text(), dt.date(2026, 1, 1), "luigi.DateParameter"),
    (text(), b"a", "Write text"),
    (text(), Mode.FAST, r"Write str\(value\)"),
    (text(), Color.RED, "luigi.EnumParameter"),
    (text(), decimal.Decimal("1.0"), "Write '1.0'"),
    (text(), np.arange(3), "Hold a task that makes it"),
    (text(), pd.DataFrame({"a": [1]}), "Hold a task that makes it"),
    (luigi.StrParameter(), 1, "Write '1'"),
    (luigi.OptionalParameter(), 1, "Write '1'"),
    (text(default=None), "None", "Declare the parameter as a luigi.OptionalParameter"),
    (text(default=None), 3, "luigi.IntParameter"),
    (text(default=1), "1", "Declare the parameter as a luigi.IntParameter"),
    (text(default=1), "2", "Declare the parameter as a luigi.IntParameter"),
    (text(default=(1, 2)), "(3, 4)", "Declare the parameter as a luigi.ListParameter"),
    (text(default=(1, 2)), (Color.RED,), "ListParameter"),
    (text(default=1.0), float("nan"), "FloatParameter"),
    (luigi.DateSecondParameter(), TIME.replace(tzinfo=UTC), "has a time zone.*ZonedDateSecondParameter"),
    (luigi.DateHourParameter(start=dt.datetime(2000, 1, 1, tzinfo=UTC)), TIME.replace(tzinfo=TOKYO), "has a time zone"),
    (luigi.DateParameter(), "2026-01-01", "Write a datetime.date"),
    (luigi.DateHourParameter(), "2026-01-01T01", "Write a datetime.datetime"),
    (ZonedDateSecondParameter(), "2026-01-01T00:00:00Z", "Write a datetime.datetime with a time zone"),
    (luigi.EnumParameter(enum=Color), Paint.RED, "Paint is not Color|Write a member of Color"),
    (luigi.EnumParameter(enum=Color), "RED", "Write a member of Color"),
    (luigi.EnumListParameter(enum=Color), [Color.RED, Paint.RED], "Write a member of Color"),
    (luigi.ChoiceParameter(choices=[1, 2], var_type=int), True, "Write 1"),
    (luigi.ChoiceParameter(choices=[1.0, 2.0], var_type=float), 1, "Write 1.0"),
    (luigi.ChoiceListParameter(choices=["a", "b", "a,b"]), ["a,b"], "joined by commas"),
    (luigi.ChoiceListParameter(choices=["", "b"]), [""], "joined by commas"),
    (luigi.DateIntervalParameter(), "2026-01", "Write an interval"),
    (luigi.PathParameter(), 3, "Write a path"),
    (luigi.TaskParameter(), "Sample", "Write a task class"),
    (Rounded(), 0.001, "its text is '0.00', which Rounded reads as 0.0"),
    (Percent(), "40%", "reads as 40"),
    (Percent(), np.arange(3), "cannot read its text"),
    (Words(), ("a b",), "reads as"),
    (YearDay(), dt.date(2026, 3, 1), "reads as"),
]


@pytest.mark.parametrize(("param", "value", "message"), REFUSED, ids=label)
def test_a_value_that_its_text_does_not_give_back_is_refused(param, value, message):
    with pytest.raises(ParameterValueError, match=message) as caught:
        task_of(param)(p=value).make_unique_id()
    assert str(caught.value).startswith("Sample: the value ")
    assert "of the parameter 'p' cannot be used" in str(caught.value)


def has_other_defaults(param):
    """Return whether a parameter takes a default that is no text for itself, as in gokart, or has a default."""
    return type(param) in {luigi.Parameter, luigi.StrParameter} or param._default is not luigi.parameter._no_value


@pytest.mark.parametrize(
    ("param", "value"), [case[:2] for case in REFUSED if not has_other_defaults(case[0])], ids=label
)
def test_the_same_value_as_a_default_is_refused(monkeypatch, param, value):
    monkeypatch.setattr(param, "_default", value)
    with pytest.raises(ValueError, match=r"Sample: .* cannot be used"):
        task_of(param)()


HELD = [
    (luigi.IntParameter(), np.int64(5), 5),
    (luigi.IntParameter(), None, None),
    (luigi.FloatParameter(), np.float64(0.1), 0.1),
    (luigi.FloatParameter(), 1, 1),
    (luigi.FloatParameter(), np.int32(3), 3),
    (luigi.BoolParameter(), np.bool_(True), True),
    (luigi.BoolParameter(), "true", True),
    (luigi.NumericalParameter(var_type=float, min_value=0.0, max_value=9.0), np.float64(2.5), 2.5),
    (text(), np.str_("a"), "a"),
    (luigi.OptionalParameter(), None, None),
    (luigi.OptionalIntParameter(), np.uint8(7), 7),
    (text(default=None), None, None),
    (text(default=None), "3", "3"),
    (text(default=1), 2, 2),
    (text(default=1), "a", "a"),
    (text(default=Path("a")), Path("a"), Path("a")),
    (luigi.ListParameter(), [np.int64(1), [np.float64(0.5)], {"a": np.bool_(False)}], (1, (0.5,), {"a": False})),
    (luigi.ListParameter(), {2, 1}, (1, 2)),
    (luigi.DateParameter(), pd.Timestamp("2026-01-01 07:08"), dt.date(2026, 1, 1)),
    (luigi.DateParameter(), None, None),
    (luigi.DateHourParameter(), dt.datetime(2026, 1, 1, 9, 30), TIME),
    (luigi.DateSecondParameter(), pd.Timestamp("2026-01-01T09:00:00.000000005"), TIME),
    (luigi.TimeDeltaParameter(), pd.Timedelta(hours=2), dt.timedelta(hours=2)),
    (luigi.TimeDeltaParameter(), dt.timedelta(seconds=-1), dt.timedelta(seconds=-1)),
    (ZonedDateSecondParameter(), TIME.replace(tzinfo=ZoneInfo("Asia/Tokyo")), TIME.replace(tzinfo=TOKYO)),
    (luigi.MonthParameter(), dt.date(2026, 1, 31), dt.date(2026, 1, 1)),
    (luigi.EnumParameter(enum=Color), Color.CRIMSON, Color.RED),
    (luigi.EnumParameter(enum=Access), Access.READ | Access.WRITE, Access.READ | Access.WRITE),
    (luigi.EnumListParameter(enum=Color), [Color.BLUE], (Color.BLUE,)),
    (luigi.ChoiceParameter(choices=[1, 2], var_type=int), np.int64(2), 2),
    (luigi.ChoiceListParameter(choices=["a", "b"]), ["b", "a"], ("b", "a")),
    (luigi.DateIntervalParameter(), Month(2026, 1), Month(2026, 1)),
    (luigi.PathParameter(), "a//b/", Path("a/b")),
    (Rounded(), 0.25, 0.25),
    (Percent(), 40, 40),
    (Words(), ["a", "b"], ("a", "b")),
    (OptionalDate(), None, None),
    (OptionalDate(), dt.date(2026, 1, 1), dt.date(2026, 1, 1)),
]


@pytest.mark.filterwarnings("ignore:Parameter .* is not of type string:UserWarning")
@pytest.mark.parametrize(("param", "value", "held"), HELD, ids=label)
def test_what_a_task_holds_is_what_its_text_says(param, value, held):
    task = task_of(param)(p=value)
    assert task.p == held
    assert type(task.p) is type(held) or isinstance(held, tuple)
    assert task is type(task)(p=task.p)
    assert task.make_unique_id() == task_of(param)(p=held).make_unique_id()


DIFFERENT = [
    (ZonedDateSecondParameter(), TIME.replace(tzinfo=UTC), TIME.replace(hour=18, tzinfo=TOKYO)),
    (text(), "caf\u00e9", "cafe\u0301"),
    (luigi.FloatParameter(), 0.0, -0.0),
    (luigi.FloatParameter(), 1, 1.0),
    (luigi.ListParameter(), [1], [True]),
    (luigi.ListParameter(), [1], [1.0]),
    (luigi.ListParameter(), [[1, "a"]], [["1", "a"]]),
    (luigi.ListParameter(), [None], ["null"]),
    (luigi.DictParameter(), {"a": 1, "b": 1}, {"b": 1, "a": 1}),
    (luigi.DictParameter(), {"a": 0.0}, {"a": -0.0}),
    (luigi.OptionalListParameter(), None, []),
    (luigi.OptionalDictParameter(), None, {}),
    (luigi.DateIntervalParameter(), Month(2026, 1), Custom(dt.date(2026, 1, 1), dt.date(2026, 2, 1))),
    (luigi.BoolParameter(), None, False),
    (text(default=decimal.Decimal("1.0")), decimal.Decimal("1.0"), "1.00"),
]


@pytest.mark.filterwarnings("ignore:Parameter .* is not of type string:UserWarning")
@pytest.mark.parametrize(("param", "one", "other"), DIFFERENT, ids=label)
def test_equal_values_of_different_texts_are_two_tasks(param, one, other):
    cls = task_of(param)
    first, second = cls(p=one), cls(p=other)
    assert first is not second
    assert first.make_unique_id() != second.make_unique_id()
    assert pickle.dumps(first.p) != pickle.dumps(second.p)


def test_what_a_value_leaves_out_on_purpose_does_not_count():
    cls = task_of(SerializableParameter(Money))
    assert cls(p=Money(3, "a")).make_unique_id() == cls(p=Money(3, "b")).make_unique_id()


def test_a_parameter_outside_the_id_takes_what_luigi_takes():
    assert task_of(luigi.DictParameter(significant=False))(p={1: "a"}).p == {1: "a"}
    assert task_of(luigi.IntParameter(significant=False))(p="1").p == "1"


def test_two_classes_of_one_name_are_no_value():
    class Named(TaskOnKart[int]):
        pass

    other = type("Named", (TaskOnKart,), {"__module__": "elsewhere"})
    with pytest.raises(ParameterValueError, match=r"two task classes Named\. Give one of them a task_namespace"):
        task_of(luigi.TaskParameter())(p=other)


@pytest.mark.parametrize(("param", "value"), [(luigi.OptionalParameter(), ""), (luigi.DictParameter(), {1: 2})])
def test_a_configured_value_is_checked_in_the_same_way(param, value):
    with pytest.raises(ValueError, match=r"Write None|becomes text"):
        coerce(param, value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KINDS = [
    (text(), st.text()),
    (luigi.OptionalParameter(), st.none() | st.text()),
    (luigi.IntParameter(), st.integers()),
    (luigi.FloatParameter(), st.floats(allow_nan=False) | st.integers(-9, 9)),
    (luigi.OptionalFloatParameter(), st.none() | st.floats(allow_nan=False)),
    (luigi.BoolParameter(), st.booleans()),
    (luigi.ListParameter(), st.lists(JSON, max_size=3)),
    (luigi.OptionalListParameter(), st.none() | st.lists(JSON, max_size=3)),
    (luigi.DictParameter(), st.dictionaries(st.text() | st.integers(0, 3) | st.none(), JSON, max_size=3)),
    (luigi.DateParameter(), st.dates(dt.date(1000, 1, 1))),
    (luigi.DateSecondParameter(), st.datetimes(dt.datetime(1000, 1, 1))),
    (luigi.TimeDeltaParameter(), st.timedeltas()),
    (ZonedDateSecondParameter(), st.datetimes(dt.datetime(1000, 1, 2), timezones=st.sampled_from([UTC, TOKYO]))),
    (luigi.ChoiceListParameter(choices=["a", "b", "a,b", ""]), st.lists(st.sampled_from(["a", "b", "a,b", ""]))),
]


def held(cls, value):
    try:
        return cls(p=value)
    except ParameterValueError:
        return None


def shown(value):
    """Return a value with its types, however deep."""
    if hasattr(value, "items"):
        return ["dict", *((key, shown(item)) for key, item in value.items())]
    return [shown(item) for item in value] if isinstance(value, tuple) else repr(value)


@pytest.mark.parametrize(("param", "values"), KINDS, ids=lambda case: type(case).__name__)
def test_tasks_share_an_id_only_if_they_hold_the_same_value(param, values):
    cls = task_of(param)

    @given(st.lists(values, min_size=2, max_size=4))
    def check(several):
        tasks = [task for task in (held(cls, value) for value in several) if task is not None]
        by_id = {task.make_unique_id(): shown(task.p) for task in tasks}
        assert all(by_id[task.make_unique_id()] == shown(task.p) for task in tasks)
        assert len(by_id) == len({json.dumps(shown(task.p)) for task in tasks})

    check()
