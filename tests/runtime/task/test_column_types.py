"""Types of columns by namespace, with gokart's answers, and what is an empty frame."""

from __future__ import annotations

import datetime as dt
import numbers
import pickle
import subprocess
import sys

import luigi
import numpy as np
import pandas as pd
import polars as pl
import pytest
from luigi import task_register

from kart_runtime.errors import TaskError
from kart_runtime.task.column_types import (
    PandasTypeConfig,
    PandasTypeConfigMap,
    PandasTypeError,
    check_types,
    is_empty_frame,
)

COLUMNS = {
    "int64": pd.Series([1, 2]),
    "uint8": pd.Series([1], dtype="uint8"),
    "float64": pd.Series([1.0, None]),
    "float32": pd.Series([1.0], dtype="float32"),
    "complex": pd.Series([1j]),
    "bool": pd.Series([True]),
    "datetime": pd.Series(pd.to_datetime(["2020-01-01"])),
    "missing datetime": pd.Series(pd.to_datetime(["2020-01-01", None])),
    "only missing datetimes": pd.Series([pd.NaT, pd.NaT]),
    "zoned": pd.Series(pd.to_datetime(["2020-01-01"])).dt.tz_localize("UTC"),
    "timedelta": pd.Series(pd.to_timedelta([1, None], unit="s")),
    "text": pd.Series(["a"], dtype="str"),
    "missing text": pd.Series([None, "a"], dtype="str"),
    "string": pd.Series(["a", None], dtype="string"),
    "object of one type": pd.Series(["a", "b"], dtype=object),
    "object": pd.Series([1, 1.0, None, "a"], dtype=object),
    "dates": pd.Series([dt.datetime(2020, 1, 1), dt.date(2020, 1, 1)], dtype=object),
    "arrays": pd.Series([np.array([1]), [1]]),
    "Int64": pd.Series([1, 2], dtype="Int64"),
    "missing Int64": pd.Series([1, None], dtype="Int64"),
    "boolean": pd.Series([True], dtype="boolean"),
    "category": pd.Series(["a", "b", "a"], dtype="category"),
    "missing category": pd.Series([1, None], dtype="category"),
    "mixed category": pd.Series([1, "a"], dtype=object).astype("category"),
    "period": pd.Series(pd.period_range("2020", periods=2, freq="D")),
    "interval": pd.Series(pd.interval_range(0, 2)),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 1])),
    "arrow": pd.Series([1, None], dtype="int64[pyarrow]"),
    "empty": pd.Series([], dtype=object),
    "empty int64": pd.Series([], dtype="int64"),
}
KINDS = [
    int,
    float,
    str,
    bool,
    object,
    type(None),
    dt.datetime,
    dt.date,
    pd.Timestamp,
    dt.timedelta,
    np.int64,
    np.bool_,
]
KINDS += [(int, float), int | str, numbers.Number, np.ndarray, list, pd.Period, type(pd.NA), type(pd.NaT), complex]


def config(types, namespace="shop", name="Types"):
    body = {"task_namespace": namespace, "type_dict": classmethod(lambda cls: types)}
    return type(name, (PandasTypeConfig,), body)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_answer_is_that_of_going_through_the_column(name, kind):
    frame = pd.DataFrame({"x": COLUMNS[name]})
    wrong = [(str(label), value) for label, value in frame["x"].items() if not isinstance(value, kind)]
    checks = config({"x": kind, "absent": int})
    if not wrong:
        checks.check(frame)
        return
    with pytest.raises(PandasTypeError) as caught:
        checks.check(frame)
    assert [label for label, _ in caught.value.rows] == [label for label, _ in wrong][:5]
    assert len(caught.value.found) == len({type(value) for _, value in wrong})


def test_the_error_names_the_facts_and_survives_pickle():
    frame = pd.DataFrame({"sold": ["1"] * 6 + [2.5]}, index=list("abcdefg"), dtype=object)
    config({"sold": int})
    with pytest.raises(PandasTypeError) as caught:
        check_types("shop", frame, "shop.Sales(day=1)")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.task, error.column, error.expected, error.found) == (
        "shop.Sales(day=1)",
        "sold",
        "int",
        ("str", "float"),
    )
    assert error.rows == tuple((label, "'1'") for label in "abcde")
    assert "shop.Sales(day=1): column 'sold' should hold int, but holds str, float at row a: '1'" in str(error)
    assert isinstance(error, TaskError)


def test_each_of_several_columns_of_one_name_is_checked():
    frame = pd.DataFrame([[1, "a"]], columns=["x", "x"])
    with pytest.raises(PandasTypeError, match="holds str"):
        config({"x": int}).check(frame)
    config({"x": (int, str)}).check(frame)


def test_only_the_namespace_of_the_task_is_checked():
    config({"x": int}, "shop")
    bad = pd.DataFrame({"x": ["1"]})
    check_types("other", bad, "t")
    check_types("shop", {"x": ["1"]}, "t")
    check_types("shop", pl.DataFrame({"x": ["1"]}), "t")
    with pytest.raises(PandasTypeError):
        check_types("shop", bad, "t")


def test_without_a_namespace_the_tasks_without_one_are_checked():
    class Types(PandasTypeConfig):
        @classmethod
        def type_dict(cls):
            return {"x": int}

    with pytest.raises(PandasTypeError):
        check_types(luigi.Task.task_namespace, pd.DataFrame({"x": ["1"]}), "t")
    check_types("shop", pd.DataFrame({"x": ["1"]}), "t")


def test_a_class_that_is_added_later_counts_and_one_that_is_gone_does_not():
    frame = pd.DataFrame({"x": ["1"], "y": [1]})
    config({"y": int})
    check_types("shop", frame, "t")
    registered = list(task_register.Register._reg)
    config({"x": int}, name="More")
    with pytest.raises(PandasTypeError):
        check_types("shop", frame, "t")
    task_register.Register._reg[:] = registered
    check_types("shop", frame, "t")


def test_a_class_that_is_defined_again_replaces_the_first():
    config({"x": int})
    config({"x": str})
    check_types("shop", pd.DataFrame({"x": ["1"]}), "t")


def test_a_class_that_refines_another_counts_instead_of_it():
    base = config({"x": int})
    type("Refined", (base,), {"type_dict": classmethod(lambda cls: {"x": str})})
    check_types("shop", pd.DataFrame({"x": ["1"]}), "t")


def test_a_check_of_the_users_own_is_called():
    class Own(PandasTypeConfig):
        task_namespace = "shop"

        @classmethod
        def type_dict(cls):
            return {}

        @classmethod
        def check(cls, df):
            raise PandasTypeError("x", "anything", ["nothing"], [("0", "1")])

    with pytest.raises(PandasTypeError, match=r"^t: column 'x'"):
        PandasTypeConfigMap().check(3, "shop")
        check_types("shop", pd.DataFrame({"x": [1]}), "t")


@pytest.mark.parametrize(
    ("value", "empty"),
    [
        (pd.DataFrame(), True),
        (pd.DataFrame({"a": []}), True),
        (pd.DataFrame({"a": [1]}), False),
        (pd.Series([], dtype=int), False),
        (type("Frame", (pd.DataFrame,), {})(), True),
        (pl.DataFrame({"a": []}), True),
        (pl.DataFrame({"a": [1]}), False),
        (pl.LazyFrame({"a": [1, 2]}).filter(pl.col("a") > 2), True),
        (pl.LazyFrame({"a": [1, 2]}).filter(pl.col("a") > 1), False),
        ([], False),
        (None, False),
    ],
)
def test_an_empty_frame_is_one_without_rows(value, empty):
    assert is_empty_frame(value) is empty


def test_no_library_is_loaded_to_look():
    code = (
        "import sys; from kart_runtime.task import column_types as f\n"
        "import kart_runtime.task.schemas as s\n"
        "class C(f.PandasTypeConfig):\n"
        "    task_namespace = 'n'\n"
        "    type_dict = classmethod(lambda cls: {'x': int})\n"
        "f.check_types('n', 3, 't'); f.is_empty_frame([]); s.check_schema('t', None, 3, 'dump')\n"
        "print({'pandas', 'polars', 'numpy', 'pandera'} & set(sys.modules))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
