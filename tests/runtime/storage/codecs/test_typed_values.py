"""Dataclasses, dates and other values come back from documents as declared, or are refused with the place inside."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import io
import json
import math
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime import TaskOnKart, build, make_target
from kart_runtime.errors import CannotEncode, ObjectCorrupt
from kart_runtime.storage.codecs.losses import FormatWarning, declared
from kart_runtime.storage.registry import codec_for

from .round_trips import is_same


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Point(NamedTuple):
    x: int
    at: dt.date


@dataclasses.dataclass(frozen=True)
class Inner:
    day: dt.date
    shape: tuple[int, ...] = ()
    names: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Config:
    name: str
    color: Color
    inner: list[Inner]
    path: Path
    score: float
    weights: dict[int, float]
    by_name: dict[str, Inner | None]
    wait: dt.timedelta
    at: dt.datetime | None
    point: Point
    price: decimal.Decimal
    same: int = dataclasses.field(init=False, default=3)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
inner = st.builds(
    Inner, st.dates(), st.lists(st.integers(-9, 9), max_size=3).map(tuple), st.sets(st.text("abc", max_size=2))
)
configs = st.builds(
    Config,
    texts,
    st.sampled_from(Color),
    st.lists(inner, max_size=2),
    st.text("ab/", min_size=1, max_size=5).map(Path),
    st.floats(),
    st.dictionaries(st.integers(-9, 9), st.floats(allow_nan=False), max_size=2),
    st.dictionaries(texts, st.none() | inner, max_size=2),
    st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
    st.none() | st.datetimes(dt.datetime(1000, 1, 1), timezones=st.none() | st.just(dt.UTC)),
    st.builds(Point, st.integers(), st.dates()),
    st.decimals(allow_nan=False),
)


def through(suffix, value, as_type):
    codec, file = codec_for(f"x.{suffix}"), io.BytesIO()
    token = declared.set(as_type)
    try:
        codec.dump(value, file)
    finally:
        declared.reset(token)
    return codec.load(io.BytesIO(file.getvalue()), as_type)


def fields(value):
    return repr(value) if not isinstance(value, Config) else {**dataclasses.asdict(value), "score": repr(value.score)}


@pytest.mark.parametrize("suffix", ["json", "yaml", "json.gz"])
@given(config=configs)
@settings(max_examples=25, deadline=None)
def test_a_declared_dataclass_comes_back(suffix, config):
    read = through(suffix, config, Config)
    assert type(read) is Config
    assert fields(read) == fields(config)


@given(configs=st.lists(configs, max_size=3))
@settings(max_examples=10, deadline=None)
def test_lines_of_dataclasses_come_back(configs):
    assert list(map(fields, through("jsonl", configs, list[Config]))) == list(map(fields, configs))


single = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dates() | st.datetimes() | st.times()
) | (st.timedeltas() | st.decimals(allow_nan=False) | st.uuids() | st.text("ab/", min_size=1).map(Path))
anything = st.recursive(single, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
@given(value=st.dictionaries(texts, anything, max_size=3))
@settings(max_examples=40, deadline=None)
def test_a_declared_dict_comes_back_or_is_refused(suffix, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read = through(suffix, value, dict)
        except (CannotEncode, FormatWarning):
            return
    assert is_same(value, read)


def test_dates_come_back_to_who_declares_nothing():
    value = {"trained": dt.datetime(2026, 1, 2, 3), "auc": 0.5, "path": Path("a/b")}
    assert through("json", value, None) == value
    assert through("json", [dt.date(2026, 1, 2)] * 2, None) == [dt.date(2026, 1, 2)] * 2


def test_other_readers_see_plain_json():
    file = io.BytesIO()
    codec_for("x.json").dump({"at": dt.datetime(2026, 1, 2), "n": 1}, file)
    assert json.loads(file.getvalue()) == {"at": "2026-01-02T00:00:00", "n": 1}


@dataclasses.dataclass
class Wrong:
    items: tuple = ()
    anything: object = None


@pytest.mark.parametrize(
    ("value", "as_type", "message"),
    [
        (Wrong(), None, "a Wrong, which comes back as a dict .declare its type"),
        ([{"a": Wrong()}], list, "0: a: a Wrong, which comes back as a dict"),
        (Wrong(anything={1, 2}), Wrong, "anything: a set, which comes back as a list"),
        (Wrong(anything=object()), Wrong, "a object inside the value"),
        ({"a": Color.RED}, dict, "a: a Color, which comes back as a str"),
    ],
)
def test_what_the_declaration_does_not_rebuild_is_refused_with_its_place(value, as_type, message):
    with pytest.raises(CannotEncode, match=message):
        through("json", value, as_type)


def test_a_field_that_is_new_takes_its_default_and_one_that_is_gone_is_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"day": "2026-01-02"}')
    assert make_target(str(path), as_type=Inner).load() == Inner(dt.date(2026, 1, 2))
    path.write_text('{"day": "2026-01-02", "size": 3}')
    with pytest.raises(ObjectCorrupt, match="holds size, which Inner has not"):
        make_target(str(path), as_type=Inner).load()


def test_nan_is_null_in_the_file_and_comes_back(tmp_path):
    target = make_target(f"{tmp_path}/x.json", as_type=dict[str, float])
    target.dump({"a": math.nan, "b": 1.0})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": 1.0}
    assert math.isnan(target.load()["a"])


class Trained(TaskOnKart[Config]):
    suffix = ".json"

    def run(self):
        at = dt.datetime(2026, 1, 2)
        point, price = Point(1, at.date()), decimal.Decimal(1)
        self.dump(Config("a", Color.BLUE, [], Path("p"), 0.5, {1: 2.0}, {}, dt.timedelta(1), at, point, price))


class Used(TaskOnKart[list[Inner]]):
    suffix = ".yaml"

    def requires(self):
        return Trained(workspace_directory=self.workspace_directory)

    def run(self):
        config = self.load(Trained(workspace_directory=self.workspace_directory))
        self.dump([Inner(config.point.at, (config.point.x,))])


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_tasks_hand_dataclasses_on(tmp_path, executor):
    built = build(Used(workspace_directory=f"{tmp_path}/"), executor=executor, workers=1)
    assert built == [Inner(dt.date(2026, 1, 2), (1,))]
