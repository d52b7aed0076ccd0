"""Builds on several workers: where tasks run, what a dying worker costs, and what a script needs for it (nothing)."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ConfigError, WorkerDied
from kart_runtime.history.runs import read_records

ALL = [
    {},
    {"executor": "threads", "workers": 1},
    {"executor": "threads", "workers": 3},
    {"executor": "processes", "workers": 1},
    {"workers": 2},
]


class Where(TaskOnKart[tuple[int, str]]):
    number: luigi.IntParameter = luigi.IntParameter(default=0)

    def run(self):
        self.dump((os.getpid(), threading.current_thread().name))


class Sum(TaskOnKart[int]):
    count: luigi.IntParameter = luigi.IntParameter()

    def requires(self):
        return [One(number=number) for number in range(self.count)]

    def run(self):
        self.dump(sum(self.load()))


class One(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        self.dump(self.number)


@pytest.mark.parametrize("options", ALL)
def test_the_same_results_everywhere(options):
    assert build(Sum(count=20), **options) == 190
    assert sorted(record.task for record in read_records("resources")) == ["One"] * 20 + ["Sum"]


class Yields(TaskOnKart[int]):
    count: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        with Path("entered.txt").open("a") as file:
            file.write("x")
        total = 0
        for number in range(self.count):
            task = One(number=number)
            yield task
            total += task.output().load()
        self.dump(total)


@pytest.mark.parametrize("options", ALL[:3])
def test_a_run_that_yields_500_times_is_entered_once(options):
    assert build(Yields(count=500), **options) == 124750
    assert Path("entered.txt").read_text() == "x"


def test_more_workers_are_processes_without_more():
    pids = {pid for pid, _ in build([Where(number=number) for number in range(4)], workers=2)}
    assert pids.isdisjoint({os.getpid()})


class InThread(Where):
    executor = "threads"


class Here(Where):
    executor = "serial"


class Away(Where):
    executor = "processes"


@pytest.mark.parametrize("options", ALL)
def test_a_task_may_say_where_it_runs(options):
    (thread_pid, thread), (here_pid, here), (away_pid, _) = build([InThread(), Here(), Away()], **options)
    assert (thread_pid, here_pid, here) == (os.getpid(), os.getpid(), "MainThread")
    assert thread != "MainThread"
    assert away_pid != os.getpid()


class Misspelt(Where):
    executor = "thread"


def test_a_misspelt_executor_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"Misspelt\.executor.*threads"):
        build([One(number=1), Misspelt()])
    assert not Path("resources").exists()


class OwnParameter(TaskOnKart[str]):
    executor: luigi.Parameter = luigi.Parameter(default="spark")

    def run(self):
        self.dump(self.executor)


def test_a_parameter_called_executor_is_the_users_own():
    assert build(OwnParameter()) == "spark"


class Dies(TaskOnKart[int]):
    times: luigi.IntParameter = luigi.IntParameter()
    how: luigi.Parameter = luigi.Parameter()

    def run(self):
        marks = Path("deaths")
        marks.mkdir(exist_ok=True)
        if len(list(marks.iterdir())) < self.times:
            Path(marks, str(os.getpid())).touch()
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        self.dump(self.times)


class Long(TaskOnKart[int]):
    def run(self):
        with Path("long.txt").open("a") as file:
            file.write("x")
        time.sleep(1.0)
        self.dump(7)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_task_whose_worker_dies_is_tried_once_more_and_the_others_go_on(how, caplog):
    with caplog.at_level(logging.WARNING):
        assert build([Long(), Dies(times=1, how=how)], workers=2) == [7, 1]
    assert Path("long.txt").read_text() == "x"
    assert "Dies" in caplog.text
    assert ("exit code 3" if how == "exit" else "SIGKILL") in caplog.text
    states = [record.state for record in read_records("resources") if record.task == "Dies"]
    assert states == ["failed", "done"]


def test_a_task_that_kills_two_workers_has_failed_and_the_error_names_it():
    with pytest.raises(BuildFailed, match=r"(?s)Dies.*exit code 3") as caught:
        build([Long(), Dies(times=9, how="exit")], workers=2)
    assert len(list(Path("deaths").iterdir())) == 2
    assert Long().complete()
    error = next(iter(caught.value.causes.values()))
    assert isinstance(error, WorkerDied)
    assert error.exit_code == 3


SCRIPT = """\
import os
import luigi
from kart_runtime import TaskOnKart, build

class Part(TaskOnKart):
    number = luigi.IntParameter()
    def run(self):
        self.dump({"pid": os.getpid(), "type": Value(self.number)})

class Value:
    def __init__(self, number):
        self.number = number

class Whole(TaskOnKart):
    def requires(self):
        return [Part(number=number) for number in range(4)]
    def run(self):
        parts = self.load()
        self.dump((sum(part["type"].number for part in parts), [part["pid"] for part in parts]))

total, pids = build(Whole(), workers=2)
print(total, os.getpid() in pids)
"""


def test_a_script_needs_no_guard_and_its_classes_arrive():
    Path("script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("6 False\n", 0), done.stderr


def test_ctrl_c_ends_the_workers_and_keeps_what_is_done():
    Path("script.py").write_text(
        "import os, time\n"
        "from kart_runtime import TaskOnKart, build\n"
        "class Done(TaskOnKart):\n"
        "    def run(self):\n"
        "        self.dump(1)\n"
        "class Endless(TaskOnKart):\n"
        "    def requires(self):\n"
        "        return Done()\n"
        "    def run(self):\n"
        "        open('pid.txt', 'w').write(str(os.getpid()))\n"
        "        time.sleep(120)\n"
        "        self.dump(2)\n"
        "build(Endless(), workers=2)\n"
    )
    child = subprocess.Popen([sys.executable, "script.py"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (Path("pid.txt").exists() and Path("pid.txt").read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in error
    worker = int(Path("pid.txt").read_text())
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
    outputs = [path.name for path in Path("resources/__main__").iterdir()]
    assert [name.partition("_")[0] for name in outputs] == ["Done"]


def test_an_error_of_a_scripts_own_class_comes_back_as_that_class():
    Path("script.py").write_text(
        "from kart_runtime import BuildFailed, TaskOnKart, build\n"
        "class Odd(Exception):\n"
        "    pass\n"
        "class Fails(TaskOnKart):\n"
        "    def run(self):\n"
        "        raise Odd('seven')\n"
        "try:\n"
        "    build(Fails(), workers=2)\n"
        "except BuildFailed as failed:\n"
        "    error = failed.__cause__\n"
        "    print(type(error) is Odd, error, 'In process' in error.__notes__[0])\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("True seven True\n", 0), done.stderr
