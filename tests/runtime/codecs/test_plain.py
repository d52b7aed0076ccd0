"""Values come back as they went in, and what a format cannot hold is refused."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.codecs.plain import Binary, Json, Pickle, Text
from kart_runtime.errors import CannotEncode

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def dumped(codec, value):
    file = io.BytesIO()
    codec.dump(value, file)
    return file.getvalue()


def through(codec, value, as_type=None):
    return codec.load(io.BytesIO(dumped(codec, value)), as_type)


@given(plain)
def test_pickle_gives_values_back(value):
    assert through(Pickle(), value) == value


@given(plain)
def test_json_gives_values_back(value):
    assert through(Json(), value) == value


def test_pickle_takes_what_has_no_name():
    assert through(Pickle(), lambda x: x + 1)(1) == 2


def test_pickle_is_plain_pickle_where_that_will_do():
    assert dumped(Pickle(), {"a": np.arange(3)}) == pickle.dumps({"a": np.arange(3)}, 5)


def test_what_a_script_defines_is_read_by_another(tmp_path):
    script = """
import sys
from kart_runtime.codecs.plain import Pickle
class Local:
    def __init__(self, x): self.x = x
    def double(self): return self.x * 2
with open(sys.argv[1], "wb") as file: Pickle().dump([Local(21)], file)
"""
    path = tmp_path / "x.pkl"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    with path.open("rb") as file:
        assert Pickle().load(file)[0].double() == 42


def test_what_cannot_be_pickled_is_refused_by_name():
    with pytest.raises(CannotEncode, match="generator"):
        dumped(Pickle(), (x for x in []))


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), {"a": float("inf")}])
def test_json_refuses_what_it_could_not_give_back(value):
    with pytest.raises(CannotEncode, match="json"):
        dumped(Json(), value)


def test_json_takes_numbers_of_numpy():
    assert through(Json(), {"accuracy": np.float64(0.5), "n": np.int64(3), "all": np.arange(2)}) == {
        "accuracy": 0.5,
        "n": 3,
        "all": [0, 1],
    }


def test_json_gives_a_frame_to_a_task_that_stores_one():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    pd.testing.assert_frame_equal(through(Json(), frame, pd.DataFrame), frame)


def test_text_gives_lines_and_text_to_a_task_that_stores_text():
    assert through(Text(), ["a", 1, "é"]) == ["a", "1", "é"]
    assert through(Text(), "one\ntwo  \n") == ["one", "two"]
    assert through(Text(), "one\ntwo  \n", str) == "one\ntwo  \n"


def test_bytes_are_bytes():
    assert through(Binary(), b"\x00\xff") == b"\x00\xff"
    with pytest.raises(CannotEncode, match="bytes"):
        dumped(Binary(), "text")
