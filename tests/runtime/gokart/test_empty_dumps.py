"""A test run takes each task once and stores nothing; frames are compared whatever their order."""

from __future__ import annotations

from pathlib import Path

import luigi
import pandas as pd
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.gokart.empty_dumps import check_tasks
from kart_runtime.gokart.testing.pandas_assert import assert_frame_contents_equal


def count():
    with Path("runs").open("a") as file:
        file.write("x")


class Source(TaskOnKart[pd.DataFrame]):
    def run(self):
        count()
        self.dump(pd.DataFrame({"a": []}))


class Left(TaskOnKart[pd.DataFrame]):
    task_namespace = "sides"

    def requires(self):
        return Source()

    def run(self):
        count()
        self.dump(self.load())


class Right(Left):
    def run(self):
        count()
        target = yield Source()
        self.dump(target.load())


class Top(TaskOnKart[int]):
    strict = luigi.BoolParameter(default=False)

    def requires(self):
        return {"left": Left(), "right": Right()}

    def run(self):
        count()
        if self.strict and self.load("left").empty and Path("strict").exists():
            raise ValueError("no rows")
        self.dump(len(self.load("right")))


def stored():
    return {path: path.stat().st_mtime_ns for path in Path("resources").rglob("*.*")}


def test_each_task_runs_once_and_nothing_is_stored():
    build(Top())
    before, ran = stored(), len(Path("runs").read_text())
    checks = check_tasks(Top())
    assert [type(check.task).__name__ for check in checks] == ["Top", "Left", "Right", "Source"]
    assert all(check.ok for check in checks)
    assert len(Path("runs").read_text()) == ran + 4
    assert stored() == before
    assert "dump" not in vars(Top())


def test_only_one_namespace():
    build(Top())
    assert [type(check.task).__name__ for check in check_tasks(Top(), "sides")] == ["Left", "Right"]


def test_what_a_task_raises_is_its_result():
    build(Top(strict=True))
    Path("strict").touch()
    failed = [check for check in check_tasks(Top(strict=True)) if not check.ok]
    assert [str(check.error) for check in failed] == ["no rows"]
    assert failed[0].format().startswith("status=NG; namespace=")
    assert "no rows" in failed[0].format()


def test_the_order_of_rows_and_columns_does_not_count():
    one = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=["x", "y"])
    assert_frame_contents_equal(one, one.loc[["y", "x"], ["b", "a"]])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (pd.DataFrame({"a": [1, 2], "c": [3, 4]}), "columns: only in actual: 'b'; only in expected: 'c'"),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=[0, 2]), "index: only in actual: 1; only in expected: 2"),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=[0, 0]), "the index of expected is not unique"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "the columns of expected are not unique"),
        (pd.DataFrame({"a": [1, 2], "b": [3, 5]}), "values are different"),
        ([1], "expected is a list, not a DataFrame"),
    ],
)
def test_frames_that_differ(other, message):
    with pytest.raises(AssertionError, match=message):
        assert_frame_contents_equal(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), other)


def test_options_are_those_of_pandas():
    one, other = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})
    with pytest.raises(AssertionError, match="dtype"):
        assert_frame_contents_equal(one, other)
    assert_frame_contents_equal(one, other, check_dtype=False)
