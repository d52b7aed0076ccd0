"""A task that runs says how far it is: to the listener of the build, from wherever it runs."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import sys
import time

import luigi
import pytest

from kart_runtime import TaskOnKart, TaskProgress, build
from kart_runtime.task.progress import Progress
from kart_runtime.task.state import TaskRun


class Loops(TaskOnKart[int]):
    size = luigi.IntParameter(default=4)

    def run(self):
        for _ in self.progress(range(self.size), text="epoch"):
            time.sleep(0.3)
        self.set_status_message("saving")
        self.set_progress_percentage(90)
        self.dump(1)


class PlainLoops(luigi.Task):
    path = luigi.Parameter()

    def output(self):
        return luigi.LocalTarget(self.path)

    def run(self):
        self.set_status_message("half")
        self.set_progress_percentage(50)
        with self.output().open("w") as file:
            file.write("1")


def events_of(*tasks, **options):
    """Build tasks and return what they said: part and text."""
    events = []
    build(list(tasks), False, on_event=events.append, **options)
    return [(event.done, event.text) for event in events if isinstance(event, TaskProgress)]


@pytest.mark.parametrize(
    "options",
    [{}, {"executor": "threads"}, {"executor": "processes"}, {"executor": "processes", "workers": 2}],
    ids=["serial", "threads", "a process", "processes"],
)
def test_progress_comes_from_every_executor(tmp_path, options):
    said = events_of(Loops(workspace_directory=str(tmp_path)), PlainLoops(path=str(tmp_path / "plain")), **options)
    assert [each for each in said if each[1] == "epoch"][:1] == [(0.0, "epoch")]
    assert (1.0, "epoch") in said
    assert (0.9, "saving") in said
    assert (0.5, "half") in said
    parts = [done for done, text in said if text == "epoch"]
    assert parts == sorted(parts)
    assert {0.25, 0.5, 0.75} <= set(parts)


def test_progress_comes_from_a_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        tasks = [Loops(size=size, workspace_directory=str(tmp_path)) for size in (4, 5)]
        said = events_of(*tasks, executor="dask")
    assert {0.25, 0.5, 0.75, 0.2, 0.4, 0.6, 0.8, 1.0} <= {done for done, text in said if text == "epoch"}


def task_in_run(report):
    """Return a task as it is while it runs."""
    task = Loops()
    task._kart_run = TaskRun(task=task, report=report)
    return task


def test_outside_of_a_run_it_is_the_iterable_itself():
    items = [1, 2]
    assert Loops().progress(items) is items
    Loops().set_progress_percentage(50)
    Loops().set_status_message("nothing happens")


def test_a_run_that_nobody_watches_gets_the_iterable_itself():
    task, items = task_in_run(None), [1, 2]
    assert task.progress(items) is items


@pytest.mark.parametrize(
    ("items", "total", "parts"),
    [
        ([1, 2], None, [0.0, 0.5, 1.0, 1.0]),
        (iter([1, 2]), 2, [0.0, 0.5, 1.0, 1.0]),
        (iter([1, 2]), None, [None] * 4),
        ([1, 2, 3, 4], 2, [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
        ([1, 2], 0, [None] * 4),
        ([], None, [None, None]),
        ([1], float("nan"), [None] * 3),
    ],
)
def test_parts_with_and_without_a_length(items, total, parts, monkeypatch):
    monkeypatch.setattr("kart_runtime.task.progress._A_SECOND", 100.0)
    said = []
    task = task_in_run(lambda done, text: said.append((done, text)))
    wanted = list(items) if isinstance(items, list) else [1, 2]
    assert list(task.progress(items, total=total)) == wanted
    assert [done for done, _ in said] == parts
    if parts[0] is None and len(parts) == 4:
        assert [text for _, text in said] == ["0", "1", "2", "2"]


def test_an_inner_loop_shows_how_far_the_outer_one_is(monkeypatch):
    monkeypatch.setattr("kart_runtime.task.progress._A_SECOND", 100.0)
    said = []
    task = task_in_run(lambda done, text: said.append((done, text)))
    for _ in task.progress(range(2), text="fold"):
        for _ in task.progress(range(2), text="epoch"):
            pass
    assert (0.75, "fold epoch") in said
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    assert said[-1] == (1.0, "fold")


def test_a_loop_that_is_left_early_is_forgotten():
    said = []
    task = task_in_run(lambda done, text: said.append((done, text)))
    for item in task.progress(itertools.count(), text="batch"):
        if item == 3:
            break
    task.set_status_message("after")
    assert said[-1] == (None, "after")


def test_a_tight_loop_sends_few_reports_and_costs_little():
    said = []
    task = task_in_run(lambda done, text: said.append(done))
    began = time.monotonic()
    for _ in task.progress(range(200_000)):
        pass
    seconds = time.monotonic() - began
    assert len(said) <= 4 * seconds + 6
    assert seconds < 200_000 * 20e-6  # measured: 0.5 µs an item


def test_whoever_watches_cannot_fail_the_task():
    def refuse(done, text):
        raise RuntimeError("the display is broken")

    task = task_in_run(refuse)
    assert list(task.progress([1, 2])) == [1, 2]
    task.set_progress_percentage("no number")
    task.set_progress_percentage(float("nan"))
    task.set_status_message(None)


def test_an_error_in_the_loop_is_the_users_own():
    task = task_in_run(lambda done, text: None)

    def items():
        yield 1
        raise ValueError("from the items")

    with pytest.raises(ValueError, match="from the items"):
        list(task.progress(items()))


class Named(TaskOnKart[int]):
    progress = luigi.FloatParameter(default=0.5)

    def run(self):
        self.dump(int(self.progress * 10))


def test_a_parameter_may_have_its_name(tmp_path):
    assert build(Named(workspace_directory=str(tmp_path)), on_event=lambda event: None) == 5


class Forks(TaskOnKart[int]):
    def run(self):
        process = multiprocessing.get_context("fork").Process(target=self.inner)
        process.start()
        process.join()
        self.dump(process.exitcode)

    def inner(self):
        assert list(self.progress([1, 2])) == [1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_of_run_reports_nothing(tmp_path):
    task, events = Forks(workspace_directory=str(tmp_path)), []
    assert build(task, executor="processes", on_event=events.append) == 0
    assert not [event for event in events if isinstance(event, TaskProgress)]


def test_the_reports_are_no_part_of_what_is_sent():
    task = task_in_run(lambda done, text: None)
    assert pickle.loads(pickle.dumps(task)) == task  # the function could not be pickled


def test_many_reports_come_at_four_a_second(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said = []
    progress = Progress(lambda done, text: said.append(now[0]))
    for _ in range(1000):
        now[0] += 0.01
        progress.say(text="x")
    assert len(said) <= 4 * 10 + 8
    for second in range(2, 9):
        assert 3 <= len([when for when in said if second <= when < second + 1]) <= 5
