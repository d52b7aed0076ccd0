"""Words for dates: what they stand for at the ends of months and years, when clocks change, and at midnight."""

from __future__ import annotations

import datetime

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.task.parameters import coerce, dates

KINDS = {
    "date": luigi.DateParameter(),
    "month": luigi.MonthParameter(),
    "year": luigi.YearParameter(),
    "hour": luigi.DateHourParameter(),
    "minute": luigi.DateMinuteParameter(),
    "second": luigi.DateSecondParameter(),
}


@pytest.fixture
def clock(monkeypatch):
    """Set the clock, as a new configuration would read it."""

    def set_clock(*moment):
        monkeypatch.setattr(dates, "clock", lambda: datetime.datetime(*moment))
        dates.fix_now()

    yield set_clock
    monkeypatch.setattr(dates, "_fixed", None)


@pytest.mark.parametrize(
    ("kind", "word", "expected"),
    [
        ("date", "today", "2024-03-01"),
        ("date", "yesterday", "2024-02-29"),
        ("date", "tomorrow", "2024-03-02"),
        ("date", "today-7", "2024-02-23"),
        ("date", "today+30", "2024-03-31"),
        ("date", "now-1", "2024-02-29"),
        ("month", "today", "2024-03"),
        ("month", "yesterday", "2024-02"),
        ("month", "now-3", "2023-12"),
        ("year", "today-61", "2023"),
        ("year", "now-1", "2023"),
        ("hour", "now", "2024-03-01T00"),
        ("hour", "now-1", "2024-02-29T23"),
        ("hour", "yesterday", "2024-02-29T00"),
        ("minute", "now-6", "2024-02-29T2359"),
        ("second", "now", "2024-03-01T000542"),
    ],
)
def test_a_word_stands_for_a_date(clock, kind, word, expected):
    clock(2024, 3, 1, 0, 5, 42)
    param = KINDS[kind]
    assert param.serialize(coerce(param, word)) == expected


def test_a_word_means_the_step_of_a_parameter_with_an_interval(clock):
    clock(2026, 1, 15, 12)
    weekly = luigi.DateParameter(interval=7, start=datetime.date(2026, 1, 5))
    assert coerce(weekly, "today") == datetime.date(2026, 1, 12)
    assert coerce(weekly, "now-1") == datetime.date(2026, 1, 5)


def test_midnight_does_not_split_a_configuration(clock, monkeypatch):
    clock(2026, 12, 31, 23, 59, 59)
    before = coerce(KINDS["date"], "today")
    monkeypatch.setattr(dates, "clock", lambda: datetime.datetime(2027, 1, 1, 0, 0, 1))
    assert coerce(KINDS["date"], "today") == before == datetime.date(2026, 12, 31)
    dates.fix_now()
    assert coerce(KINDS["date"], "today") == datetime.date(2027, 1, 1)


def test_the_zone_of_the_environment_says_which_day_it_is(monkeypatch):
    days = set()
    for zone in ("Etc/GMT+12", "Etc/GMT-14"):  # 26 hours apart: never the same day
        monkeypatch.setenv("TZ", zone)
        days.add(dates.clock().date())
    assert len(days) == 2
    monkeypatch.setenv("TZ", "no/such zone")
    assert dates.clock().tzinfo is None


def test_days_have_their_hours_when_clocks_change(clock, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    clock(2026, 3, 29, 3, 30)  # there was no 02:30 on this day
    hour = KINDS["hour"]
    assert [hour.serialize(coerce(hour, word)) for word in ("now", "now-1", "now-4")] == [
        "2026-03-29T03",
        "2026-03-29T02",
        "2026-03-28T23",
    ]
    assert coerce(KINDS["date"], "yesterday") == datetime.date(2026, 3, 28)


@pytest.mark.parametrize(("text", "guess"), [("yestreday", "yesterday"), ("Today", "today"), ("tommorow", "tomorrow")])
def test_a_misspelled_word_is_recognized(text, guess):
    with pytest.raises(ValueError, match=rf"expected a date such as 2026-01-31 .*did you mean '{guess}'\?"):
        coerce(KINDS["date"], text)


@pytest.mark.parametrize("text", ["yesterday-3", "today - 7", "now*2", "day", ""])
def test_other_texts_are_no_words(text):
    with pytest.raises(ValueError, match="expected a date such as 2026-01-31"):
        coerce(KINDS["date"], text)


def test_a_word_out_of_range_is_refused(clock):
    clock(2026, 1, 1)
    for word in ("today-99999999", "now-999999999"):
        with pytest.raises(ValueError, match="out of the range of dates"):
            coerce(KINDS["date"], word)


def test_text_parameters_and_parsers_of_the_users_own_keep_their_words():
    class Fiscal(luigi.DateParameter):
        def parse(self, s):
            return datetime.date(2000, 1, 1) if s == "today" else super().parse(s)

    assert coerce(luigi.Parameter(), "today") == "today"
    assert coerce(Fiscal(), "today") == datetime.date(2000, 1, 1)


@given(
    st.sampled_from(sorted(KINDS)), st.dates(datetime.date(1000, 1, 1), datetime.date(3000, 1, 1)), st.integers(0, 99)
)
def test_steps_back_are_the_inverse_of_luigis_steps_forward(kind, day, steps):
    param = KINDS[kind]
    start = value = param.normalize(day)
    for _ in range(steps):
        value = param.next_in_enumeration(value)
    assert dates.stepped(param, value, -steps) == start
    assert dates.stepped(param, start, steps) == value
