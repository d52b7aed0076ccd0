"""JSON gives plain values back to tasks that declare them, and frames as gokart does to those that do not."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.json_values import Json, JsonLines
from kart_runtime.storage.codecs.losses import FormatWarning

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "é"]})


def dumped(codec, value):
    file = io.BytesIO()
    codec.dump(value, file)
    return file.getvalue()


def through(codec, value, as_type=None):
    return codec.load(io.BytesIO(dumped(codec, value)), as_type)


@given(plain)
def test_a_declared_value_comes_back(value):
    assert through(Json(), value, type(value)) == value


@given(st.lists(plain))
def test_lines_give_a_declared_list_back(value):
    assert through(JsonLines(), value, list) == value


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), {"a": float("inf")}, [float("nan")]])
def test_json_refuses_what_it_could_not_give_back(value):
    with pytest.raises(CannotEncode, match="json"):
        dumped(Json(), value)


def test_json_takes_numbers_of_numpy():
    assert through(Json(), {"accuracy": np.float64(0.5), "n": np.int64(3), "all": np.arange(2)}, dict) == {
        "accuracy": 0.5,
        "n": 3,
        "all": [0, 1],
    }


@pytest.mark.parametrize("orient", [None, "split", "records", "index", "table", "columns"])
def test_a_frame_comes_back_in_every_orient(orient):
    pd.testing.assert_frame_equal(
        through(Json(orient), FRAME, pd.DataFrame), FRAME, check_dtype=orient != "table", check_index_type=False
    )


def test_a_series_comes_back():
    series = pd.Series([1, 2], index=["a", "b"])
    pd.testing.assert_series_equal(through(Json(), series, pd.Series), series)
    assert through(Json(), series) == {"a": 1, "b": 2}
    pd.testing.assert_series_equal(through(JsonLines(), series, pd.Series), series.reset_index(drop=True))


@pytest.mark.parametrize(
    "value",
    [
        {"A": [1, 2, 3], "B": [4, 5, 6]},
        {"A": {"x": 1, "y": 2}},
        {"A": [1, 2], "b": 3},
        {},
        {"A": [1.5, float("nan")]},
        {"A": pd.Series([1, 2], index=["x", "y"])},
    ],
)
@pytest.mark.parametrize("orient", [None, "records"])
def test_a_dict_is_a_frame_to_who_declares_nothing(value, orient):
    expected = pd.DataFrame.from_dict(value)
    read = through(Json(orient), value)
    pd.testing.assert_frame_equal(read, expected.reset_index(drop=True) if orient else expected)


@pytest.mark.parametrize("value", [{"accuracy": 0.5}, {"a": [1], "b": [1, 2]}, {"a": None}, 1, "text", None, True])
def test_what_is_no_frame_is_plain_to_who_declares_nothing(value):
    assert through(Json(), value) == value


def test_plain_values_load_no_pandas():
    code = (
        "import io, sys; from kart_runtime.storage.codecs.json_values import Json;"
        "assert Json().load(io.BytesIO(b'{\"a\": 1}')) == {'a': 1}; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pandas_values_are_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert Json().load(io.BytesIO(b'{"a": [1]}')) == {"a": [1]}


@pytest.mark.parametrize("codec", [Json(), JsonLines()])
@pytest.mark.parametrize("as_type", [None, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_an_empty_file_is_an_empty_frame(codec, as_type):
    read = codec.load(io.BytesIO(b""), as_type)
    assert isinstance(read, as_type or pd.DataFrame)
    assert (read.collect() if as_type is pl.LazyFrame else read).shape == (0, 0)


def test_lines_are_lines():
    assert dumped(JsonLines(), {"A": [1, 2], "B": [3, 4]}) == b'{"A":1,"B":3}\n{"A":2,"B":4}\n'
    assert [json.loads(line) for line in dumped(JsonLines(), [{"a": 1}, {"a": 2}]).splitlines()] == [{"a": 1}, {"a": 2}]
    with pytest.raises(CannotEncode, match="frame"):
        dumped(JsonLines(), {"a": 1})


def test_the_option_wins_over_the_declaration():
    assert isinstance(through(Json(dataframe_type="pandas"), FRAME, dict), pd.DataFrame)
    polars = pl.DataFrame({"a": [1, 2]})
    assert through(Json(dataframe_type="polars"), polars).equals(polars)


@pytest.mark.parametrize("value", [{1: [2], 3: []}, {"a": {1: 2}}, [{1: {2: 3}}], {1: {"a": {5: None}}}])
def test_whole_numbers_as_keys_come_back(value):
    assert through(Json(), value, type(value)) == value
    assert json.loads(dumped(Json(), value))  # and other readers take the file


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, {None: 1}, {True: 1}, (1, 2), [(1,)], {"a": {2: 1, "b": 1}}])
def test_keys_and_tuples_that_json_would_change_are_refused(value):
    with pytest.raises(CannotEncode, match="json"):
        dumped(Json(), value)


def test_a_subclass_that_comes_back_plain_is_warned_about():
    with pytest.warns(FormatWarning, match="OrderedDict"):
        dumped(Json(), OrderedDict(a=1))


@pytest.mark.parametrize("codec", [Json(), JsonLines()])
def test_other_readers_see_the_frame_only(codec):
    written = io.BytesIO(dumped(codec, pd.DataFrame({"a": [1, 2], "b": [0.1 + 0.2, None]})))
    plain = pd.read_json(written, orient=codec.orient, lines=codec.orient == "records")
    pd.testing.assert_frame_equal(plain, pd.DataFrame({"a": [1, 2], "b": [0.3, None]}))


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_note_that_is_cut_off_is_an_error(cut):
    with pytest.raises(ValueError, match="note"):
        Json().load(io.BytesIO(dumped(Json(), FRAME)[:-cut]), pd.DataFrame)
