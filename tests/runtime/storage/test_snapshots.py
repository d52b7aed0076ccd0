"""A snapshot is what reading gives, bit for bit, or there is none."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal

from kart_runtime.gokart.file_processor.pandas import FeatherFileProcessorPandas
from kart_runtime.gokart.file_processor.polars import ParquetFileProcessorPolars
from kart_runtime.storage.codecs.frames import Feather, Parquet
from kart_runtime.storage.codecs.pickles import Pickle
from kart_runtime.storage.registry import codec_for
from kart_runtime.storage.snapshots import snapshot
from kart_runtime.storage.target import Target, make_target

LIMIT = 10**9


def taken(target, value, limit=LIMIT):
    """Dump a value; return what a snapshot gives of it, None when there is none."""
    target.dump(value)
    found = snapshot(value, target._codec, target.as_type, limit)
    return None if found is None else found.get()


def assert_same(found, read):
    assert type(found) is type(read)
    if isinstance(read, pd.DataFrame):
        assert_same_pandas(found, read)
    elif isinstance(read, pl.DataFrame):
        assert found.schema == read.schema
        assert found.equals(read)
        for one, other in zip(found, read, strict=True):
            assert not any(one.flags.values())  # polars may mark what it reads, rightly
            assert bits(one) == bits(other)
    elif isinstance(read, np.ndarray):
        assert (found.dtype, found.shape, found.tobytes()) == (read.dtype, read.shape, read.tobytes())
        assert found.strides == read.strides or not read.size
        assert found.flags.writeable is read.flags.writeable
    else:
        assert found == read


def assert_same_pandas(found, read):
    assert_frame_equal(
        found, read, check_exact=True, check_freq=True, check_flags=True, check_index_type=True, check_column_type=True
    )
    for axis in ("index", "columns"):
        one, other = getattr(found, axis), getattr(read, axis)
        assert_index_equal(one, other, exact=True)
        assert (type(one), one.dtype, one.names) == (type(other), other.dtype, other.names)
        assert list(map(type, one)) == list(map(type, other))
    assert found.attrs == read.attrs
    assert list(map(repr, found.dtypes)) == list(map(repr, read.dtypes))
    for name in read.columns:
        assert bits(found[name]) == bits(read[name])
    if isinstance(read.index.dtype, np.dtype) and read.index.dtype.kind != "O":
        assert read.index.to_numpy().tobytes() == found.index.to_numpy().tobytes()


def bits(column):
    """Return what must be the same: bytes of numbers, or values and their types, so that NaN is not None."""
    kind = column.to_numpy().dtype.kind
    return column.to_numpy().tobytes() if kind in "iufbMm" else [(type(one), repr(one)) for one in column.to_list()]


# -- every kind of pandas frame -------------------------------------------------------------------------------------

NAN, NEGATIVE_NAN = np.nan, -np.nan
FLOATS = st.one_of(st.floats(width=16), st.sampled_from([NAN, NEGATIVE_NAN, 0.0, -0.0]))
TIMES = st.sampled_from(["2020-01-01", "1970-01-01T00:00:01", "2099-12-31T23:59:59", "NaT"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


def columns(rows):
    """Return a strategy for the values of a column, of plain types and of any that pandas has."""

    def of(values, make):
        return st.lists(values, min_size=rows, max_size=rows).map(make)

    numbers = [
        of(st.integers(0, 100), lambda values, dtype=dtype: np.array(values, dtype))
        for dtype in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8")
    ]
    floats = [of(FLOATS, lambda values, dtype=dtype: np.array(values, dtype)) for dtype in ("f2", "f4", "f8", ">f8")]
    times = [of(TIMES, lambda values, unit=unit: np.array(values, f"M8[{unit}]")) for unit in ("s", "ms", "us", "ns")]
    others = [
        of(TIMES, lambda values: pd.DatetimeIndex(values).tz_localize("UTC")),
        of(TIMES, lambda values: pd.DatetimeIndex(values).tz_localize("Europe/Berlin")),
        of(st.integers(0, 9), lambda values: np.array(values, "m8[us]")),
        of(st.none() | st.integers(0, 9), lambda values: pd.array(values, "Int64")),
        of(TEXTS, lambda values: pd.Categorical(values)),
        of(st.none() | TEXTS, lambda values: pd.array(values, "string")),
        of(st.none() | TEXTS | st.integers(0, 9), lambda values: pd.Series(values, dtype=object).array),
        of(TEXTS, lambda values: pd.Series(list(map(np.str_, values)), dtype=object).array),
        of(st.booleans(), lambda values: np.array(values, bool)),
    ]
    texts = [of(TEXTS, lambda values: pd.Series(values, dtype="str").array)] * 2
    missing = [of(st.none() | TEXTS, lambda values: pd.Series(values, dtype="str").array)]
    return st.one_of(*numbers, *floats, *times, *others, *texts, *missing)


def is_plain(values):
    """Return whether a column keeps no frame from having a snapshot."""
    kinds = "iubf" if isinstance(values.dtype, np.dtype) and values.dtype.isnative else ""
    return values.dtype == "str" or (values.dtype.kind in kinds and values.dtype != np.float16)


def can_be_index(values):
    return not isinstance(values.dtype, np.dtype) or (values.dtype.isnative and values.dtype != np.float16)


def indexes(rows):
    plain = st.just(pd.RangeIndex(rows))
    return st.one_of(
        plain,
        plain,
        st.just(pd.RangeIndex(1, 2 * rows + 1, 2, name="step")),
        columns(rows).filter(can_be_index).map(lambda values: pd.Index(values)),
        columns(rows).filter(can_be_index).map(lambda values: pd.Index(values, name="named")),
        st.just(pd.Index(range(rows), name=0)),
        st.just(pd.date_range("2020", periods=rows, name="day")),
        st.just(pd.MultiIndex.from_tuples([(one, one) for one in range(rows)], names=["a", "b"])),
    )


NAMES = st.one_of(
    TEXTS,
    st.sampled_from(["a", "None", "index", "__index_level_0__", "__feather_gokart_index__", "step", "level_0"]),
    st.integers(0, 3),
)


@st.composite
def pandas_frames(draw):
    rows, width, plain = draw(st.integers(0, 4)), draw(st.integers(1, 3)), draw(st.booleans())
    names = draw(st.lists(TEXTS if plain else NAMES, min_size=width, max_size=width, unique=plain))
    values = columns(rows).filter(is_plain) if plain else columns(rows)
    frame = pd.concat([pd.Series(draw(values)) for _ in range(width)], axis=1, ignore_index=True)
    frame.columns = names
    if len(frame) == rows:
        frame.index = draw(indexes(rows))
    if plain:
        return frame
    if draw(st.integers(0, 9)) == 0:
        frame.columns.name = "of all"
    if draw(st.integers(0, 9)) == 0:
        frame.attrs["source"] = "here"
    if draw(st.integers(0, 9)) == 0 and frame.columns.is_unique and frame.index.is_unique:
        frame = frame.set_flags(allows_duplicate_labels=False)
    return frame


CODECS = {
    "parquet": Parquet(),
    "parquet as it is": Parquet(compression=None),
    "feather": Feather(),
    "feather without index": Feather(store_index_in_feather=False),
    "feather of pandas": FeatherFileProcessorPandas(),
    "pickle": Pickle(),
}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@settings(max_examples=40, deadline=None)
@given(frame=pandas_frames())
def test_a_snapshot_of_a_pandas_frame_is_what_reading_gives(codec, frame):
    target = Target("x.bin", codec)
    try:
        found = taken(target, frame)
    except Exception:
        return  # the format does not take it
    if found is not None:
        assert_same(found, target.load())


PLAIN = pd.DataFrame(
    {
        "whole": range(5),
        "small": np.arange(5, dtype="u1"),
        "real": [0.5, np.nan, -0.0, np.inf, 3.0],
        "text": ["a", "b", "", "ü", "e"],
        "time": pd.date_range("2020", periods=5, unit="us"),
        "true": [True, False, True, True, False],
    }
)


@pytest.mark.parametrize("codec", [codec for name, codec in CODECS.items() if name != "pickle"])
def test_plain_pandas_frames_have_one(codec):
    target = Target("x.bin", codec)
    found = taken(target, PLAIN)
    assert found is not None
    assert_same(found, target.load())
    found.iloc[0, 0] = 7
    found["real"] = 1


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([3, 1, 3, 2, 5]),
        pd.Index(list("abcde"), name="letter"),
        pd.DatetimeIndex(["2020", "2021", "2020", "2023", "2024"], name="day"),
    ],
    ids=["numbers", "letters", "days"],
)
def test_the_index_of_a_feather_file_comes_back(index):
    target = Target("x.feather")
    frame = PLAIN.set_axis(index, axis=0)
    found = taken(target, frame)
    assert_same(found, target.load())
    assert_index_equal(found.index, index)


def test_missing_numbers_have_the_bits_that_reading_gives():
    target = Target("x.parquet")
    frame = pd.DataFrame({"x": np.array([-np.nan, 1.0])})
    found = taken(target, frame)
    assert found["x"].to_numpy().tobytes() == target.load()["x"].to_numpy().tobytes()
    assert np.signbit(frame["x"].to_numpy()[0])  # the dumped frame is not touched


# -- polars ---------------------------------------------------------------------------------------------------------


@st.composite
def polars_frames(draw):
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))

    def of(values, dtype):
        return st.lists(st.none() | values, min_size=rows, max_size=rows).map(
            lambda found: pl.Series(found, dtype=dtype)
        )

    whole = [of(st.integers(0, 100), dtype) for dtype in (pl.Int8, pl.Int64, pl.UInt8, pl.UInt64, pl.Int128)]
    real = [of(FLOATS, dtype) for dtype in (pl.Float32, pl.Float64)]
    times = [of(st.datetimes(), pl.Datetime(unit)) for unit in ("ms", "us")]
    others = [
        of(st.datetimes(), pl.Datetime("us", "UTC")),
        of(st.dates(), pl.Date),
        of(st.times(), pl.Time),
        of(st.booleans(), pl.Boolean),
        of(TEXTS, pl.String),
        of(TEXTS, pl.Categorical),
        of(st.binary(max_size=2), pl.Binary),
        of(st.lists(st.integers(0, 5), max_size=2), pl.List(pl.Int64)),
    ]
    frame = pl.DataFrame({name: draw(st.one_of(*whole, *real, *times, *others)) for name in names})
    return frame.sort(names[0]) if draw(st.booleans()) else frame


@pytest.mark.parametrize("codec", [Parquet(), ParquetFileProcessorPolars()], ids=["parquet", "parquet of polars"])
@settings(max_examples=40, deadline=None)
@given(frame=polars_frames())
def test_a_snapshot_of_a_polars_frame_is_what_reading_gives(codec, frame):
    target = Target("x.bin", codec, as_type=pl.DataFrame)
    try:
        found = taken(target, frame)
    except (pl.exceptions.PolarsError, OverflowError):
        return  # the format does not take it
    if found is not None:
        assert_same(found, target.load())


def test_plain_polars_frames_have_one_without_the_marks_of_sorted_columns():
    target = Target("x.parquet", as_type=pl.DataFrame)
    frame = pl.from_pandas(PLAIN).sort("whole").with_columns(pl.col("text").set_sorted())
    found = taken(target, frame)
    assert frame["whole"].flags["SORTED_ASC"]
    assert found is not None
    assert_same(found, target.load())


def test_what_is_read_as_another_type_has_none():
    frame, polars = PLAIN, pl.from_pandas(PLAIN)
    assert taken(Target("x.parquet", as_type=pl.DataFrame), frame) is None
    assert taken(Target("x.parquet", as_type=pl.LazyFrame), polars) is None
    assert taken(Target("x.parquet", as_type=pl.LazyFrame), polars.lazy()) is None
    assert taken(Target("x.parquet"), polars) is None
    assert taken(Target("x.feather", as_type=pl.DataFrame), polars) is None  # reading is a copy of memory
    assert taken(Target("x.parquet", ParquetFileProcessorPolars()), polars) is not None


# -- text, bytes, arrays --------------------------------------------------------------------------------------------


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_back(text):
    for suffix in ("pkl", "txt", "gz"):
        target = Target(f"x.{suffix}", as_type=str)
        assert taken(target, text) == target.load() == text


def test_lines_of_text_are_read():
    assert taken(Target("x.txt"), "a\nb") is None
    assert taken(Target("x.txt", as_type=str), ["a", "b"]) is None


def test_bytes_come_back():
    assert taken(Target("x.pkl"), b"abc") == b"abc"
    assert taken(Target("x.png"), b"abc") == b"abc"
    assert taken(Target("x.png"), bytearray(b"abc")) is None


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array([1 + 2j, np.nan]),
        np.array(["2020", "NaT"], "M8[D]"),
        np.array(3.0),
        np.zeros((0, 2)),
    ],
    ids=str,
)
def test_arrays_come_back_from_npz(array):
    target = Target("x.npz")
    found = taken(target, array)
    assert_same(found, target.load())
    assert not np.shares_memory(found, array)


def test_an_array_that_would_be_laid_out_anew_is_read():
    assert taken(Target("x.npz"), np.arange(10)[::2]) is None
    assert taken(Target("x.npz"), np.ma.masked_array([1, 2], [True, False])) is None
    assert taken(Target("x.npz"), np.array(["text"])) is None


# -- what has none --------------------------------------------------------------------------------------------------


class Words(str):
    __slots__ = ()


class Table(pd.DataFrame):
    pass


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, 3, Words("x"), PLAIN, np.arange(3), pl.DataFrame({"a": [1]}), ("a",)],
    ids=lambda one: type(one).__name__,
)
def test_other_values_of_pickles_are_read(value):
    assert taken(Target("x.pkl"), value) is None


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "ndjson"])
def test_formats_that_do_not_keep_types_are_read(suffix):
    assert taken(Target(f"x.{suffix}"), PLAIN.drop(columns="time")) is None


def test_subclasses_of_frames_are_read():
    assert taken(Target("x.parquet"), Table(PLAIN)) is None


def test_a_codec_of_the_users_is_asked_to_read():
    class Shouting(Pickle):
        def load(self, file, as_type=None):
            return super().load(file, as_type).upper()

    class Same(Parquet):
        pass

    assert taken(Target("x.pkl", Shouting()), "quiet") is None
    assert taken(Target("x.parquet", Same()), PLAIN) is None
    assert taken(make_target("x.pkl", processor=Shouting()), "quiet") is None


@pytest.mark.parametrize(
    ("suffix", "value", "as_type"),
    [
        ("pkl", "x" * 5000, None),
        ("parquet", pd.DataFrame({"x": range(1000)}), None),
        ("parquet", pd.DataFrame({"x": ["some text"] * 1000}), None),
        ("parquet", pl.DataFrame({"x": range(1000)}), pl.DataFrame),
        ("npz", np.zeros(1000), None),
    ],
)
def test_what_is_larger_than_the_limit_has_none_and_the_size_is_told(suffix, value, as_type):
    target = Target(f"x.{suffix}", as_type=as_type)
    target.dump(value)
    size = snapshot(value, target._codec, as_type, LIMIT).size
    assert 5000 <= size <= 100_000
    assert snapshot(value, target._codec, as_type, size) is not None
    assert snapshot(value, target._codec, as_type, 4999) is None


def test_every_suffix_has_a_codec_that_can_be_asked():
    for suffix in ("gz", "xml", "jpg", "ini"):
        assert snapshot(gzip, codec_for(f"x.{suffix}"), None, LIMIT) is None
