"""`build` returns values, and a failure names every cause."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build
from kart_runtime.errors import NotATask


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=0)

    def run(self):
        if self.value < 0:
            raise ValueError(f"{self.value} is negative")
        self.dump(self.value)


class Sum(TaskOnKart[int]):
    values = luigi.ListParameter()

    def requires(self):
        return [Number(value=value) for value in self.values]

    def run(self):
        self.dump(sum(self.load()))


def test_a_task_gives_its_value_and_several_give_a_list():
    assert build(Sum(values=[1, 2])) == 3
    assert build([Sum(values=[1, 2]), Number(value=5)]) == [3, 5]
    assert build([]) == []
    assert build(Number(value=6), return_value=False) is None


@pytest.mark.parametrize("wrong", [Number, "Number", [Number(), 3], None, {"a": Number()}], ids=str)
def test_what_is_no_task_is_refused(wrong):
    with pytest.raises(NotATask, match=r"build\(\): expected a task, got "):
        build(wrong)


def test_several_outputs_are_returned_in_their_form():
    class Pair(TaskOnKart[dict]):
        def output(self):
            return {"one": self.make_target("one.pkl"), "more": [self.make_target("two.json")]}

        def run(self):
            self.dump(1, "one")
            self.dump({"x": 2}, self.output()["more"][0])

    assert build(Pair()) == {"one": 1, "more": [{"x": 2}]}


def test_a_failure_names_every_cause_and_everything_not_started():
    with pytest.raises(BuildFailed) as caught:
        build([Sum(values=[-1, 1]), Sum(values=[-2, 2]), Number(value=9)])
    error = caught.value
    assert [str(cause) for cause in error.causes.values()] == ["-1 is negative", "-2 is negative"]
    assert len(error.not_started) == 2
    assert isinstance(error.__cause__, ValueError)
    assert error.raised_exceptions[Number(value=-1).make_unique_id()][0] is error.__cause__
    assert Number(value=9).complete()
    assert Number(value=1).complete()


def test_the_same_task_in_two_workspaces_fails_twice():
    with pytest.raises(BuildFailed) as caught:
        build([Number(value=-1, workspace_directory="one"), Number(value=-1, workspace_directory="two")])
    assert len(caught.value.causes) == 2
    assert len(caught.value.raised_exceptions[Number(value=-1).make_unique_id()]) == 2


def test_what_comes_from_outside_and_is_missing_is_a_cause():
    class Outside(luigi.ExternalTask):
        def output(self):
            return luigi.LocalTarget("outside.txt")

    class After(TaskOnKart[int]):
        def requires(self):
            return Outside()

    with pytest.raises(BuildFailed, match="external input not found"):
        build(After())


def test_rerun_means_once_a_build_and_every_build():
    ran = []

    class Counts(TaskOnKart[int]):
        def run(self):
            ran.append(1)
            self.dump(len(ran))

    class Twice(TaskOnKart[int]):
        def requires(self):
            return [Counts(rerun=True)]

        def run(self):
            self.dump(self.load()[0])

    assert build(Counts()) == 1
    assert build([Twice(rerun=True), Counts(rerun=True)])[1] == 2
    assert build(Counts(rerun=True)) == 3


def test_a_rerun_that_fails_keeps_the_old_output():
    class Fragile(TaskOnKart[int]):
        def run(self):
            if self.rerun:
                raise ValueError("oh")
            self.dump(1)

    build(Fragile())
    with pytest.raises(BuildFailed):
        build(Fragile(rerun=True))
    assert build(Fragile()) == 1


@pytest.mark.parametrize(
    "options", [{"executor": "sreial"}, {"workers": 0}, {"locks": "redis"}], ids=lambda options: str(options)
)
def test_options_are_checked_before_anything_runs(options):
    with pytest.raises(ConfigError):
        build(Number(value=1), **options)
    assert not Path("resources").exists()


def test_no_descriptor_is_left_open():
    build(Number(value=1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for value in range(20):
        build(Number(value=value))
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 10  # threads of other tests may open some


class Slow(TaskOnKart[int]):
    number = luigi.IntParameter()

    def run(self):
        with open("ran.txt", "a") as file:
            file.write(f"{self.number} {os.getpid()}\n")
        time.sleep(0.05)
        self.dump(self.number)


def _build_all(folder, locks):
    os.chdir(folder)
    build([Slow(number=number) for number in range(8)], locks=locks)


@pytest.mark.parametrize(("locks", "most"), [("file", 1), ("none", 3)])
def test_processes_may_share_a_workspace(tmp_path, locks, most):
    context = multiprocessing.get_context("spawn")
    builders = [context.Process(target=_build_all, args=(tmp_path, locks)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
        assert builder.exitcode == 0
    ran = Counter(int(line.split()[0]) for line in (tmp_path / "ran.txt").read_text().splitlines())
    assert set(ran) == set(range(8))
    assert max(ran.values()) <= most
    os.chdir(tmp_path)
    assert build([Slow(number=number) for number in range(8)]) == list(range(8))


def test_a_killed_process_leaves_nothing_that_is_taken_for_complete(tmp_path):
    context = multiprocessing.get_context("spawn")
    builder = context.Process(target=_build_all, args=(tmp_path, "file"))
    builder.start()
    ran = tmp_path / "ran.txt"
    deadline = time.monotonic() + 60
    while not (ran.exists() and len(ran.read_text().splitlines()) >= 4):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    builder.kill()
    builder.join()
    before = len(ran.read_text().splitlines())
    assert build([Slow(number=number) for number in range(8)], locks="file") == list(range(8))
    again = len(ran.read_text().splitlines()) - before
    assert 8 - before <= again <= 8 - before + 1  # what was done is not done again, but for the one that was killed
