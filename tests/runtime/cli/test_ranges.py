"""`--range` and words for dates on the command line: what runs, what is said, and what is refused."""

from __future__ import annotations

import datetime
import re

import pytest

from kart_runtime.task.parameters import dates

DAILY = '''
    import datetime
    from pathlib import Path

    import luigi
    from kart_runtime import TaskOnKart


    class Raw(TaskOnKart[str]):
        """Write which days ran, in order."""

        day: luigi.DateParameter = luigi.DateParameter()

        def run(self):
            if Path(f"bad-{self.day}").exists():
                raise ValueError("no data")
            self.dump(str(self.day))


    class Daily(TaskOnKart[str]):
        day: luigi.DateParameter = luigi.DateParameter()
        factor: luigi.IntParameter = luigi.IntParameter(default=1)
        share: luigi.FloatParameter = luigi.FloatParameter(default=0.5)
        note: luigi.IntParameter = luigi.IntParameter(default=1, significant=False)

        def requires(self):
            return Raw(day=self.day)

        def output(self):
            return self.make_target("daily/{day}_{factor}.json", use_unique_id=False)

        def run(self):
            with Path("order.txt").open("a") as file:
                file.write(f"{self.day} {self.factor}\\n")
            self.dump(self.load())


    class Delivered(TaskOnKart[str]):
        """A file from elsewhere."""

        day: luigi.DateParameter = luigi.DateParameter()
        run = None

        def output(self):
            return self.make_target("delivered/{day}.txt", use_unique_id=False)


    class Hourly(TaskOnKart[int]):
        hour: luigi.DateHourParameter = luigi.DateHourParameter()
        month: luigi.MonthParameter = luigi.MonthParameter(default=datetime.date(2026, 1, 1))

        def run(self):
            self.dump(1)
'''


@pytest.fixture
def root(small_project, monkeypatch):
    """Open a project with daily tasks, at half past nine on the first of March of a leap year."""
    monkeypatch.setattr(dates, "clock", lambda: datetime.datetime(2024, 3, 1, 9, 30))
    yield small_project({"src/PKG/tasks/by_day.py": DAILY})
    dates._fixed = None


def ran(root):
    """Return the days in the order in which they have run, once."""
    file = root / "order.txt"
    days = [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []
    file.unlink(missing_ok=True)
    return days


def test_both_ends_run_and_only_what_is_missing(root, kart):
    typed = kart("run", "Daily", "--range", "day=2024-02-28..2024-03-01")
    assert typed.code == 0, typed.err
    assert ran(root) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert "Daily: 3 days from 2024-02-28 to 2024-03-01, both included: 0 complete, 3 to run" in typed.lines
    assert "Daily: 3 days: 0 complete, 3 run" in typed.lines

    typed = kart("run", "Daily", "--range", "day=2024-02-27..2024-03-02")
    assert ran(root) == ["2024-02-27", "2024-03-02"]
    assert "Daily: 5 days: 3 complete, 2 run" in typed.lines
    typed = kart("run", "Daily", "--range", "day=2024-02-27..2024-03-02", "--quiet")
    assert ran(root) == []
    _, counts, first, *_ = typed.lines
    assert counts == "Daily: 5 days: 5 complete, 0 run"
    assert first == "Daily(day=2024-02-27) -> outputs/daily/2024-02-27_1.json"


def test_later_days_may_run_first(root, kart):
    kart("run", "Daily", "--range", "day=2024-02-28..2024-03-01", "--order", "descending")
    assert ran(root) == ["2024-03-01", "2024-02-29", "2024-02-28"]


def test_words_are_ends_and_the_output_names_the_dates(root, kart):
    typed = kart("run", "Daily", "--range", "day=today-2..yesterday")
    assert ran(root) == ["2024-02-28", "2024-02-29"]
    assert "2 days from 2024-02-28 to 2024-02-29, both included" in typed.out


def test_complete_partitions_need_nothing_upstream(root, kart):
    kart("run", "Daily", "--range", "day=2024-02-28..2024-02-29")
    ran(root)
    files = list(root.glob("outputs/*/tasks/by_day/Raw_*"))
    assert len(files) == 2
    for file in files:
        file.unlink()
    typed = kart("run", "Daily", "--range", "day=2024-02-28..2024-03-01")
    assert ran(root) == ["2024-03-01"]
    assert re.search(r"6 tasks: 2 ran, 2 already complete, 2 not needed", typed.out)


def test_other_days_go_on_after_a_failure_and_the_rest_is_named_as_a_range(root, kart):
    bad = [root / f"bad-2024-02-{day}" for day in ("03", "10", "11", "12")]
    for file in bad:
        file.touch()
    typed = kart("run", "Daily", "factor=2", "--range", "day=2024-02-01..2024-02-14", "--executor", "threads")
    assert typed.code == 1
    assert len(ran(root)) == 10
    assert typed.lines[-3:] == [
        "Daily: 14 days: 0 complete, 10 run, 4 not started",
        "To run the rest, type the same command with:",
        "  --range day=2024-02-03,2024-02-10..2024-02-12",
    ]
    for file in bad:
        file.unlink()
    typed = kart("run", "Daily", "factor=2", *typed.lines[-1].split())
    assert typed.code == 0
    assert ran(root) == ["2024-02-03", "2024-02-10", "2024-02-11", "2024-02-12"]
    assert "Daily: 4 days in 2024-02-03,2024-02-10..2024-02-12, both ends included: 0 complete, 4 to run" in typed.lines


def test_ranges_of_several_parameters_are_combined(root, kart):
    (root / "bad-2024-02-02").touch()
    typed = kart("run", "Daily", "--range", "day=2024-02-01..2024-02-02", "--range", "factor=1..2")
    assert typed.code == 1
    assert ran(root) == ["2024-02-01", "2024-02-01"]
    expected = "4 partitions (day=2024-02-01..2024-02-02, factor=1..2, both ends included): 0 complete, 4 to run"
    assert f"Daily: {expected}" in typed.lines
    assert typed.lines[-1] == "  --range day=2024-02-02 --range factor=1..2"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["Hourly", "--range", "hour=2024-02-28T22..2024-02-29T01"], "4 hours from 2024-02-28T22 to 2024-02-29T01"),
        (["Hourly", "hour=now", "--range", "month=2023-11..today"], "5 months from 2023-11 to 2024-03"),
        (["--range", "Raw.day=yesterday"], "Raw: 1 day (2024-02-29): 0 complete, 1 to run"),
        (["Raw", "Daily", "--range", "day=today..tomorrow"], "Daily: 2 days from 2024-03-01 to 2024-03-02"),
    ],
)
def test_plan_shows_what_a_range_would_run(root, kart, words, expected):
    typed = kart("plan", *words)
    assert typed.code == 0, typed.err
    assert expected in typed.out
    assert ran(root) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--range", "day=2024-01-01.."], "is open at an end"),
        (["--range", "day=..2024-01-01"], "both ends, such as day=2026-01-01..2026-01-31"),
        (["--range", "day=2024-01-02..2024-01-01"], "the range ends before it begins"),
        (["--range", "day=2024-01-01..2024-13-01"], "expected a date such as 2026-01-31"),
        (["--range", "day=2024-01-01..yestreday"], "did you mean 'yesterday'?"),
        (["--range", "day=0924-01-01..2024-01-01"], "has more than 20,000 values. Split the range."),
        (["--range", "factor=1..100000", "day=today"], "has more than 20,000 values. Split the range."),
        (["--range", "factor=1..1.5", "day=today"], "expected int, got float 1.5"),
        (["--range", "factor=1..1000", "--range", "day=2024-01-01..2024-12-31"], "366,000 combinations"),
        (["--range", "dya=today..today"], "did you mean 'day'?"),
        (["--range", "share=0.1..0.5", "day=today"], "Daily.share is no date, time or integer"),
        (["--range", "note=1..2", "day=today"], "all its values are one task"),
        (["--range", "factor=1..2"], "Daily needs a value for day"),
        (["--range", "day"], "'--range day' is no range"),
        (["--range", "Raw.day=today..today"], "--range is for tasks.by_day.Raw, which the command does not name"),
        (["--range", "day=today..today", "--range", "day=now..now"], "day has two ranges. Join them by a comma"),
        (["--range", "day=today..today", "day=yesterday"], "is set on the command line, and has a range"),
        (["day=today", "--order", "descending"], "--order descending is an option of --range"),
    ],
)
def test_what_is_no_range_is_refused_before_anything_runs(root, kart, words, message):
    typed = kart("run", "Daily", *words)
    assert typed.code == 2
    assert message in typed.err
    assert ran(root) == []


def test_a_task_without_the_parameter_names_those_that_have_it(root, kart):
    typed = kart("run", "--range", "day=today..today")
    assert typed.code == 2
    assert "RunAll has no parameter 'day'. Name a task that has it: Raw.day, Daily.day, Delivered.day" in typed.err


def test_files_from_elsewhere_that_are_missing_are_named(root, kart):
    (root / "outputs" / "delivered").mkdir(parents=True)
    (root / "outputs" / "delivered" / "2024-02-02.txt").write_text("here")
    typed = kart("run", "Delivered", "--range", "day=2024-02-01..2024-02-03")
    assert typed.code == 1
    assert "3 days from 2024-02-01 to 2024-02-03, both included: 1 complete, 0 to run, 2 missing" in typed.out
    assert typed.lines[-3] == "Delivered: 3 days: 1 complete, 0 run, 2 missing"
    assert typed.lines[-1] == "  --range day=2024-02-01,2024-02-03"
    assert kart("plan", "Delivered", "--range", "day=2024-02-01..2024-02-03").code == 1


def test_rerun_runs_complete_partitions_of_the_range_again(root, kart):
    kart("run", "Daily", "--range", "day=2024-02-01..2024-02-03")
    ran(root)
    kart("run", "Daily", "--range", "day=2024-02-02..2024-02-03", "--rerun")
    assert ran(root) == ["2024-02-02", "2024-02-03"]


def test_a_word_is_a_date_in_the_name_the_plan_and_the_configuration(root, kart):
    assert "Daily.day is 2024-02-29 (yesterday, command line)" in kart("plan", "Daily", "day=yesterday").lines
    typed = kart("run", "Daily", "day=yesterday")
    assert typed.lines[0] == "Daily.day is 2024-02-29 (yesterday, command line)"
    assert [file.name for file in (root / "outputs" / "daily").iterdir()] == ["2024-02-29_1.json"]
    assert kart("run", "Daily", "day=2024-02-29").lines[0].startswith("Nothing to run")
    assert re.search(r"day +2024-02-23 +command line, today-7\n", kart("config", "Daily", "day=today-7").out)


def test_yaml_may_have_words(root, kart):
    conf = root / "conf" / "base" / "tasks" / "by_day.yaml"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text("Daily:\n  day: yesterday\n")
    typed = kart("run", "Daily")
    assert ran(root) == ["2024-02-29"]
    assert "Daily.day is 2024-02-29 (yesterday, conf/base/tasks/by_day.yaml:2)" in typed.out
    kart("run", "Daily", "--range", "day=today..today")
    assert ran(root) == ["2024-03-01"]


def test_midnight_in_the_middle_of_a_run_changes_nothing(root, kart, monkeypatch):
    moments = iter([datetime.datetime(2024, 3, 1, 23, 59, 59)])
    midnight = datetime.datetime(2024, 3, 2)
    monkeypatch.setattr(dates, "clock", lambda: next(moments, midnight))
    kart("run", "Daily", "Raw", "Daily.day=today", "Raw.day=today", "--executor", "processes", "--workers", "2")
    assert ran(root) == ["2024-03-01"]
    monkeypatch.setattr(dates, "clock", lambda: midnight)
    kart("run", "Daily", "day=today")
    assert ran(root) == ["2024-03-02"]


def test_a_bare_key_belongs_to_the_only_task_that_is_named(root, kart):
    typed = kart("run", "Daily", "Raw", "day=today")
    assert typed.code == 2
    assert "the key lacks its task or section" in typed.err
    typed = kart("run", "Daily", "day=today", "workers=2")
    assert "write run.workers" in typed.err
