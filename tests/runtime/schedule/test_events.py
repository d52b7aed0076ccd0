"""The events of a build come in order, from one thread, with their times; the last one tells it in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskFinished, TaskOnKart, TaskStarted, build
from kart_runtime.execution.attempt import AttemptState
from kart_runtime.execution.locks import make_locks
from kart_runtime.schedule.events import Summary
from kart_runtime.task.naming import lock_name

EXECUTORS = [
    pytest.param({}, id="serial"),
    pytest.param({"executor": "threads", "workers": 2}, id="threads"),
    pytest.param({"executor": "processes", "workers": 2}, id="processes"),
]


class Sleeps(TaskOnKart[float]):
    number: luigi.IntParameter = luigi.IntParameter(default=0)

    def run(self):
        began = time.time()
        time.sleep(0.05)
        self.dump(began)


def events_of(tasks, **options):
    events, threads = [], set()

    def listen(event):
        events.append(event)
        threads.add(threading.get_ident())

    values = build(tasks, on_event=listen, **options)
    assert threads == {threading.get_ident()}
    return events, values


@pytest.mark.parametrize("options", EXECUTORS)
def test_each_task_starts_and_finishes_once_with_the_times(options):
    tasks = [Sleeps(number=number) for number in range(4)]
    before = time.time()
    events, values = events_of(tasks, **options)
    started = {event.task: event for event in events if isinstance(event, TaskStarted)}
    finished = {event.task: event for event in events if isinstance(event, TaskFinished)}
    assert list(map(type, events)).count(TaskStarted) == len(started) == 4
    assert set(started) == set(finished) == set(tasks)
    for task, began in zip(tasks, values, strict=True):
        assert before <= started[task].at <= began < finished[task].at <= time.time()
        assert events.index(started[task]) < events.index(finished[task])


@pytest.mark.parametrize("options", EXECUTORS[:2])
def test_a_task_that_another_process_runs_starts_when_it_has_the_lock(options):
    task, other = Sleeps(number=7), Sleeps(number=8)
    held = make_locks("file", task.workspace_directory).hold(lock_name(task), task.workspace_directory, 0.0)
    held.__enter__()
    started, released = [], []

    def listen(event):
        if isinstance(event, TaskFinished) and event.task == other:
            released.append(time.time())
            held.__exit__(None, None, None)
        if isinstance(event, TaskStarted) and event.task == task:
            started.append(event.at)

    build([task, other], on_event=listen, locks="file", **options)
    assert len(started) == 1
    assert started[0] >= released[0]


def test_a_task_that_another_process_completes_does_not_start():
    class Other(TaskOnKart[int]):
        def run(self):
            code = f"from {__name__} import Sleeps; from kart_runtime import build; build(Sleeps())"
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            self.dump(1)

    events, _ = events_of([Other(), Sleeps()], locks="file")
    assert [type(event.task) for event in events if isinstance(event, TaskStarted)] == [Other]
    ends = {type(event.task): event.outcome.state for event in events if isinstance(event, TaskFinished)}
    assert ends == {Other: AttemptState.DONE, Sleeps: AttemptState.COMPLETE}


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (Summary(7, 5, 2, 0, seconds=3.21), "7 tasks: 5 ran, 2 already complete (3.2 s)"),
        (Summary(7, 0, 7, 0, seconds=0.1), "Nothing to run: 7 tasks: 0 ran, 7 already complete (0.1 s)"),
        (Summary(1, 1, 0, 0, seconds=100), "1 task: 1 ran, 0 already complete (1 min 40 s)"),
        (
            Summary(2, 1, 0, 1, seconds=7300),
            "2 tasks: 1 ran, 0 already complete, 1 not needed (2 h 1 min)",
        ),
    ],
)
def test_a_summary_is_one_line(summary, text):
    assert summary.text() == text
