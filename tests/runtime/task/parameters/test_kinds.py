"""Task-valued parameters are checked, written down and read again."""

from __future__ import annotations

import datetime

import luigi
import pytest

from kart_runtime import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    TaskInstanceParameter,
    TaskOnKart,
    ZonedDateSecondParameter,
    build,
)
from kart_runtime.task.parameters import Override, overriding


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=0)

    def run(self):
        self.dump(self.value)


class Other(TaskOnKart[int]):
    pass


class Holder(TaskOnKart[int]):
    one = TaskInstanceParameter(expected_type=Number)
    many = ListTaskInstanceParameter(expected_elements_type=Number, default=[])

    def run(self):
        self.dump(self.load("one"))


def test_tasks_are_written_down_and_read_again():
    task = Holder(one=Number(value=3), many=[Number(value=4), Number(value=5)])
    again = Holder.from_str_params(task.to_str_params())
    assert again is task


def test_a_long_chain_is_read_again_from_the_workspace():
    class Link(TaskOnKart[int]):
        up = TaskInstanceParameter()

        def run(self):
            self.dump(self.load("up") + 1)

    task = Number(value=0)
    for _ in range(200):
        task = Link(up=task)
    assert build(task) == 200
    again = Link.from_str_params(task.to_str_params(only_significant=True))
    assert again.make_unique_id() == task.make_unique_id()


@pytest.mark.parametrize(
    "arguments", [{"one": Other()}, {"one": 3}, {"one": Number(), "many": [Other()]}, {"one": Number(), "many": ["x"]}]
)
def test_other_tasks_are_refused(arguments):
    with pytest.raises(TypeError, match="Number"):
        Holder(**arguments)


def test_a_default_may_be_a_function_which_is_called_under_the_configuration():
    class Folds(TaskOnKart[int]):
        first = TaskInstanceParameter(Number, default=lambda: Number(value=Number().value + 1))
        folds = ListTaskInstanceParameter(
            Number, default=lambda: [Number(value=fold) for fold in range(Number().value)]
        )

        def run(self):
            self.dump(self.load(self.first) + sum(self.load(list(self.folds))))

    assert Folds().folds == ()
    with overriding({Number: {"value": Override(3, "here")}}):
        assert [task.value for task in Folds().folds] == [0, 1, 2]
        assert build(Folds()) == 4 + 0 + 1 + 2
    assert Folds(folds=[Number(value=7)]).folds == (Number(value=7),)


@pytest.mark.parametrize("kind", [TaskInstanceParameter, ListTaskInstanceParameter])
def test_the_expected_type_is_a_class(kind):
    with pytest.raises(TypeError, match="must be a class"):
        kind("Number")


def test_an_explicit_bool_has_to_be_given():
    class Flagged(TaskOnKart[int]):
        flag = ExplicitBoolParameter()

    with pytest.raises(luigi.parameter.MissingParameterException):
        Flagged()
    assert Flagged(flag=False).flag is False


def test_a_time_without_a_zone_is_told():
    parameter = ZonedDateSecondParameter()
    assert parameter.parse("2026-01-01T00:00:00+09:00").utcoffset() == datetime.timedelta(hours=9)
    with pytest.warns(UserWarning, match="no time zone"):
        parameter.parse("2026-01-01T00:00:00")
