"""Values that are dumped and loaded in every format, and what becomes of them; makes docs/reference/formats.md.

``python -m tests.runtime.storage.codecs.round_trips`` prints the page. Every value comes back the same, or is refused
by `CannotEncode`, or changes; only csv may change values, and a change that is warned about counts as warned.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import math
import sys
import tempfile
import uuid
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import plotly.graph_objects as graph_objects
import polars as pl
import pyarrow as pa
from matplotlib.figure import Figure
from PIL import Image
from polars.testing import assert_frame_equal
from scipy import sparse

from kart_runtime import make_target
from kart_runtime.errors import CannotEncode

Values = dict[str, Callable[[], Any]]


def column(values: Any, dtype: Any = None) -> Callable[[], pd.DataFrame]:
    return lambda: pd.DataFrame({"a": pd.Series(values() if callable(values) else values, dtype=dtype)})


def objects(*values: Any) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return pd.DataFrame({"a": pd.Series(array, dtype=object)})

    return make


def times(unit: str, zone: str | None = None) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        series = pd.Series(np.array(["2026-01-02T03:04:05", "NaT"], dtype=f"M8[{unit}]"))
        return pd.DataFrame({"a": series if zone is None else series.dt.tz_localize(zone)})

    return make


def labelled(columns: Any = None, index: Any = None) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        frame = pd.DataFrame(np.arange(4.5, 8.5).reshape(2, 2), columns=["a", "b"])
        if columns is not None:
            frame.columns = columns() if callable(columns) else columns
        if index is not None:
            frame.index = index() if callable(index) else index
        return frame

    return make


def with_attrs(attrs: Any) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        frame = pd.DataFrame({"a": [1, 2]})
        frame.attrs = attrs
        return frame

    return make


BIG = 2**70
PANDAS: Values = {
    "whole numbers": column([1, -(2**63), 2**63 - 1]),
    "small whole numbers (int8, uint8, int32)": lambda: pd.DataFrame(
        {"a": np.array([1, 2], "int8"), "b": np.array([0, 255], "uint8"), "c": np.array([1, 2], "int32")}
    ),
    "uint64 above 2^63": column([2**64 - 1, 0], "uint64"),
    "whole numbers above 64 bit (objects)": objects(BIG, -BIG),
    "floats of 17 digits, -0.0, subnormal": column([0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, 1.23456789e-12]),
    "whole floats": column([1.0, 2.0]),
    "floats with NaN": column([1.5, math.nan]),
    "floats with inf": column([1.5, math.inf, -math.inf]),
    "float32": column([0.1, 2.5], "float32"),
    "float16": column([0.5, 2.5], "float16"),
    "complex": column([1 + 2j]),
    "booleans": column([True, False]),
    "text": column(["a", "é", 'with, "both"\nand \\']),
    "text with None": column(["a", None]),
    "text that looks like a number or date": column(["01", "2026-01-01", "1e5"]),
    "text that looks like nothing (empty, NA, null)": column(["", "NA", "null"]),
    "text with a lone carriage return": column(["a\rb", "c\r\nd", "\r"]),
    "text with NUL and BOM": column(["\ufeffa", "b\0c", "\u2028"]),
    "text with a lone surrogate (objects)": objects("\ud800", "a"),
    "text as objects": objects("a", "b", None),
    "objects: text with None, NaN and NA": objects("a", None, math.nan, pd.NA),
    "objects: whole numbers with None": objects(1, None, 3),
    "objects: floats with None": objects(1.5, None),
    "objects: booleans with None": objects(True, None),
    "objects: numbers and text": objects(1, "a", 2.5),
    "objects: whole numbers and floats": objects(1, 2.5),
    "objects: numbers and booleans": objects(1, True),
    "objects: None only": objects(None, None),
    "objects: bytes": objects(b"a", b"\x00\xff"),
    "objects: Decimal": objects(decimal.Decimal("1.10"), decimal.Decimal("-2.25")),
    "objects: dates": objects(dt.date(2026, 1, 2), dt.date(1, 1, 1)),
    "objects: times of day": objects(dt.time(1, 2, 3, 4)),
    "objects: datetimes": objects(dt.datetime(2026, 1, 2, 3, 4, 5, 6), None),
    "objects: Timestamps of nanoseconds": objects(pd.Timestamp("2026-01-02 03:04:05.123456789"), pd.NaT),
    "objects: lists of numbers": objects([1, 2], None, []),
    "objects: lists with NaN and None": objects([1.5, math.nan], [None]),
    "objects: lists of lists of text": objects([["a"], []], [["b", "c"]]),
    "objects: tuples": objects((1, 2), (3,)),
    "objects: sets": objects({1}, {2}),
    "objects: dicts of one shape": objects({"a": 1, "b": [1]}, {"a": 2, "b": []}),
    "objects: dicts of several shapes": objects({"a": 1}, {"b": 2}),
    "objects: arrays": objects(np.array([1, 2]), np.array([3])),
    "objects: numpy scalars": objects(np.float32(0.1), np.float32(2)),
    "objects: UUIDs": objects(uuid.UUID(int=5)),
    "category of text, ordered, one unused": lambda: pd.DataFrame(
        {"a": pd.Categorical(["a", None, "b"], categories=["z", "b", "a"], ordered=True)}
    ),
    "category of numbers": lambda: pd.DataFrame({"a": pd.Categorical([3, 1], categories=[3, 2, 1])}),
    "category of intervals (pd.cut)": lambda: pd.DataFrame({"a": pd.cut([1, 5, 9], [0, 4, 8, 12])}),
    "category of times": lambda: pd.DataFrame({"a": pd.Categorical(pd.to_datetime(["2026-01-01", "2026-01-02"]))}),
    "datetimes of seconds": times("s"),
    "datetimes of milliseconds": times("ms"),
    "datetimes of nanoseconds": column(lambda: np.array(["2026-01-02T03:04:05.123456789", "NaT"], "M8[ns]")),
    "datetimes before 1677": column(lambda: np.array(["0001-01-01", "9999-12-31"], "M8[us]")),
    "datetimes in UTC": times("us", "UTC"),
    "datetimes with a zone, of seconds": times("s", "Europe/Berlin"),
    "datetimes with an offset": times("ns", "+02:00"),
    "time deltas": column(lambda: np.array([1, -5, "NaT"], "m8[ns]")),
    "time deltas of seconds": column(lambda: np.array([1, 100_000], "m8[s]")),
    "periods": column(lambda: pd.period_range("2026-01", periods=2, freq="M")),
    "intervals": column(lambda: pd.interval_range(0, 2, closed="left")),
    "Int64 with NA": column([1, None, 2**62 + 1], "Int64"),
    "boolean with NA": column([True, None], "boolean"),
    "Float64 with NA": column([0.1, None], "Float64"),
    "string with NA": column(["a", None], "string"),
    "string[python]": column(["a", None], "string[python]"),
    "string[pyarrow] of Arrow": column(["a", None], pd.ArrowDtype(__import__("pyarrow").string())),
    "int64[pyarrow]": column([1, None], "int64[pyarrow]"),
    "sparse": column(lambda: pd.arrays.SparseArray([0, 0, 1])),
    "two columns of one name": labelled(["a", "a"]),
    "column names: numbers": labelled([0, 1]),
    "column names: numbers of a range": labelled(lambda: pd.RangeIndex(2)),
    "column names: numbers and text": labelled([0, "a"]),
    "column names: 1 and '1'": labelled([1, "1"]),
    "column names: floats": labelled([0.5, 1.5]),
    "column names: dates": labelled(lambda: pd.date_range("2026-01-01", periods=2)),
    "column names: dates (objects)": labelled([dt.date(2026, 1, 1), dt.date(2026, 1, 2)]),
    "column names: two levels": labelled(lambda: pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])),
    "column names: a category": labelled(lambda: pd.CategoricalIndex(["a", "b"])),
    "column names: None": labelled([None, "a"]),
    "a name of the columns": labelled(lambda: pd.Index(["a", "b"], name="kind")),
    "index: text": labelled(index=["x", "y"]),
    "index: named": labelled(index=lambda: pd.Index([3, 1], name="key")),
    "index: named by a number": labelled(index=lambda: pd.Index([3, 1], name=0)),
    "index: named like a column": labelled(index=lambda: pd.Index([3, 1], name="a")),
    "index: other row numbers": labelled(index=[5, 2]),
    "index: a range from 1": labelled(index=lambda: pd.RangeIndex(1, 3)),
    "index: days": labelled(index=lambda: pd.date_range("2026-01-01", periods=2)),
    "index: zoned times": labelled(index=lambda: pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin")),
    "index: two levels": labelled(index=lambda: pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])),
    "index: twice the same": labelled(index=["x", "x"]),
    "index: objects of several types": labelled(index=lambda: pd.Index([1, "a"], dtype=object)),
    "index: intervals": labelled(index=lambda: pd.interval_range(0, 2)),
    "index: a category": labelled(index=lambda: pd.CategoricalIndex(["x", "y"], ordered=True)),
    "numbers and dates as column and index": labelled([0, 1], lambda: pd.date_range("2026-01-01", periods=2, name="t")),
    "no rows": lambda: pd.DataFrame({"a": pd.Series(dtype="int64"), "b": pd.Series(dtype="str")}),
    "no columns": lambda: pd.DataFrame(index=pd.RangeIndex(3)),
    "no rows and columns": lambda: pd.DataFrame(),
    "attrs": with_attrs({"unit": "m", "n": [1, 2]}),
    "attrs that are no JSON": with_attrs({1: {2}}),
    "column names like dates and ids of pandas": lambda: pd.DataFrame(
        {"date": [1, 2], "created_at": ["1", "2"], "index": [0, 1], "modified": [1.0, 2.0]}
    ),
    "100,000 rows, of which the last differs": column(lambda: ["1"] * 99_999 + ["x"]),
}

SERIES: Values = {
    "Series of floats": lambda: pd.Series([0.1 + 0.2, math.nan, 1.0]),
    "Series with a name and an index": lambda: pd.Series([1, 2], index=["x", "y"], name="n"),
    "Series of times": lambda: pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02"]), name="t"),
}


def polars(*values: Any, dtype: Any = None) -> Callable[[], pl.DataFrame]:
    return lambda: pl.DataFrame({"a": pl.Series(list(values), dtype=dtype)})


POLARS: Values = {
    "whole numbers": polars(1, -(2**63), 2**63 - 1),
    "small whole numbers": polars(1, 255, dtype=pl.UInt8),
    "uint64 above 2^63": polars(2**64 - 1, dtype=pl.UInt64),
    "Int128": polars(2**100, dtype=pl.Int128),
    "floats of 17 digits": polars(0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308),
    "whole floats": polars(1.0, 2.0),
    "floats with NaN and null": polars(1.5, math.nan, None),
    "floats with inf": polars(1.5, math.inf, -math.inf),
    "float32": polars(0.1, 2.5, dtype=pl.Float32),
    "booleans with null": polars(True, None),
    "text": polars("a", "é", 'with, "both"\nand \\'),
    "text with empty and null": polars("", None, "a"),
    "text that looks like a number or date": polars("01", "02"),
    "text that is a date": polars("2026-01-01", "2026-01-02"),
    "text with a lone carriage return": polars("a\rb", "c\r\nd", "\r"),
    "text with NUL and BOM": polars("\ufeffa", "b\0c", "\u2028"),
    "bytes": polars(b"a", b"\x00\xff"),
    "dates": polars(dt.date(2026, 1, 2), None),
    "times of day": polars(dt.time(1, 2, 3, 4)),
    "datetimes": polars(dt.datetime(2026, 1, 2, 3, 4, 5, 6), None),
    "datetimes of milliseconds": polars(dt.datetime(2026, 1, 2), dtype=pl.Datetime("ms")),
    "datetimes of nanoseconds": polars(1_767_323_045_123_456_789, dtype=pl.Datetime("ns")),
    "datetimes with a zone": polars(dt.datetime(2026, 1, 2), dtype=pl.Datetime("us", "Europe/Berlin")),
    "durations": polars(dt.timedelta(microseconds=1), dt.timedelta(days=-2)),
    "durations of nanoseconds": polars(5, dtype=pl.Duration("ns")),
    "Decimal": polars(decimal.Decimal("1.10"), dtype=pl.Decimal(10, 2)),
    "Categorical": polars("a", "b", "a", dtype=pl.Categorical),
    "Enum": polars("a", "b", dtype=pl.Enum(["b", "a", "z"])),
    "lists": polars([1, 2], None, []),
    "lists of text": polars(["a"], [None]),
    "arrays": polars([1, 2], dtype=pl.Array(pl.Int64, 2)),
    "structs": polars({"x": 1, "y": ["a"]}, {"x": None, "y": []}),
    "structs with dates": polars({"d": dt.date(2026, 1, 2)}),
    "null only": polars(None, None),
    "200 nulls, then text": polars(*[None] * 200, "x"),
    "200 whole numbers as text, then a word": polars(*["1"] * 200, "x"),
    "200 nulls, then a list": polars(*[None] * 200, [1, 2]),
    "200 whole numbers as text, then a float": polars(*["1"] * 200, "1.5"),
    "200 whole numbers, then a float": polars(*[1.0] * 200, 1.5),
    "no rows": lambda: pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}),
    "no columns": lambda: pl.DataFrame(),
    "one column of null and text": polars(None, "x"),
    "LazyFrame": lambda: pl.LazyFrame({"a": [1, 2], "b": ["x", None]}),
}


class Color(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")

PLAIN: Values = {
    "numbers, text, None": lambda: [1, 0.1 + 0.2, "é", None, True, -0.0, 5e-324],
    "whole numbers above 64 bit": lambda: [BIG],
    "NaN and inf": lambda: [math.nan, math.inf],
    "a text": lambda: "one\ntwo  \n",
    "a text with a carriage return": lambda: "one\r\ntwo",
    "a list of text": lambda: ["a", "b"],
    "a list of text with line ends": lambda: ["a\nb", "c  "],
    "a dict of text keys": lambda: {"a": [1, {"b": 2}]},
    "a dict of whole-number keys": lambda: {1: 2.5, 2: 3.5},
    "a dict of dicts of whole-number keys": lambda: {"a": {1: 2}, "b": {3: 4}},
    "a dict of 1 and '1'": lambda: {1: "a", "1": "b"},
    "a dict of None and True as keys": lambda: {None: 1, True: 2},
    "a dict of tuples as keys": lambda: {(1, 2): 3},
    "tuples": lambda: (1, (2, 3)),
    "a named tuple": lambda: Point(1, 2),
    "sets": lambda: {1, 2},
    "bytes": lambda: b"a\x00",
    "datetimes": lambda: [dt.datetime(2026, 1, 2)],
    "Decimal": lambda: [decimal.Decimal("1.10")],
    "complex": lambda: [1j],
    "numpy scalars": lambda: [np.int64(1)],
    "an enumeration of numbers": lambda: [Color.RED],
    "a subclass of str": lambda: [Word("a")],
    "an ordered dict": lambda: OrderedDict(a=1),
    "a counter": lambda: Counter("aab"),
    "text with a lone surrogate": lambda: ["\ud800"],
}

ARRAYS: Values = {
    "floats with NaN and inf": lambda: np.array([[1.5, math.nan], [math.inf, -0.0]]),
    "float32, Fortran order": lambda: np.asfortranarray(np.ones((2, 3), "float32")),
    "big-endian": lambda: np.array([1, 2], ">i4"),
    "complex": lambda: np.array([1j]),
    "text": lambda: np.array(["a", "é"]),
    "bytes": lambda: np.array([b"a", b"b"]),
    "times": lambda: np.array(["2026-01-01", "NaT"], "M8[s]"),
    "structured": lambda: np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "structured, aligned": lambda: np.array([(1, 2.5)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "a record array": lambda: np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "of no dimension": lambda: np.array(5),
    "empty": lambda: np.zeros((0, 3)),
    "masked": lambda: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], fill_value=7),
    "a matrix": lambda: np.matrix([[1, 2]]),
    "objects": lambda: np.array([{}, None], dtype=object),
    "a dict of arrays": lambda: {"file": np.arange(2), "b": np.ones(1)},
    "a list": lambda: [1, 2],
    "a numpy scalar": lambda: np.float64(1.5),
}


def declared(as_type: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function whose value a task declares to be of a type."""

    def made() -> Any:
        return make()

    made.declared = as_type  # type: ignore[attr-defined]
    return made


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    day: dt.date
    shape: tuple[int, ...] = ()


@dataclasses.dataclass
class Plan:
    color: Shade
    steps: list[Step]
    folder: Path
    at: dt.datetime | None = None
    weights: dict[int, float] = dataclasses.field(default_factory=dict)


class Shade(enum.Enum):
    DARK = "dark"


class Score(TypedDict):
    day: dt.date
    auc: float


STEP = Step("a", dt.date(2026, 1, 2), (1, 2))
TYPED: Values = {
    "a dataclass": declared(Step, lambda: STEP),
    "a dataclass of dataclasses, an Enum, a Path, a dict": declared(
        Plan, lambda: Plan(Shade.DARK, [STEP], Path("a/b"), dt.datetime(2026, 1, 2, 3), {1: 0.5})
    ),
    "a list of dataclasses": declared(list[Step], lambda: [STEP, STEP]),
    "a dict of dataclasses": declared(dict[str, Step], lambda: {"a": STEP}),
    "a dataclass that is not declared": declared(None, lambda: STEP),
    "a dataclass in a declared dict": declared(dict, lambda: {"a": STEP}),
    "a TypedDict with a date": declared(Score, lambda: {"day": dt.date(2026, 1, 2), "auc": 0.5}),
    "dates in a dict": declared(dict, lambda: {"day": dt.date(2026, 1, 2), "at": dt.datetime(2026, 1, 2, 3)}),
    "times with a zone": declared(dict, lambda: {"at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}),
    "times of day, time deltas": declared(dict, lambda: {"at": dt.time(1, 2), "for": dt.timedelta(days=1, seconds=2)}),
    "time deltas, declared": declared(dict[str, dt.timedelta], lambda: {"for": dt.timedelta(microseconds=3)}),
    "paths in a dict": declared(dict, lambda: {"path": Path("a/b")}),
    "an Enum": declared(dict[str, Shade], lambda: {"a": Shade.DARK}),
    "an Enum that is not declared": declared(dict, lambda: {"a": Shade.DARK}),
    "a tuple": declared(dict[str, tuple[int, str]], lambda: {"a": (1, "b")}),
    "a set": declared(dict[str, set[str]], lambda: {"a": {"b", "c"}}),
    "dates as keys": declared(dict[dt.date, float], lambda: {dt.date(2026, 1, 2): 0.5}),
    "NaN and inf in a declared dict": declared(dict[str, float], lambda: {"a": math.nan, "b": -math.inf}),
    "None": declared(dict, lambda: {"a": None}),
}

TABLES: Values = {
    "a pyarrow Table": lambda: pa.table({"a": [1, None], "b": ["x", "y"]}),
    "with a dictionary and lists": lambda: pa.table({"a": pa.array(["x"]).dictionary_encode(), "b": [[1, 2]]}),
    "with times of seconds": lambda: pa.table({"a": pa.array([1], pa.timestamp("s"))}),
    "that is not declared": declared(None, lambda: pa.table({"a": [1]})),
}

MANY_ARRAYS: Values = {
    "a dict of arrays": lambda: {"file": np.arange(2), "b": np.ones(1)},
    "a dict with the names of one array": lambda: {"data": np.arange(2)},
    "a dict with a masked array": lambda: {"a": np.ma.masked_array([1], mask=[1])},
    "a sparse matrix (csr)": lambda: sparse.csr_matrix([[0, 1.5], [2, 0]]),
    "a sparse array (coo)": lambda: sparse.coo_array([[0, 1], [2, 0]]),
    "a sparse matrix (lil)": lambda: sparse.lil_matrix([[0, 1]]),
}


def figure() -> Any:
    made = Figure()
    made.subplots().plot([1, 2])
    return made


FIGURES: Values = {
    "a matplotlib Figure": figure,
    "a matplotlib Figure, not declared": declared(None, figure),
}
PLOTLY: Values = {
    "a plotly Figure": lambda: graph_objects.Figure(graph_objects.Scatter(x=[1, 2], y=[3, 4])),
    "a plotly Figure, not declared": declared(None, lambda: graph_objects.Figure()),
}
IMAGES: Values = {
    "a Pillow image": declared(Image.Image, lambda: Image.new("RGB", (2, 2), "red")),
    "a Pillow image, not declared": declared(None, lambda: Image.new("RGB", (2, 2), "red")),
}
SHEETS: Values = {
    "a DataFrame": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, None]}),
    "a dict of DataFrames": declared(
        dict[str, pd.DataFrame], lambda: {"one": pd.DataFrame({"a": [1]}), "two": pd.DataFrame({"b": ["x"]})}
    ),
    "a dict of one DataFrame, not declared": declared(None, lambda: {"one": pd.DataFrame({"a": [1]})}),
    "whole floats": lambda: pd.DataFrame({"a": [1.0, 2.0]}),
    "days": lambda: pd.DataFrame({"a": pd.to_datetime(["2026-01-01"])}),
    "a polars DataFrame": lambda: pl.DataFrame({"a": [1, 2]}),
    "a list": lambda: [1],
}

FRAME_FORMATS = ("pkl", "parquet", "feather", "arrow", "orc", "json", "ndjson", "csv")
SECTIONS: tuple[tuple[str, Values, tuple[str, ...]], ...] = (
    ("pandas DataFrames", PANDAS, FRAME_FORMATS),
    ("pandas Series", SERIES, FRAME_FORMATS),
    ("polars frames", POLARS, FRAME_FORMATS),
    ("pyarrow tables", TABLES, ("pkl", "parquet", "feather", "arrow", "orc")),
    ("Excel workbooks", SHEETS, ("xlsx",)),
    ("plain values", PLAIN, ("pkl", "json", "ndjson", "yaml", "toml", "txt")),
    ("dataclasses, dates and other values of Python", TYPED, ("pkl", "json", "yaml", "toml")),
    ("numpy arrays", ARRAYS, ("pkl", "npy", "npz")),
    ("several arrays, sparse matrices", MANY_ARRAYS, ("pkl", "npz")),
    ("matplotlib figures", FIGURES, ("png", "jpg", "svg", "pdf", "html")),
    ("plotly figures", PLOTLY, ("html", "json")),
    ("images", IMAGES, ("png", "jpg")),
)


# -- what becomes of a value --------------------------------------------------------------------------------------


UNKNOWN = object()
LIBRARIES = ("pandas", "polars", "builtins", "pyarrow", "matplotlib", "plotly")


def outcome(value: Any, suffix: str, folder: str, as_type: Any = UNKNOWN) -> str:
    """Return "same", "refused", "warned", "changed" or "fails" of a value that is dumped and loaded."""
    if as_type is UNKNOWN:
        as_type = type(value) if type(value).__module__.partition(".")[0] in LIBRARIES else None
        if isinstance(value, dict | list | tuple) and suffix in ("json", "ndjson", "yaml", "toml"):
            as_type = dict if isinstance(value, dict) else list
    target = make_target(f"{folder}/x.{suffix}", as_type=as_type)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            target.dump(value)
        except CannotEncode:
            return "refused"
        except BaseException:
            return "fails"
        try:
            read = target.load()
        except BaseException:
            return "fails"
    if is_same(value, read):
        return "same"
    return "warned" if any(issubclass(item.category, UserWarning) for item in caught) else "changed"


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal with their types, labels and kinds of missing values."""
    if type(one) is not type(other):
        return isinstance(one, np.generic) and one == other and not isinstance(one, np.ndarray)
    if isinstance(one, pd.DataFrame | pd.Series):
        return _same_pandas(one, other)
    if isinstance(one, pl.LazyFrame):
        one, other = one.collect(), other.collect()
    if isinstance(one, pl.DataFrame):
        return _same_polars(one, other)
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if isinstance(one, pa.Table | Image.Image) or sparse.issparse(one):
        return _same_of_library(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(
            is_same(a, b) for a, b in zip((*one, *one.values()), (*other, *other.values()), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one is other or one == other)


def _same_of_library(one: Any, other: Any) -> bool:
    if isinstance(one, pa.Table):
        return bool(one.schema == other.schema and one.equals(other))
    if isinstance(one, Image.Image):
        return one.tobytes() == other.tobytes()
    return bool(one.dtype == other.dtype and one.format == other.format and (one != other).nnz == 0)


def _same_pandas(one: Any, other: Any) -> bool:
    try:
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(_without_objects(other), _without_objects(one), check_exact=True)
            if list(one.dtypes) != list(other.dtypes):
                return False
        else:
            pd.testing.assert_series_equal(other, one, check_exact=True)
    except (AssertionError, TypeError, ValueError):
        return False
    labels = (one.index, other.index), (one.columns, other.columns) if isinstance(one, pd.DataFrame) else ((), ())
    if not all(_same_objects(list(a), list(b)) for a, b in labels):
        return False
    if one.index.names != other.index.names or one.attrs != other.attrs:
        return False
    if isinstance(one, pd.Series):
        return _same_objects(one.tolist(), other.tolist())
    return all(
        _same_objects(one.iloc[:, at].tolist(), other.iloc[:, at].tolist())
        for at in range(one.shape[1])
        if one.dtypes.iloc[at].kind in "fO"
    )


def _without_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its objects as text, because pandas cannot compare lists."""
    changed = frame.copy()
    for at, dtype in enumerate(frame.dtypes):
        if dtype == object:  # noqa: E721 - a dtype
            changed.isetitem(at, frame.iloc[:, at].map(repr))
    return changed


def _same_objects(one: list[Any], other: list[Any]) -> bool:
    return all(
        type(a) is type(b) and ((isinstance(a, np.ndarray) and _same_array(a, b)) or repr(a) == repr(b))
        for a, b in zip(one, other, strict=True)
    )


def _same_polars(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    try:
        assert_frame_equal(one, other, check_exact=True)
    except AssertionError:
        return False
    return str(one.to_dicts()) == str(other.to_dicts())


def _same_array(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape or repr(one) != repr(other):
        return False
    return True if not isinstance(one, np.ma.MaskedArray) else one.fill_value == other.fill_value


# -- the page -----------------------------------------------------------------------------------------------------


def tables() -> dict[str, dict[str, dict[str, str]]]:
    """Return the outcome of every value in every format, by section."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of matrices
        return {
            title: {
                name: {
                    suffix: outcome(make(), suffix, folder, getattr(make, "declared", UNKNOWN)) for suffix in formats
                }
                for name, make in values.items()
            }
            for title, values, formats in SECTIONS
        }


def figures(found: dict[str, dict[str, dict[str, str]]]) -> dict[str, Counter[str]]:
    """Return the number of values by format and outcome."""
    counts: dict[str, Counter[str]] = {}
    for rows in found.values():
        for row in rows.values():
            for suffix, result in row.items():
                counts.setdefault(suffix, Counter())[result] += 1
    return counts


def page(found: dict[str, dict[str, dict[str, str]]]) -> str:
    """Return the tables as Markdown."""
    counts, words = figures(found), ("same", "refused", "warned", "changed", "fails")
    used = [word for word in words if any(count[word] for count in counts.values())]
    lines = [f"| format | {' | '.join(used)} |", f"|---|{'---:|' * len(used)}"]
    lines += [f"| .{name} | {' | '.join(str(count[word]) for word in used)} |" for name, count in counts.items()]
    total = sum(counts.values(), Counter())
    lines += [f"| all | {' | '.join(str(total[word]) for word in used)} |"]
    for title, _, formats in SECTIONS:
        lines += [
            "",
            f"## {title[0].upper()}{title[1:]}",
            "",
            f"| value | {' | '.join(f'.{name}' for name in formats)} |",
        ]
        lines += [f"|---|{'---|' * len(formats)}"]
        lines += [f"| {name.replace('|', '/')} | {' | '.join(row.values())} |" for name, row in found[title].items()]
    return "\n".join(lines) + "\n"


DOCUMENT = (
    Path(__file__).resolve().parents[min(4, len(Path(__file__).resolve().parents) - 1)]
    / "docs"
    / "reference"
    / "formats.md"
)
MARK = "<!-- made by tests/runtime/storage/codecs/round_trips.py -->\n"

if __name__ == "__main__":
    made = page(tables())
    if "--write" in sys.argv:
        head = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
        DOCUMENT.write_text(head + MARK + "\n" + made, encoding="utf-8")
    else:
        print(made)
