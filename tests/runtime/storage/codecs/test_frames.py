"""DataFrames come back with their values, types and, in feather, their index."""

from __future__ import annotations

import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime import TaskOnKart
from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet, Tsv
from kart_runtime.storage.codecs.losses import FormatWarning
from kart_runtime.storage.target import Target

FRAME = pd.DataFrame(
    {
        "whole": [1, 2, 3],
        "real": [0.1, -1e300, np.nan],
        "text": ["a", 'with, "both"\nand é', "z"],
        "flag": [True, False, True],
    }
)


def through(codec, value):
    file = io.BytesIO()
    codec.dump(value, file)
    file.seek(0)
    return codec.load(file)


@pytest.mark.parametrize("codec", [Csv(), Tsv(), Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
def test_a_frame_comes_back(codec):
    pd.testing.assert_frame_equal(through(codec, FRAME), FRAME)


@pytest.mark.parametrize("codec", [Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
def test_types_that_text_cannot_hold_come_back(codec):
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2026-01-01", None]).tz_localize("UTC"),
            "kind": pd.Categorical(["a", "b"]),
            "small": np.array([1, 2], dtype="int8"),
        }
    )
    pd.testing.assert_frame_equal(through(codec, frame), frame)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["x", "y", "z"], name="name"),
        pd.Index([3, 1, 2]),
        pd.date_range("2026-01-01", periods=3, name="day", freq=None, unit="ns").delete([]),
    ],
    ids=["named", "unnamed", "dates"],
)
def test_feather_keeps_the_index(index):
    frame = FRAME.set_axis(index, axis=0)
    pd.testing.assert_frame_equal(through(Feather(), frame), frame, check_freq=False)


def test_feather_leaves_the_frame_as_it_was():
    frame = FRAME.set_axis(pd.Index([3, 1, 2], name="i"), axis=0)
    before = frame.copy()
    through(Feather(), frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", ["None"])
def test_feather_refuses_an_index_that_would_come_back_otherwise(name):
    with pytest.raises(CannotEncode, match="None"):
        through(Feather(), FRAME.rename_axis(name))


@pytest.mark.parametrize("codec", [Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
def test_a_local_file_is_read_as_one_in_memory(codec, tmp_path):
    (tmp_path / "date=2026").mkdir()  # the folder's name must not become a column
    path = tmp_path / "date=2026" / "x"
    frame = FRAME.set_axis(pd.RangeIndex(3), axis=0)
    with path.open("wb") as file:
        codec.dump(frame, file)
    with path.open("rb") as file:
        read = codec.load(file)
        assert not file.closed
    path.write_bytes(b"")
    pd.testing.assert_frame_equal(read, frame)
    pd.testing.assert_frame_equal(read, through(codec, frame))


def test_feather_refuses_several_index_levels():
    with pytest.raises(CannotEncode, match="levels"):
        through(Feather(), FRAME.set_index(["whole", "text"]))


@pytest.mark.parametrize("codec", [Csv(), Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
def test_an_empty_frame_comes_back(codec):
    empty = FRAME.iloc[:0]
    assert list(through(codec, empty).columns) == list(FRAME.columns)


def test_an_empty_csv_file_is_an_empty_frame():
    assert Csv().load(io.BytesIO(b"")).empty


@pytest.mark.parametrize("codec", [Csv(), Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
def test_other_values_are_refused(codec):
    with pytest.raises(CannotEncode, match=r"pandas DataFrame.* dict"):
        codec.dump({"a": 1}, io.BytesIO())


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9), min_size=1),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_whole_and_real_numbers_survive_every_format(whole, data):
    real = data.draw(st.lists(st.floats(allow_nan=False), min_size=len(whole), max_size=len(whole)))
    frame = pd.DataFrame({"whole": whole, "real": real}, dtype=object).astype({"whole": "int64", "real": "float64"})
    for codec in (Parquet(), Feather()):
        pd.testing.assert_frame_equal(through(codec, frame), frame, check_exact=True)
    pd.testing.assert_frame_equal(through(Csv(), frame), frame, rtol=1e-12)


def _feather(frame):
    target = Target("rows.feather")
    target.dump(frame)
    return pd.read_feather("rows.feather"), target.load()


def test_feather_stores_no_index_that_reading_gives_anyway():
    stored, loaded = _feather(pd.DataFrame({"a": [1, 2]}))
    assert list(stored.columns) == ["a"]
    assert loaded.index.identical(pd.RangeIndex(2))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(1, 3)),
        pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(2, name="row")),
        pd.DataFrame({"a": [1, 2], "__feather_gokart_index__own": [3, 4]}),
        pd.DataFrame(index=pd.RangeIndex(3)),
    ],
    ids=["another start", "a name", "a column with the reserved beginning", "no columns"],
)
def test_feather_stores_every_other_index(frame):
    stored, loaded = _feather(frame)
    assert any(name == f"__feather_gokart_index__{frame.index.name}" for name in stored.columns)
    assert loaded.index.equals(frame.index)
    assert (loaded.index.name, list(loaded.columns)) == (frame.index.name, list(frame.columns))


def test_a_dropped_index_is_warned_about_with_the_task_and_the_remedy():
    class Scores(TaskOnKart):
        def output(self):
            return self.make_target("scores.parquet")

    with pytest.warns(FormatWarning, match=r"Scores: parquet .*index 'key'.*reset_index\(\)"):
        Scores().dump(FRAME.rename_axis("key"))


@pytest.mark.parametrize("codec", [Parquet(), Feather()], ids=lambda codec: type(codec).__name__)
@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 10, 25, 2, fold=1),
        dt.time(2, tzinfo=dt.UTC),
        [dt.time(2, fold=1)],
        {"at": dt.time(2, tzinfo=dt.UTC)},
    ],
)
def test_times_that_arrow_would_change_are_refused(codec, value):
    with pytest.raises(CannotEncode, match=r"column .when. with .* a time zone or fold"):
        through(codec, pd.DataFrame({"when": pd.Series([value], dtype=object)}))


def test_a_refused_column_is_named():
    with pytest.raises(CannotEncode, match=r"column 'mixed' with values of several types \(int, str\)"):
        through(Parquet(), pd.DataFrame({"mixed": pd.Series([1, "a"], dtype=object)}))


def test_pandas_alone_reads_the_values():
    frame = pd.DataFrame({0: pd.Series([[1], [2, 3]]), 1: [1.5, 2.5]})
    file = io.BytesIO()
    Parquet().dump(frame, file)
    read = pd.read_parquet(file)
    assert [list(cell) for cell in read[0]] == [[1], [2, 3]]
    assert list(read[1]) == [1.5, 2.5]
