"""Tasks of two configurations in one build: each keeps the overrides under which it was made, wherever it runs."""

from __future__ import annotations

import pickle

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.task.parameters import Override, active_overrides, overriding


class Leaf(TaskOnKart[int]):
    number = luigi.IntParameter(default=1)

    def run(self):
        self.dump(self.number)


class Tenfold(TaskOnKart[int]):
    def requires(self):
        return Leaf()

    def run(self):
        self.dump(10 * self.load())


class RunAll(TaskOnKart[int]):
    def requires(self):
        return Tenfold()

    def run(self):
        yield Leaf()
        self.dump(self.load() + Leaf().number)


def run_all(number):
    with overriding({Leaf: {"number": Override(number, "command line")}}):
        return RunAll()


EXECUTORS = [
    {},
    {"executor": "threads", "workers": 2},
    {"executor": "processes", "workers": 2},
]


@pytest.mark.parametrize("options", EXECUTORS, ids=["serial", "threads", "processes"])
def test_two_roots_of_two_configurations_are_both_run(options):
    assert build([run_all(2), run_all(3)], **options) == [22, 33]
    assert build([run_all(3), RunAll(), run_all(2)], **options) == [33, 11, 22]


@pytest.mark.parametrize("options", EXECUTORS, ids=["serial", "threads", "processes"])
def test_the_configuration_of_the_program_does_not_reach_a_task_of_another_one(options):
    other = run_all(2)
    with overriding({Leaf: {"number": Override(5, "command line")}}):
        assert build([other, RunAll()], **options) == [22, 55]


def test_tasks_are_equal_when_class_workspace_and_id_are():
    first, again, other = run_all(2), run_all(2), run_all(3)
    assert first is not again
    assert first == again
    assert hash(first) == hash(again)
    assert first != other
    assert len({first, again, other}) == 2
    assert first != Tenfold()
    assert RunAll(workspace_directory="elsewhere") != RunAll()


def test_a_task_made_without_a_configuration_takes_the_active_one():
    task = RunAll()
    with overriding({Leaf: {"number": Override(4, "command line")}}):
        assert build(task) == 44


def test_a_task_keeps_its_configuration_in_a_pickle():
    task = run_all(6)
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert again.make_unique_id() == task.make_unique_id() != RunAll().make_unique_id()


def test_the_overrides_of_a_running_task_are_gone_afterwards():
    before = active_overrides()
    build(run_all(7))
    assert active_overrides() is before
