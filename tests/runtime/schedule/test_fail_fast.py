"""The first failure ends a build that asks for it; pauses between tries keep nothing else waiting."""

from __future__ import annotations

import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, BuildFinished, ConfigError, TaskFinished, TaskOnKart, build
from kart_runtime.history.runs import read_records

SERIAL = {"executor": "serial"}
THREADS = {"executor": "threads", "workers": 2}
PROCESSES = {"executor": "processes", "workers": 2}


class Fails(TaskOnKart[int]):
    priority = 9
    waits: bool = luigi.BoolParameter(default=False)

    def run(self):
        while self.waits and not Path("began").exists():
            time.sleep(0.01)
        raise ValueError("no")


class Runs(TaskOnKart[int]):
    priority = 5

    def run(self):
        Path("began").touch()
        if self.n == 0:
            time.sleep(0.5 if Path("threads").exists() else 60)
        self.dump(1)

    n: int = luigi.IntParameter(default=0)


class Needs(TaskOnKart[int]):
    def requires(self):
        return Fails()

    def run(self):
        self.dump(1)


def summary_of(tasks, **options):
    """Build tasks that fail, and return the summary."""
    events = []
    with pytest.raises(BuildFailed) as failed:
        build(tasks, on_event=events.append, **options)
    assert isinstance(next(iter(failed.value.causes.values())), ValueError)
    return next(event.summary for event in events if isinstance(event, BuildFinished))


def test_nothing_starts_after_the_first_failure():
    summary = summary_of([Needs(), Runs(n=1), Runs(n=2)], fail_fast=True, **SERIAL)
    assert not Path("began").exists()
    assert (list(summary.failed), list(summary.not_started), len(summary.stopped)) == ([Fails()], [Needs()], 2)
    assert summary.text().startswith("4 tasks: 0 ran, 0 already complete, 1 failed, 3 not started")
    assert summary.text().endswith("; ended at the first failure")


def test_without_it_all_that_does_not_depend_on_a_failure_runs():
    summary = summary_of([Needs(), Runs(n=1), Runs(n=2)], **SERIAL)
    assert (summary.ran, summary.stopped, list(summary.not_started)) == (2, (), [Needs()])


def test_what_runs_in_another_process_is_ended():
    summary = summary_of([Fails(waits=True), Runs(n=0), Runs(n=1)], fail_fast=True, **PROCESSES)
    assert Path("began").exists()
    assert (summary.ended, summary.stopped) == ((Runs(n=0),), (Runs(n=1),))
    assert not Runs(n=0).complete()
    assert "1 ended while running" in summary.text()


def test_what_runs_in_a_thread_is_waited_for_and_recorded():
    Path("threads").touch()
    summary = summary_of([Fails(waits=True), Runs(n=0), Runs(n=1)], fail_fast=True, **THREADS)
    assert (summary.ran, summary.ended, summary.stopped) == (1, (), (Runs(n=1),))
    assert Runs(n=0).complete()
    assert [record.state for record in read_records("resources") if record.task == "Runs"] == ["done"]


class Flaky(TaskOnKart[int]):
    retries = 2
    retry_delay = 0.2

    def run(self):
        with Path("times").open("a") as file:
            file.write(f"{time.time()}\n")
        raise ConnectionError


class Quick(TaskOnKart[int]):
    priority = -1
    n: int = luigi.IntParameter()

    def run(self):
        with Path("quick").open("a") as file:
            file.write(f"{time.time()}\n")
        self.dump(1)


def test_pauses_double_and_other_tasks_run_meanwhile():
    events = []
    with pytest.raises(BuildFailed):
        build([Flaky(), Quick(n=1), Quick(n=2)], on_event=events.append)
    first, second, third = map(float, Path("times").read_text().split())
    assert second - first >= 0.2
    assert third - second >= 0.4
    assert all(first < float(when) < second for when in Path("quick").read_text().split())  # one worker
    pauses = [event.pause for event in events if isinstance(event, TaskFinished) and event.is_retried]
    assert 0.2 <= pauses[0] <= 0.25
    assert 0.4 <= pauses[1] <= 0.5


class Plain(TaskOnKart[int]):
    def run(self):
        with Path("tries").open("a") as file:
            file.write("x")
        raise ConnectionError


class Once(Plain):
    retries = 0


class OfLuigi(Plain):
    retry_count = 2


@pytest.mark.parametrize(("cls", "tries"), [(Plain, 4), (Once, 1), (OfLuigi, 2)])
def test_the_build_says_how_often_where_a_class_does_not(cls, tries):
    with pytest.raises(BuildFailed):
        build(cls(), retries=3)
    assert Path("tries").read_text() == "x" * tries


@pytest.mark.parametrize("delay", [-1, "2", float("inf"), True])
def test_what_is_no_pause_is_refused_before_anything_runs(delay):
    class Wrong(Plain):
        retry_delay = delay

    with pytest.raises(ConfigError, match=r"Wrong\.retry_delay"):
        build(Wrong())
    assert not Path("tries").exists()


class FlakyAtFirst(TaskOnKart[int]):
    priority = 9
    retries = 1
    retry_delay = 0.01

    def run(self):
        with Path("order.txt").open("a") as file:
            file.write("f")
        if len(Path("order.txt").read_text()) == 1:
            raise ValueError("the first time")
        self.dump(1)


class Noted(TaskOnKart[int]):
    n: int = luigi.IntParameter()

    def run(self):
        with Path("order.txt").open("a") as file:
            file.write("n")
        time.sleep(0.02)
        self.dump(1)


@pytest.mark.parametrize("options", [SERIAL, {"executor": "threads", "workers": 1}])
def test_a_task_that_has_paused_goes_before_others_of_lower_priority(options):
    build([FlakyAtFirst(), *(Noted(n=n) for n in range(20))], return_value=False, **options)
    order = Path("order.txt").read_text()
    assert order.count("f") == 2
    assert order.rindex("f") < 20
