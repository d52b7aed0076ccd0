"""A task that fails is tried as often as its class says, each try from the beginning, and no error of them is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import luigi
import numpy as np
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskFinished, TaskOnKart, TaskStarted, build
from kart_runtime.history.runs import read_records

EXECUTORS = [{}, {"executor": "threads", "workers": 2}, {"executor": "processes"}]


class Flaky(TaskOnKart[list[float]]):
    """Fails as often as it is told, each time with another error; what it draws and notes is the same in each try."""

    retries = 2
    failures: luigi.IntParameter = luigi.IntParameter()
    same: luigi.BoolParameter = luigi.BoolParameter(default=False)

    def run(self):
        tries = Path(f"tries {self.failures}")
        number = len(tries.read_text()) if tries.exists() else 0
        tries.write_text("x" * (number + 1))
        self.task_log[f"try {number}"] = True
        self.dump([float(self.rng.random()), len(self.task_log)])
        if number < self.failures:
            raise [ConnectionError, ValueError, KeyError][0 if self.same else number](
                f"number {number * (not self.same)}"
            )


def flaky(failures, same=False):
    Path(f"tries {failures}").unlink(missing_ok=True)
    return Flaky(failures=failures, same=same)


@pytest.mark.parametrize("options", EXECUTORS)
def test_the_third_try_succeeds_and_begins_like_the_first(options):
    drawn, noted = build(flaky(2), **options)
    assert noted == 1
    assert drawn == np.random.default_rng(Flaky(failures=2).get_random_seed()).random()
    records = list(read_records("resources"))[:3]
    assert [(record.state, record.error.partition(":")[0]) for record in records] == [
        ("failed", "ConnectionError"),
        ("failed", "ValueError"),
        ("done", ""),
    ]
    assert len({record.seed for record in records}) == 1
    assert [len(record.outputs) for record in records] == [0, 0, 1]


@pytest.mark.parametrize("options", EXECUTORS)
def test_the_errors_of_all_tries_are_told(options):
    with pytest.raises(BuildFailed) as failed:
        build(flaky(9), **options)
    assert "failed in 3 tries: ConnectionError: number 0; ValueError: number 1; KeyError: 'number 2'" in str(
        failed.value
    )
    (error,) = failed.value.causes.values()
    assert isinstance(error, KeyError)
    ((*earlier, last),) = failed.value.raised_exceptions.values()
    assert [type(one) for one in earlier] == [ConnectionError, ValueError]
    assert last is error


def test_equal_errors_are_told_once():
    with pytest.raises(BuildFailed, match=r": failed in 3 tries: ConnectionError: number 0$"):
        build(flaky(9, same=True))


def test_a_retry_is_told_when_it_begins(caplog):
    with caplog.at_level(logging.WARNING):
        build(flaky(1))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("Flaky[")
    assert message.endswith("] failed (try 1 of 3): ConnectionError: number 0; trying again")


def test_events_number_the_tries():
    events = []
    build(flaky(2), on_event=events.append)
    assert [(e.attempt, e.tries) for e in events if isinstance(e, TaskStarted)] == [(1, 1), (2, 3), (3, 3)]
    finished = [e for e in events if isinstance(e, TaskFinished)]
    assert [(e.attempt, e.tries, e.is_retried) for e in finished] == [(1, 3, True), (2, 3, True), (3, 3, False)]


class Counted(TaskOnKart[int]):
    error: luigi.Parameter = luigi.Parameter(default="")

    def run(self):
        with Path("tries.txt").open("a") as file:
            file.write("x")
        if self.error == "import":
            import no_such_library  # noqa: F401
        if self.error == "name":
            no_such_name  # noqa: F821
        if self.error == "type":
            self.dump("text")
        if self.error == "required":
            self.load(Flaky(failures=0))
        if self.error == "nothing":
            return
        raise ValueError("again")


class Twice(Counted):
    retries = 1


class ThreeTries(Counted):
    retry_count = 3


class Both(Counted):
    retries, retry_count = 3, 2


class Parameter(Counted):
    retries: luigi.IntParameter = luigi.IntParameter(default=5)


class Property(Counted):
    n: luigi.IntParameter = luigi.IntParameter(default=2)

    @property
    def retries(self):
        return self.n


@pytest.mark.parametrize(
    ("cls", "tries"), [(Counted, 1), (Twice, 2), (ThreeTries, 3), (Both, 4), (Parameter, 1), (Property, 3)]
)
def test_who_says_how_often(cls, tries):
    with pytest.raises(BuildFailed):
        build(cls())
    assert len(Path("tries.txt").read_text()) == tries


@pytest.mark.parametrize("error", ["import", "name", "type", "required", "nothing"])
def test_an_error_that_would_come_again_is_not_tried_again(error):
    with pytest.raises(BuildFailed):
        build(Twice(error=error))
    assert len(Path("tries.txt").read_text()) == 1


@pytest.mark.parametrize("value", [-1, 1.5, True, "2"])
def test_what_is_no_number_of_retries_is_refused_before_anything_runs(value, monkeypatch):
    monkeypatch.setattr(Twice, "retries", value)
    with pytest.raises(ConfigError, match=r"Twice\.retries.*whole number of at least 0"):
        build([Counted(), Twice()])
    assert not Path("tries.txt").exists()
