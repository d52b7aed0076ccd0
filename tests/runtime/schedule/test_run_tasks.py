"""A run's file names its tasks, what each requires, and what is to happen to it, whatever they are and yield."""

from __future__ import annotations

import luigi
import pytest

from kart_runtime import BuildFailed, ExternalTask, TaskOnKart, build
from kart_runtime.history.runs import list_runs, read_runs

OPTIONS = [pytest.param({}, id="serial"), pytest.param({"executor": "processes", "workers": 2}, id="processes")]


class Number(TaskOnKart[int]):
    n: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        self.dump(self.n)


class Plain(luigi.Task):
    def complete(self):
        return True


class Sum(TaskOnKart[int]):
    numbers: luigi.ListParameter = luigi.ListParameter()
    elsewhere: luigi.BoolParameter = luigi.BoolParameter(default=False)

    def requires(self):
        place = {"workspace_directory": "elsewhere"} if self.elsewhere else {}
        return [Plain(), *(Number(n=n, **place) for n in self.numbers)]

    def run(self):
        self.dump(sum(self.numbers))


class Total(TaskOnKart[int]):
    def requires(self):
        return {"a": Sum(numbers=[1, 2]), "b": Sum(numbers=[2, 3])}

    def run(self):
        yield Sum(numbers=[3, 4])
        yield [Number(n=9), Number(n=1)]
        self.dump(0)


def edges_of(run):
    """Return each task with what it requires, and its verdict, by class name and id."""
    names = [f"{task.task} {task.unique_id}" for task in run.graph.tasks]
    pairs = zip(names, run.graph.requires, run.graph.verdicts, strict=True)
    return {
        name: ([each if isinstance(each, str) else names[each] for each in ids], letter) for name, ids, letter in pairs
    }


def name(task):
    return f"{type(task).__name__} {task.make_unique_id()}"


def last_run(workspace="resources"):
    *_, run = read_runs(workspace, list_runs(workspace))
    return run


@pytest.mark.parametrize("options", OPTIONS)
def test_edges_and_verdicts_are_those_of_the_plan_and_of_what_was_yielded(options):
    build(Number(n=2))
    build(Total(), **options)
    numbers = {n: name(Number(n=n)) for n in (1, 2, 3, 4, 9)}
    sums = {pair: name(Sum(numbers=list(pair))) for pair in ((1, 2), (2, 3), (3, 4))}
    edges = edges_of(last_run())
    assert edges.pop(numbers[2]) == ([], "s")
    assert edges == {
        **{numbers[n]: ([], "r") for n in (1, 3, 4, 9)},
        **{sums[pair]: ([numbers[pair[0]], numbers[pair[1]]], "r") for pair in sums},
        name(Total()): ([sums[1, 2], sums[2, 3], sums[3, 4], numbers[9]], "r"),  # number 1 was there
    }
    requires = {record.unique_id: record.requires for record in last_run().records}
    total = Sum(numbers=[1, 2])
    assert requires[total.make_unique_id()] == tuple(task.make_unique_id() for task in total.requires()[1:])


def test_a_task_of_another_workspace_is_named_by_its_id():
    task = Sum(numbers=[1, 2], elsewhere=True)
    build(task)
    upstream = [Number(n=n, workspace_directory="elsewhere") for n in (1, 2)]
    assert edges_of(last_run()) == {name(task): ([number.make_unique_id() for number in upstream], "r")}
    assert edges_of(last_run("elsewhere")) == {name(number): ([], "r") for number in upstream}


class Missing(ExternalTask):
    def output(self):
        return self.make_target("missing.json", use_unique_id=False)


class Needs(TaskOnKart[int]):
    def requires(self):
        return [Missing(), Number(n=1)]

    def run(self):
        self.dump(1)


def test_what_is_missing_is_x_and_what_it_blocks_is_in_the_end():
    with pytest.raises(BuildFailed):
        build(Needs())
    edges = edges_of(last_run())
    assert {task.partition(" ")[0]: letter for task, (_, letter) in edges.items()} == {
        "Missing": "x",
        "Number": "r",
        "Needs": "r",
    }
    end = last_run().end
    assert end["state"] == "failed"
    assert (end["missing"], end["not_started"], end["ran"]) == (1, 1, 1)
    assert end["blocked"] == [[Needs().make_unique_id(), Missing().make_unique_id()]]


def test_classes_of_one_name_and_modules_that_alternate_keep_their_numbers():
    def made(module):
        class Same(TaskOnKart[int]):
            n: luigi.IntParameter = luigi.IntParameter()

            def run(self):
                self.dump(self.n)

        Same.__module__ = module
        return Same

    one, two = made("one"), made("two")

    class Root(TaskOnKart[int]):
        def requires(self):
            return [one(n=1), two(n=2), Number(n=3), one(n=4), two(n=5)]

        def run(self):
            self.dump(0)

    build(Root())
    expected = [task.make_unique_id() for task in Root().requires()]
    edges = edges_of(last_run())
    assert [each.partition(" ")[2] for each in edges[name(Root())][0]] == expected
    assert {task.module for task in last_run().graph.tasks} == {"one", "two", __name__}


def test_nothing_is_recorded_of_edges_where_nothing_runs():
    build(Total())
    build(Total())
    assert last_run().graph is None
    assert len(last_run().tasks) == 6
    assert last_run().end["state"] == "done"
