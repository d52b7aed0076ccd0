"""Csv written by pyarrow has the bytes that pandas writes, whatever is in the frame; so it reads back equal too."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.storage.codecs.csv_writer import FEW, can_write
from kart_runtime.storage.codecs.frames import Csv, Tsv

ROWS = 2_400
TIME_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EDGES = [
    0.0,
    -0.0,
    1e15,
    1e16,
    1e-4,
    1e-5,
    999999999999999.9,
    5977587022847.288,
    np.inf,
    -np.inf,
    np.nan,
    5e-324,
    2.0**63,
]

characters = st.sampled_from(list("a7,;\"\n\t |é😀\r\0'"))
words = st.text(characters, max_size=4) | st.sampled_from(["NA", "nan", "", " x ", "1", "True", "1e5"])
objects = words | st.none() | st.integers() | st.floats() | st.booleans() | st.binary(max_size=2) | st.lists(words)


def same(frame, sep=","):
    file = io.BytesIO()
    Csv(sep).dump(frame, file)
    if "\r" not in frame.to_csv(index=False, sep=sep, lineterminator="\n"):
        assert file.getvalue() == frame.to_csv(index=False, sep=sep).encode()
    else:  # which pandas leaves without quotes, so that it ends a row
        quoted = frame.to_csv(index=False, sep=sep, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").encode()
        pd.testing.assert_frame_equal(*(pd.read_csv(io.BytesIO(text), sep=sep) for text in (file.getvalue(), quoted)))


def repeated(values, dtype=None):
    return pd.Series([values[number % len(values)] for number in range(ROWS)], dtype=dtype)


@given(st.lists(st.floats(), min_size=1), st.lists(st.floats(width=32), min_size=1))
@settings(max_examples=60, deadline=None)
def test_floats(wide, narrow):
    same(pd.DataFrame({"a": repeated(wide, "float64"), "b": repeated(narrow, "float32")}))


@pytest.mark.parametrize("seed", [0, 1])
def test_floats_of_all_bits_and_sizes(seed):
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**64, 20_000, dtype=np.uint64).view("float64")
    sizes = random.normal(size=20_000) * 10.0 ** random.integers(-320, 300, 20_000)
    edges = np.resize([*EDGES, *np.nextafter(EDGES[:7], 0), *np.nextafter(EDGES[:7], 1e300)], 20_000)
    narrow = random.integers(0, 2**32, 20_000, dtype=np.uint32).view("float32")
    same(pd.DataFrame({"bits": bits, "sizes": sizes, "edges": edges, "narrow": narrow}))


@given(st.lists(words | st.none(), min_size=1), st.sampled_from(",;\t|"))
@settings(max_examples=60, deadline=None)
def test_text(values, sep):
    object_column, category = repeated(values, object), repeated(values).astype("category")
    columns = {"a": object_column, "b": object_column.astype("str"), "c": category, "d": object_column.astype("string")}
    same(pd.DataFrame(columns), sep)
    same(object_column.to_frame("alone"), sep)


@given(st.lists(objects, min_size=1))
@settings(max_examples=60, deadline=None)
def test_objects_of_any_kind(values):
    same(pd.DataFrame({"a": repeated(values, object), "b": repeated([1.5, 2.0])}))
    same(pd.DataFrame({"a": repeated(values, object)}))


@given(st.sampled_from(sorted(TIME_UNITS)), st.lists(st.none() | st.integers(-(10**9), 10**10), min_size=1), st.data())
@settings(max_examples=60, deadline=None)
def test_times(unit, seconds, data):
    parts = TIME_UNITS[unit]
    grain = data.draw(st.sampled_from(sorted({1, min(parts, 1000), parts, parts * 60, parts * 86_400})))
    fraction = data.draw(st.integers(0, parts))
    lowest, highest = -(2**63) + 1, 2**63 - 1
    given_ = [None if second is None else (second * parts + fraction) // grain * grain for second in seconds]
    times = [-(2**63) if time is None else min(max(time, lowest), highest) for time in given_]
    column = pd.Series(np.resize(np.array(times, "int64"), ROWS).view(f"datetime64[{unit}]"))
    same(pd.DataFrame({"a": column, "utc": column.dt.tz_localize("UTC")}))


def test_times_whose_years_have_not_four_digits():
    for year in ("0999-12-31", "1000-01-01", "9999-12-31", "12000-01-01"):
        same(pd.DataFrame({"a": np.full(ROWS, np.datetime64(year, "s")), "b": 1}))


def test_the_format_of_times_changes_where_it_does_in_pandas():
    days = np.arange(120_000) * 86_400
    days[70_000] += 1
    same(pd.DataFrame({"a": days.view("datetime64[s]"), "b": np.arange(120_000).view("datetime64[us]"), "c": 0.5}))


OTHERS = {
    "whole": pd.DataFrame(
        {kind: np.resize([np.iinfo(kind).min, np.iinfo(kind).max], ROWS) for kind in ("int8", "uint64")}
    ),
    "truth": pd.DataFrame({"a": repeated([True, False]), "b": repeated([True, None], "boolean")}),
    "nullable": pd.DataFrame({"a": repeated([1, None], "Int64"), "b": repeated([1.5, None], "Float64")}),
    "categories": pd.DataFrame(
        {
            "whole": repeated([1, None, 3]).astype("Int64").astype("category"),
            "real": repeated([1.5, None, 1e-7]).astype("category"),
            "truth": repeated([True, False]).astype("category"),
            "times": pd.Categorical(np.resize(np.array(["2026-01-01", "2026-01-01T01"], "datetime64[s]"), ROWS)),
            "none": pd.Categorical.from_codes([-1] * ROWS, []),
        }
    ),
    "rare": pd.DataFrame(
        {
            "tokyo": repeated(list(pd.date_range("2026-01-01", periods=3, tz="Asia/Tokyo"))),
            "lengths": pd.to_timedelta(np.arange(ROWS), unit="s"),
            "period": pd.period_range("2020", periods=ROWS, freq="D"),
            "complex": np.arange(ROWS) * 1j,
            "half": np.arange(ROWS).astype("float16"),
            "swapped": np.arange(ROWS, dtype=">i8"),
            "arrow": pd.array(repeated(["x,", None]), dtype=pd.ArrowDtype(pa.string())),
        }
    ),
    "named twice": pd.DataFrame(np.ones((ROWS, 2)), columns=["a", "a"]),
    "odd names": pd.DataFrame(np.ones((ROWS, 3)), columns=['q"', None, 1]),
    "parts": pd.concat([pd.DataFrame({"s": ["a", "b"] * ROWS}), pd.DataFrame({"s": ["c,", "d"] * ROWS})]).iloc[3::2],
    "long": pd.DataFrame({"a": repeated([["x" * 200_000], 1], object)}).head(20),
}


@pytest.mark.parametrize("frame", OTHERS.values(), ids=OTHERS)
def test_other_columns(frame):
    same(frame)


def test_what_is_taken():
    frame = pd.DataFrame(np.ones((FEW, 1)), columns=["a"])
    assert can_write(frame, ",", "UTF-8")
    assert not can_write(frame.head(5), ",", "utf-8")  # small
    assert not can_write(pd.DataFrame(np.ones((3, 9_000))), ",", "utf-8")  # wide
    assert not can_write(frame, ".", "utf-8")
    assert not can_write(frame, ",", "cp932")
    assert not can_write(pd.DataFrame(np.ones((FEW, 1)), columns=pd.MultiIndex.from_tuples([(1, 2)])), ",", "utf-8")
    assert not can_write(frame.iloc[:, :0], ",", "utf-8")


def test_the_types_of_all_columns_decide():
    words = pd.DataFrame({"a": repeated(["x", "y"]).astype("category"), "b": repeated(["x", None], "string")})
    times = pd.DataFrame({"a": pd.date_range("2026", periods=ROWS, tz="UTC"), "b": repeated([1, None], "Int64")})
    for frame in (words, times, *(OTHERS[name] for name in ("whole", "truth", "named twice", "odd names", "parts"))):
        assert can_write(frame, ",", "utf-8")
    for name in ("nullable", "categories", "rare"):
        assert not can_write(OTHERS[name], ",", "utf-8")


def test_a_frame_that_writes_itself_is_asked():
    class Own(pd.DataFrame):
        def to_csv(self, *args, **options):
            raise NotImplementedError

    assert not can_write(Own(np.ones((FEW, 1))), ",", "utf-8")


@pytest.mark.parametrize("name", [None, "x"])
@pytest.mark.parametrize("codec", [Csv(), Tsv()])
def test_the_codec_writes_series_and_reads_files_of_its_own(name, codec, tmp_path):
    series = repeated([0.1, np.nan, -0.0, 3.0]).rename(name)
    with (tmp_path / "x").open("wb") as file:
        codec.dump(series, file)
    assert (tmp_path / "x").read_text() == series.to_csv(index=False, sep=codec.sep)
    with (tmp_path / "x").open("rb") as file:
        read = codec.load(file)
    pd.testing.assert_frame_equal(read, pd.read_csv(tmp_path / "x", sep=codec.sep), check_exact=True)


def test_a_large_file_is_read_as_pandas_reads_it(tmp_path):
    frame = pd.concat([OTHERS["truth"], OTHERS["whole"], repeated(["a", "NA", 'q"', "é"]).rename("t")], axis=1)
    frame = pd.concat([frame] * 100)
    with (tmp_path / "x").open("wb") as file:
        Csv().dump(frame, file)
    with (tmp_path / "x").open("rb") as file:
        read = Csv().load(file)
    with (tmp_path / "x").open("rb") as file:
        pd.testing.assert_frame_equal(read, pd.read_csv(file), check_exact=True)
