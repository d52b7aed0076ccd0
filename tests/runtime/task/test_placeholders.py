"""Placeholders in the path of a target: what they become, what stays as it was, and what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import InputFile, TaskInstanceParameter, TaskOnKart, build
from kart_runtime.errors import OutputClash
from kart_runtime.task.placeholders import InvalidPlaceholder, filled


class Report(TaskOnKart[int]):
    day: luigi.DateParameter = luigi.DateParameter(default=datetime.date(2026, 1, 31))
    month: luigi.MonthParameter = luigi.MonthParameter(default=datetime.date(2026, 1, 1))
    hour: luigi.DateHourParameter = luigi.DateHourParameter(default=datetime.datetime(2026, 1, 31, 9))
    n: luigi.IntParameter = luigi.IntParameter(default=7)
    share: luigi.FloatParameter = luigi.FloatParameter(default=0.25)
    store: luigi.Parameter = luigi.Parameter(default="north")
    token: luigi.Parameter = luigi.Parameter(default="x", visibility=luigi.parameter.ParameterVisibility.PRIVATE)
    source = TaskInstanceParameter(default=InputFile(path="a.csv"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("daily/{day}.parquet", "daily/2026-01-31.parquet"),
        ("daily/{day:%Y/%m}/{day:%d}.csv", "daily/2026/01/31.csv"),
        ("{month}/{hour}/{n}.csv", "2026-01/2026-01-31T09/7.csv"),
        ("{n:03d}-{share:.1f}-{store:_>6}.csv", "007-0.2-_north.csv"),
        ("{{x}}/{n}.csv", "{x}/7.csv"),
        ("{n}{n}.csv", "77.csv"),
    ],
)
def test_values_take_the_place_of_names(path, expected):
    assert filled(Report(), path, has_id=True) == expected


@pytest.mark.parametrize(
    "path", ["a{b}.csv", "a{0}.csv", "a{}.csv", "{{x}}.csv", "{self.day}.csv", "a}b{.csv", "{workspace_directory}.csv"]
)
def test_a_path_without_the_name_of_a_parameter_stays_as_it_was(path):
    task = Report()
    name, suffix = path.rsplit(".", 1)
    assert task.make_target(path).url.endswith(f"/{name}_{task.make_unique_id()}.{suffix}")


@pytest.mark.parametrize(
    ("path", "has_id", "message"),
    [
        ("{dya}.csv", True, "has no parameter 'dya'. Did you mean '{day}'?"),
        ("{n}/{nope}.csv", True, "has no parameter 'nope'. It has: day, month,"),
        ("{date}/x.csv", False, "has no parameter 'date'"),
        ("{n}/a{.csv", True, "it has a single '{'. Write '{{' for a brace in the name."),
        ("{n:%Y}.csv", True, "'%Y' is no format for n=7"),
        ("{source}.csv", True, "'source' holds a task"),
        ("{token}.csv", True, "'token' is secret"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_what_to_write(path, has_id, message):
    with pytest.raises(InvalidPlaceholder) as raised:
        Report().make_target(path, use_unique_id=has_id)
    assert message in str(raised.value)
    assert "Report: the path" in str(raised.value)


texts = st.text(max_size=6) | st.text(alphabet="./\\%a ", max_size=5)


@given(texts, texts)
def test_a_value_is_one_part_of_the_path_and_different_values_are_different_parts(first, second):
    paths = [filled(Report(store=text), "in/{store}/x.csv", has_id=True) for text in (first, second)]
    for path in paths:
        assert path.count("/") == 2
        assert "\\" not in path
        assert path.split("/")[1] not in ("", ".", "..")
    assert (paths[0] == paths[1]) is (first == second)


class Fixed(TaskOnKart[str]):
    day: luigi.DateParameter = luigi.DateParameter()
    factor: luigi.IntParameter = luigi.IntParameter(default=1)

    def output(self):
        return self.make_target("daily/{day}.json", use_unique_id=False)

    def run(self):
        self.dump(f"{self.day} x {self.factor}")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "resources"


def test_a_fixed_name_belongs_to_one_task_at_a_time(workspace, caplog):
    day = datetime.date(2026, 1, 31)
    assert build(Fixed(day=day)) == "2026-01-31 x 1"
    assert not Fixed(day=day, factor=2).complete()
    assert build(Fixed(day=day, factor=2)) == "2026-01-31 x 2"
    assert build(Fixed(day=day)) == "2026-01-31 x 1"
    assert [path.name for path in (workspace / "daily").iterdir()] == ["2026-01-31.json"]
    assert "output changed" not in caplog.text
    with pytest.raises(OutputClash):
        build([Fixed(day=datetime.date(2026, 2, 1)), Fixed(day=datetime.date(2026, 2, 1), factor=2)])


def test_placeholders_fill_the_paths_of_models_and_large_frames():
    assert "models/7.zip" in Report().make_model_target("models/{n}.zip", print, print, use_unique_id=False).url
    assert "large/7.zip" in Report().make_large_data_frame_target("large/{n}.zip", use_unique_id=False).url
    assert Path(Report().make_target("/absolute/{n}.csv", use_unique_id=False).url) == Path("/absolute/7.csv")
