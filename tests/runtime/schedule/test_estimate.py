"""The time that is left: along the longest path, and over the workers, once half of what is left was ever timed."""

from __future__ import annotations

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.execution.attempt import AttemptState, Outcome
from kart_runtime.plan.decisions import make_plan
from kart_runtime.schedule import estimate as module
from kart_runtime.schedule.estimate import Estimate, Estimating, about, clock, numbers
from kart_runtime.schedule.events import PlanMade, TaskFinished, TaskStarted
from kart_runtime.schedule.progress_counts import Counts


class Slow(TaskOnKart[int]):
    n = luigi.IntParameter()

    def run(self):
        self.dump(1)


class Chain(TaskOnKart[int]):
    n = luigi.IntParameter()

    def requires(self):
        return Chain(n=self.n - 1) if self.n else []

    def run(self):
        self.dump(1)


def counted(roots, events=()):
    plan = make_plan(roots)
    counts = Counts()
    for event in (PlanMade(plan), *events):
        counts.count(event)
    return plan, counts


def key(cls):
    return cls.__module__, cls.__name__


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_work_is_shared_by_the_workers():
    plan, counts = counted([Slow(n=n) for n in range(12)])
    assert Estimate(plan, {key(Slow): 10.0}, 4).left(counts, 0.0) == 30.0
    assert Estimate(plan, {key(Slow): 10.0}, 1).left(counts, 0.0) == 120.0


def test_a_chain_takes_as_long_as_its_path():
    plan, counts = counted([Chain(n=9)])
    assert Estimate(plan, {key(Chain): 2.0}, 4).left(counts, 0.0) == 20.0


def test_what_has_run_and_runs_counts_no_more():
    plan, counts = counted([Chain(n=9)])
    for task in plan.tasks[:4]:
        counts.count(TaskStarted(task, at=0.0))
        counts.count(TaskFinished(task, Outcome(AttemptState.DONE, "", 2.0), at=2.0))
    counts.count(TaskStarted(plan.tasks[4], at=8.0))
    assert Estimate(plan, {key(Chain): 2.0}, 1).left(counts, 9.0) == pytest.approx(11.0)


def test_there_is_no_estimate_before_half_of_what_is_left_has_a_history():
    plan, counts = counted([*(Slow(n=n) for n in range(4)), Chain(n=5)])
    assert Estimate(plan, {key(Slow): 10.0}, 1).left(counts, 0.0) is None
    assert Estimate(plan, {key(Chain): 10.0}, 1).left(counts, 0.0) == 100.0
    assert Estimate(plan, {}, 1).left(counts, 0.0) is None


def test_this_run_is_a_history_too():
    plan, counts = counted([Slow(n=n) for n in range(5)])
    counts.count(TaskStarted(plan.tasks[0], at=0.0))
    counts.count(TaskFinished(plan.tasks[0], Outcome(AttemptState.DONE, "", 3.0), at=3.0))
    assert Estimate(plan, {}, 2).left(counts, 3.0) == 6.0


def test_what_a_failure_blocks_is_not_waited_for():
    plan, counts = counted([Chain(n=4)])
    counts.count(TaskStarted(plan.tasks[0], at=0.0))
    counts.count(TaskFinished(plan.tasks[0], Outcome(AttemptState.FAILED, "", error=ValueError()), at=1.0))
    assert counts.blocked() == 4
    assert Estimate(plan, {key(Chain): 5.0}, 1).left(counts, 1.0) == 0.0


def test_the_numbers_name_the_time_that_is_left_from_the_records_of_an_earlier_run(monkeypatch):
    build([Slow(n=n) for n in range(3)], False)
    monkeypatch.setattr(module, "_SHORT", -1.0)
    plan, counts = counted([Slow(n=n) for n in range(10, 14)])
    estimating = Estimating(plan, 1)
    estimating._prepare()
    assert numbers(counts, estimating).startswith("0/4 done (0:00, about 0:0")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.9, "1:01"), (3599, "59:59"), (3723, "1:02:03"), (-5, "0:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.2, "about 0:04 left"), (41, "about 0:45 left"), (160, "about 2:40 left")],
)
def test_about(seconds, text):
    assert about(seconds) == text
