"""A task was run again when its outputs are others than before, whatever wrote them, and however soon."""

from __future__ import annotations

import os
from pathlib import Path

import luigi

from kart_runtime import TaskOnKart, build
from kart_runtime.task.rerun import OutputsRewritten


class Counts(TaskOnKart[int]):
    def run(self):
        with open("runs.txt", "a") as file:
            file.write("x")
        self.dump(1)


class Yields(TaskOnKart[int]):
    number = luigi.IntParameter()

    def run(self):
        yield Counts(rerun=True)
        self.dump(self.number)


class Plain(TaskOnKart[int]):
    def output(self):
        return luigi.LocalTarget("plain.txt")


def test_asking_changes_nothing_however_often():
    build(Counts())
    os.utime(Counts().output().path(), (1, 1))  # times of files have ticks; what is written next is in another one
    assert [Counts(rerun=True).complete() for _ in range(3)] == [False] * 3
    Counts().dump(2)
    assert Counts(rerun=True).complete()


def test_an_output_that_was_missing_is_new():
    seen = OutputsRewritten(Counts())
    assert not seen
    Counts().dump(1)
    assert seen


def test_targets_of_luigi_are_looked_at_as_files():
    Path("plain.txt").write_text("x")
    seen = OutputsRewritten(Plain())
    assert not seen
    os.utime("plain.txt", (1, 1))
    assert seen
    Path("plain.txt").unlink()
    assert not seen


def test_what_a_run_yields_is_run_again_once_in_each_build():
    build(Yields(number=1))
    build(Yields(number=2))
    assert Path("runs.txt").read_text() == "xx"
