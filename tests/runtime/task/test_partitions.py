"""Ranges of partitions: which there are, what a task loads of them, and tasks that see their own earlier partition."""

from __future__ import annotations

import datetime
from datetime import date

import luigi
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luigi.date_interval import Custom, Month, Week

from kart_runtime import BuildFailed, TaskOnKart, build, partitions
from kart_runtime.errors import NotRequired
from kart_runtime.plan.decisions import make_plan
from kart_runtime.task.partitions import MOST, InvalidRange, values_between

EACH = ("serial", "threads", "processes")


class Daily(TaskOnKart[pd.DataFrame]):
    day: luigi.DateParameter = luigi.DateParameter()
    store: luigi.Parameter = luigi.Parameter(default="north")

    def output(self):
        return self.make_target("daily/{store}/{day}.parquet", use_unique_id=False)

    def run(self):
        self.dump(pd.DataFrame({"day": [self.day.isoformat()], "store": [self.store]}))


class Monthly(TaskOnKart[pd.DataFrame]):
    month: luigi.MonthParameter = luigi.MonthParameter()

    def requires(self):
        return partitions(Daily, day=Month(self.month.year, self.month.month))

    def run(self):
        self.dump(self.load_range(Daily, "day").concat())


class Steps(TaskOnKart[int]):
    day: luigi.DateParameter = luigi.DateParameter(default=None)
    week: luigi.DateParameter = luigi.DateParameter(default=None, interval=7, start=date(2026, 1, 5))
    month: luigi.MonthParameter = luigi.MonthParameter(default=None)
    quarter: luigi.MonthParameter = luigi.MonthParameter(default=None, interval=3)
    year: luigi.YearParameter = luigi.YearParameter(default=None)
    hour: luigi.DateHourParameter = luigi.DateHourParameter(default=None)
    minute: luigi.DateMinuteParameter = luigi.DateMinuteParameter(default=None, interval=15)
    n: luigi.IntParameter = luigi.IntParameter(default=0)
    share: luigi.FloatParameter = luigi.FloatParameter(default=0.0)
    pair: luigi.ListParameter = luigi.ListParameter(default=())

    def run(self):
        self.dump(1)


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


SPANS = {
    "day": (date(1999, 12, 1), 120),
    "week": (date(1999, 12, 1), 120),
    "month": (date(1999, 1, 1), 900),
    "quarter": (date(1999, 1, 1), 900),
    "year": (date(1996, 1, 1), 2000),
    "hour": (date(2024, 2, 27), 4),
    "minute": (date(2024, 2, 28), 3),
}


@given(st.sampled_from(sorted(SPANS)), st.floats(0, 1), st.floats(0, 1))
def test_a_range_holds_each_value_from_the_first_to_the_last(name, start, end):
    first_day, days = SPANS[name]
    begin, until = sorted((start, end))
    moments = [
        datetime.datetime.combine(first_day, datetime.time()) + datetime.timedelta(minutes=int(part * days * 1440))
        for part in (begin, until)
    ]
    param = Steps.get_params()
    normalize = dict(param)[name].normalize
    # Slowly: the partition of each minute between the ends.
    every = range(0, int((moments[1] - moments[0]).total_seconds()) + 1, 60 if name == "minute" else 3600)
    model = {normalize(moments[0] + datetime.timedelta(seconds=seconds)) for seconds in every}
    model |= {normalize(moment) for moment in moments}
    first, last = (moment if name in ("hour", "minute") else moment.date() for moment in moments)
    assert values_between(Steps, name, first, last) == sorted(model)


@pytest.mark.parametrize(
    ("name", "ends", "number"),
    [
        ("day", ("2024-02-28", "2024-03-01"), 3),
        ("day", ("2026-02-28", "2026-03-01"), 2),
        ("day", (date(2026, 1, 1), date(2026, 1, 1)), 1),
        ("day", Month(2024, 2), 29),
        ("day", Week(2026, 53), 7),
        ("day", Custom(date(2026, 1, 1), date(2026, 1, 4)), 3),
        ("month", ("2025-11", "2026-02"), 4),
        ("month", luigi.date_interval.Year(2026), 12),
        ("hour", ("2026-03-29T00", "2026-03-29T23"), 24),
        ("hour", Month(2026, 3), 31 * 24),
        ("hour", luigi.date_interval.Date(2026, 3, 29), 24),
        ("n", (-2, 2), 5),
    ],
)
def test_both_ends_belong_to_a_range(name, ends, number):
    tasks = partitions(Steps, **{name: ends})
    values = [getattr(task, name) for task in tasks]
    assert len(values) == number
    assert values == sorted(set(values))


def test_several_ranges_are_combined_and_other_values_passed_on():
    tasks = partitions(Steps, n=(1, 2), day=("2026-01-01", "2026-01-02"), share=0.5, pair=(3, 4))
    assert [(task.n, task.day.day) for task in tasks] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {(task.share, task.pair) for task in tasks} == {(0.5, (3, 4))}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"day": ("2026-01-02", "2026-01-01")}, "Steps.day: the range ends before it begins: 2026-01-02..2026-01-01"),
        ({"day": ("yesterday", "2026-01-01")}, "'yesterday' is not a value"),
        ({"day": (None, "2026-01-01")}, "Write both ends"),
        ({"day": ("2026-01-01",)}, r"expected \(first, last\)"),
        ({"dya": ("2026-01-01", "2026-01-02")}, "Did you mean 'day'?"),
        ({"n": (1, 100_000)}, "has more than 20,000 values"),
        ({"n": (1, 1000), "day": ("2026-01-01", "2026-12-31")}, "the ranges have 365,000 combinations"),
    ],
)
def test_a_range_that_cannot_be_made_is_refused(values, message):
    with pytest.raises(InvalidRange, match=message):
        partitions(Steps, **values)


def test_a_range_may_reach_the_end_of_the_calendar_and_the_largest_number_of_values():
    assert len(partitions(Steps, day=(date(9999, 12, 30), date.max))) == 2
    assert len(values_between(Steps, "n", 1, MOST)) == MOST


@pytest.mark.parametrize("executor", EACH)
def test_a_task_loads_the_partitions_that_it_requires(executor):
    frame = build(Monthly(month=date(2024, 2, 1)), executor=executor, workers=1 if executor == "serial" else 2)
    assert list(frame["day"]) == [f"2024-02-{day:02d}" for day in range(1, 30)]
    assert list(frame.index) == list(range(29))


class Window(TaskOnKart[dict]):
    """Load by hand, with what `how` says."""

    how: luigi.Parameter = luigi.Parameter()

    def requires(self):
        days = ("2026-01-01", "2026-01-03")
        return {"north": partitions(Daily, day=days), "south": partitions(Daily, day=days, store="south")}

    def run(self):
        arguments, options = {
            "all": ((Daily, "day"), {}),
            "one": ((Daily, "day"), {"store": "south"}),
            "part": ((Daily, "day", date(2026, 1, 2)), {"store": "north"}),
            "text": ((Daily, "day", "2026-01-01", "2026-01-02"), {"store": "north"}),
            "too far": ((Daily, "day", "2026-01-01", "2026-01-09"), {"store": "north"}),
            "other": ((Monthly, "month"), {}),
            "slip": ((Daily, "dya"), {}),
        }[self.how]
        self.dump({day: frame["store"][0] for day, frame in self.load_range(*arguments, **options).items()})

    def output(self):
        return self.make_target("window.pkl")


def test_load_range_gives_the_values_by_date():
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    assert build(Window(how="one")) == dict.fromkeys(days, "south")
    assert build(Window(how="part")) == dict.fromkeys(days[1:], "north")
    assert build(Window(how="text")) == dict.fromkeys(days[:2], "north")


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("all", InvalidRange, "two required tasks have day=2026-01-01"),
        ("too far", NotRequired, r"Daily\(day=2026-01-04\)"),
        ("other", NotRequired, "a partition of Monthly"),
        ("slip", InvalidRange, "Did you mean 'day'?"),
    ],
)
def test_load_range_refuses_what_is_not_required(how, kind, message):
    with pytest.raises(BuildFailed) as raised:
        build(Window(how=how))
    with pytest.raises(kind, match=message):
        raise raised.value.__cause__


class Frames(TaskOnKart[object]):
    n: luigi.IntParameter = luigi.IntParameter()
    kind: luigi.Parameter = luigi.Parameter()

    def run(self):
        frames = {
            "indexed": pd.DataFrame({"a": [self.n]}, index=["x"]),
            "polars": pl.DataFrame({"a": [self.n]}),
            "text": f"{self.n}",
        }
        self.dump(frames[self.kind])


class Joined(TaskOnKart[object]):
    kind: luigi.Parameter = luigi.Parameter()

    def requires(self):
        return partitions(Frames, n=(1, 3), kind=self.kind)

    def run(self):
        self.dump(self.load_range(Frames, "n").concat())


def test_frames_are_joined_in_their_order():
    assert list(build(Joined(kind="indexed")).index) == ["x", "x", "x"]
    assert build(Joined(kind="polars"))["a"].to_list() == [1, 2, 3]
    with pytest.raises(BuildFailed, match=r"Go through them by \.items\(\)"):
        build(Joined(kind="text"))


class Chain(TaskOnKart[int]):
    """Sum of the numbers of all days since the first, from the sum of the day before."""

    day: luigi.DateParameter = luigi.DateParameter()

    def requires(self):
        return [self.clone(day=self.day - datetime.timedelta(days=1))] if self.day > date(2020, 1, 1) else []

    def run(self):
        self.dump(sum(self.load()) + 1)


def test_a_chain_of_2000_days_is_planned_and_run_without_recursion():
    last = Chain(day=date(2020, 1, 1) + datetime.timedelta(days=1999))
    assert len(make_plan([last]).to_run) == 2000
    assert build(last) == 2000
    assert len(make_plan([Chain(day=last.day + datetime.timedelta(days=1))]).to_run) == 1


@pytest.mark.parametrize("executor", EACH)
def test_a_short_chain_runs_in_every_executor(executor):
    assert build(Chain(day=date(2020, 1, 20)), executor=executor, workers=1 if executor == "serial" else 2) == 20


class Safe(TaskOnKart[list]):
    """A path with characters that urls give a meaning to, and what was there before."""

    n: luigi.IntParameter = luigi.IntParameter()
    name: luigi.Parameter = luigi.Parameter(default="../a?b#c%2F d")

    def output(self):
        return self.make_target("safe/{name}/{n}.json", use_unique_id=False)

    def run(self):
        self.dump([*(self.load_previous("n") or []), self.n])


class Both(TaskOnKart[dict]):
    workspace: luigi.Parameter = luigi.Parameter(significant=False)

    def requires(self):
        return partitions(Safe, n=(1, 2), workspace_directory=self.workspace)

    def run(self):
        self.dump(dict(self.load_range(Safe, "n")))


def test_partitions_in_buckets(bucket):
    for n in (1, 2):
        build(Safe(n=n, workspace_directory=bucket.url))
    assert Safe(n=2, workspace_directory=bucket.url).complete()
    assert not Safe(n=2, name="..", workspace_directory=bucket.url).complete()
    task = Both(workspace=bucket.url, workspace_directory=bucket.url)
    assert build(task, executor="threads", workers=2) == {1: [1], 2: [1, 2]}
    assert len(make_plan([Safe(n=3, workspace_directory=bucket.url)]).to_run) == 1


class Balance(TaskOnKart[int]):
    day: luigi.DateParameter = luigi.DateParameter()
    deposit: luigi.IntParameter = luigi.IntParameter(default=1)

    def output(self):
        return self.make_target("balance/{day}.json", use_unique_id=False)

    def run(self):
        self.dump((self.load_previous("day") or 0) + self.deposit)


@pytest.mark.parametrize("executor", EACH)
def test_a_task_sees_its_own_earlier_partition_if_there_is_one(executor):
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 3)]
    assert [build(Balance(day=day), executor=executor) for day in days] == [1, 2, 1]
    assert Balance(day=days[1]).requires() == []
    assert len(make_plan([Balance(day=date(2026, 3, 4))]).to_run) == 1


def test_an_earlier_partition_of_other_parameters_is_none():
    build(Balance(day=date(2026, 1, 1), deposit=5))
    assert build(Balance(day=date(2026, 1, 2))) == 1


def test_a_change_of_the_earlier_partition_is_noticed():
    for day in (1, 2):
        build(Balance(day=date(2026, 1, day)))
    target = Balance(day=date(2026, 1, 1)).output()
    target.dump(10)
    (_, decision), *_ = make_plan([Balance(day=date(2026, 1, 2))]).warnings
    assert "balance/2026-01-01.json" in decision.text


def test_what_has_no_earlier_value_is_none_or_refused():
    assert Balance(day=date.min).load_previous("day") is None
    with pytest.raises(InvalidRange, match="Did you mean 'day'"):
        Balance(day=date.min).load_previous("dy")
    with pytest.raises(InvalidRange, match="only a date, time or integer"):
        Steps().load_previous("share")


def test_parameters_of_gokarts_users_may_have_the_new_names():
    class Old(TaskOnKart[int]):
        load_range: luigi.IntParameter = luigi.IntParameter(default=1)
        load_previous: luigi.IntParameter = luigi.IntParameter(default=2)

        def run(self):
            self.dump(self.load_range + self.load_previous)

    assert build(Old()) == 3
