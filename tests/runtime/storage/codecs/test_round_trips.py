"""Every value comes back as it went or is refused; what csv and text change is in docs/reference/formats.md."""

from __future__ import annotations

import datetime as dt
import math
import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime import make_target
from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.losses import FormatWarning

from . import round_trips

CHANGED_AS_IN_GOKART = {
    ("ndjson", "Series with a name and an index"),
    ("ndjson", "a dict of dicts of whole-number keys"),
}


@pytest.fixture(scope="module")
def tables():
    return round_trips.tables()


def test_nothing_changes_in_silence_but_in_text(tables):
    silent = {
        (suffix, name)
        for rows in tables.values()
        for name, row in rows.items()
        for suffix, result in row.items()
        if result in ("changed", "fails") and suffix not in ("csv", "txt")
    }
    assert silent <= CHANGED_AS_IN_GOKART


def test_the_page_of_the_formats_is_what_they_do(tables):
    written = round_trips.DOCUMENT.read_text(encoding="utf-8").partition(round_trips.MARK)[2].strip()
    assert written == round_trips.page(tables).strip(), "python -m tests.runtime.storage.codecs.round_trips --write"


# -- generated frames ---------------------------------------------------------------------------------------------

texts = st.text(max_size=4) | st.sampled_from(["", "NA", "1", "2026-01-01", 'a"b', "a\rb", "\ufeff", "\x00"])
missing = st.none() | st.just(math.nan) | st.just(pd.NA)
times = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))
scalars = texts | st.integers() | st.floats() | st.booleans() | st.dates() | times | st.binary(max_size=3)
objects = st.one_of(
    *(st.lists(kind | missing, min_size=2, max_size=2) for kind in (texts, st.integers(), st.floats(), st.booleans())),
    *(st.lists(kind | st.none(), min_size=2, max_size=2) for kind in (st.dates(), times, st.binary(max_size=3))),
    st.lists(scalars | missing, min_size=2, max_size=2),
    st.lists(st.lists(st.floats() | st.none(), max_size=3) | st.none(), min_size=2, max_size=2),
    st.lists(st.lists(texts, max_size=2) | st.tuples(st.integers(0, 9)), min_size=2, max_size=2),
    st.lists(st.fixed_dictionaries({"x": st.integers(-9, 9), "y": texts}), min_size=2, max_size=2),
    st.lists(st.dictionaries(texts | st.integers(), st.integers(-9, 9), max_size=2), min_size=2, max_size=2),
)


def _objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return pd.Series(array, dtype=object)


def _numbers(dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = st.floats(width=kind.itemsize * 8)
    else:
        values = st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    return st.lists(values, min_size=2, max_size=2).map(lambda found: pd.Series(np.array(found, dtype=dtype)))


def _times(unit):
    whole = st.integers(-(10**9), 9 * 10**9).map(
        lambda seconds: seconds * {"s": 1, "ms": 10**3, "us": 10**6}.get(unit, 10**9)
    )
    found = st.lists(whole | st.just(-(2**63)), min_size=2, max_size=2)
    plain = found.map(lambda values: pd.Series(np.array(values, dtype="int64").view(f"M8[{unit}]")))
    zone = st.sampled_from(["UTC", "Europe/Berlin", "+05:30"])
    return plain | st.builds(lambda series, name: series.dt.tz_localize("UTC").dt.tz_convert(name), plain, zone)


def _typed(dtype, values):
    return st.lists(values | st.none(), min_size=2, max_size=2).map(lambda found: pd.Series(found, dtype=dtype))


def _category(values):
    return st.builds(
        lambda found, ordered: pd.Series(pd.Categorical(found, ordered=ordered)),
        st.lists(values | st.none(), min_size=2, max_size=2),
        st.booleans(),
    )


columns = st.one_of(
    *map(_numbers, ("int8", "int64", "uint64", "float16", "float32", "float64")),
    *map(_times, ("s", "ms", "us", "ns")),
    _typed("str", texts),
    _typed("string", texts),
    _typed("Int64", st.integers(-(2**63), 2**63 - 1)),
    _typed("boolean", st.booleans()),
    _category(texts),
    _category(st.integers(-9, 9)),
    objects.map(_objects),
)
names = (
    texts
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.none()
    | st.dates()
    | st.tuples(st.text(max_size=1), st.integers(0, 2))
)
indices = st.one_of(
    st.none(),
    st.lists(st.integers(-9, 9), min_size=2, max_size=2).map(pd.Index),
    st.lists(texts, min_size=2, max_size=2).map(pd.Index),
    st.just(pd.date_range("2026-01-01", periods=2, freq="D")),
    st.just(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
)


@st.composite
def frames(draw):
    found = draw(st.lists(columns, max_size=3))
    frame = pd.concat(found, axis=1) if found else pd.DataFrame(index=pd.RangeIndex(2))
    labels = draw(st.lists(names, min_size=len(found), max_size=len(found)))
    frame.columns = pd.Index(labels, dtype=None if labels else object, tupleize_cols=draw(st.booleans()))
    index = draw(indices)
    if index is not None:
        frame.index = index.copy()
    if frame.index.nlevels == 1:
        frame.index.name = draw(st.none() | texts | st.integers(0, 3))
    return frame.iloc[: draw(st.sampled_from([0, 1, 2, 2, 2]))]


@pytest.mark.parametrize("suffix", ["parquet", "feather", "json", "ndjson", "pkl"])
@given(frame=frames())
@settings(max_examples=30, deadline=None)
def test_a_frame_comes_back_or_is_refused(suffix, frame):
    before = frame.copy()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        target = make_target(f"{folder}/x.{suffix}", as_type=pd.DataFrame)
        try:
            target.dump(frame)
        except CannotEncode:
            return
        finally:
            assert round_trips.is_same(before, frame)
        loaded = target.load()
        if not any(issubclass(item.category, FormatWarning) for item in caught):
            assert round_trips.is_same(frame, loaded), (loaded.index, frame.index, loaded.columns, frame.columns)
