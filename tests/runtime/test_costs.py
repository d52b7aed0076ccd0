"""What does a task cost, in things that can be counted? A guard on speed whose numbers are the same on every machine.

Each count is the difference between a large and a small graph, so that what a process does once does not matter.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROGRAM = """\
import collections, json, os, sys
import luigi
from luigi import task_register
from kart_runtime import TaskOnKart, build
from kart_runtime.task.parameters import resolution
from kart_runtime.storage.target import Target

counts = collections.Counter()

def counted(owner, name):
    function = getattr(owner, name)
    def counting(*args, **kwargs):
        counts[name] += 1
        return function(*args, **kwargs)
    setattr(owner, name, counting)

WIDTH, COUNT = 10, int(sys.argv[1])

class Work(TaskOnKart[int]):
    i = luigi.IntParameter()

    def requires(self):
        counts["requires"] += 1
        row, column = divmod(self.i, WIDTH)
        if row:
            return [Work(i=(row - 1) * WIDTH + (column + step) % WIDTH) for step in (-1, 0, 1)]
        return []

    def output(self):
        counts["output"] += 1
        return self.make_target()

    def complete(self):
        counts["complete"] += 1
        return super().complete()

    def run(self):
        counts["run"] += 1
        self.dump(self.i)

if sys.argv[2] == "plain":
    del Work.complete

# What luigi asks for each task: its parameters of the class, its configuration, its defaults.
counted(luigi.Parameter, "has_task_value")
counted(luigi.Parameter, "task_value")
counted(resolution, "_listed")
counted(luigi.Task, "get_params")
counted(task_register.Register, "get_task_cls")
counted(luigi.configuration, "get_config")
counted(Target, "__init__")
for name in ("stat", "open", "listdir", "scandir", "mkdir", "replace", "unlink"):
    counted(os, name)

build([Work(i=COUNT - 1 - step) for step in range(WIDTH)], return_value=False)
print(json.dumps(counts))
"""


@cache
def counts(number: int, how: str = "plain", *, again: bool = False) -> dict[str, int]:
    here = Path.cwd()
    for _ in range(1 + again):
        command = [sys.executable, str(here / "program.py"), str(number), how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shutil.rmtree("resources")
    found: dict[str, int] = json.loads(done.stdout)
    return found


def per_task(how: str = "plain", *, again: bool = False) -> dict[str, float]:
    Path("program.py").write_text(PROGRAM)
    counts.cache_clear()
    small, large = counts(50, how, again=again), counts(250, how, again=again)
    # Rounded, because a longer run writes the index of records, once.
    grown = {name: round((count - small.get(name, 0)) / 200, 1) for name, count in large.items()}
    return {name: count for name, count in grown.items() if count}


def test_a_first_run_asks_everything_once():
    # Every 50 ms one more look, whether the folder is still the same one.
    assert {name: int(count) for name, count in per_task().items()} == {
        "requires": 1,
        "output": 1,
        "__init__": 1,
        "run": 1,
        "stat": 1,  # whether the output is there
        "open": 6,  # the output and the five log files
        "replace": 1,
    }


def test_a_complete_method_of_the_users_own_is_asked_once():
    found = per_task("own")
    assert (found["requires"], found["complete"], found["run"]) == (1, 1, 1)


def test_a_run_with_nothing_to_do_only_names_the_tasks():
    assert per_task(again=True) == {"requires": 1, "stat": 1}  # whether the output is what the task has written


def system_calls(number: int) -> dict[str, int]:
    command = ["strace", "-f", "-c", "-o", "calls.txt", sys.executable, "program.py", str(number), "plain"]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    shutil.rmtree("resources")
    lines = Path("calls.txt").read_text().splitlines()
    rows = [line.split() for line in lines if re.match(r"\s*\d+\.\d", line)]
    return {row[-1]: int(row[3]) for row in rows if row[-1] != "total"}


def _can_trace() -> bool:
    return bool(shutil.which("strace")) and not subprocess.run(["strace", "-c", "true"], capture_output=True).returncode


@pytest.mark.skipif(not _can_trace(), reason="strace is missing, or may not trace here")
def test_the_system_is_asked_for_nothing_more():
    Path("program.py").write_text(PROGRAM)
    small, large = system_calls(50), system_calls(450)
    found = {name: round((large[name] - small.get(name, 0)) / 400, 1) for name in large}

    def calls(*names):  # the same question has other names on other machines
        return sum(found.get(name, 0.0) for name in names)

    opened, closed, renamed = calls("open", "openat"), calls("close"), calls("rename", "renameat", "renameat2")
    assert (opened, calls("write"), closed, renamed) == (6.0, 7.0, 6.0, 1.0)  # and the line in the run's record
    # Whether the output exists, the version of what was written, and whether the lock file is still there.
    assert 3.0 <= calls("stat", "fstat", "newfstatat", "fstatat", "statx") <= 3.1
    # All locks are held at once, as nobody else is there, which a thread makes sure of ten times a second.
    looks, slept = calls("fcntl"), calls("clock_nanosleep", "nanosleep", "select", "pselect6")
    assert looks <= slept + 0.1
    # The processor time of the attempt, at its beginning and at its end.
    assert calls("clock_gettime") <= 2.1
    # The log files get their names when they are whole, so that a killed process leaves none that cannot be read.
    assert calls("link", "linkat") in {0.0, 5.0}  # 0 where the disk has no files without names
    # What is left is memory, the garbage of some hundred tasks, and whether the working folder is still the same. It
    # takes out what depends on the time that all this takes: the thread's looks, and its turns at the interpreter.
    assert sum(found.values()) - calls("link", "linkat", "futex") - looks - slept < 26.5
