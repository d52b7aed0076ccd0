"""Several processes build one graph in one workspace at once: with any lock each task runs once, without none breaks.

The paused-holder experiment is here, too: a process is stopped in the middle of a task for longer than its lock lasts.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import kart_runtime
from kart_runtime.history.runs import read_records
from kart_runtime.storage.registry import store_for

GRAPH = """
import os, sys, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart, build

UPSTREAM = {9: range(4, 9), 8: [1], 7: [2, 3], 6: [0, 1], 5: [0]}

class Node(TaskOnKart[int]):
    number = luigi.IntParameter()

    def requires(self):
        return [self.clone(number=number) for number in UPSTREAM.get(self.number, [])]

    def run(self):
        with open("ran.txt", "a") as file:
            file.write(f"{self.number}\\n")
        time.sleep(0.02)
        self.dump(1 + sum(self.load()))

workspace, locks, workers = sys.argv[1:]
print("ready", flush=True)
sys.stdin.read()
print(build(Node(number=9, workspace_directory=workspace), locks=locks, workers=int(workers)))
"""


@pytest.fixture
def redis_url(redis_port):
    return f"redis://127.0.0.1:{redis_port}"


@pytest.fixture
def place(request, tmp_path, monkeypatch):
    """Return a workspace and its kind of locks, from a text like "s3 workspace"."""
    where, kind = request.param.split()
    locks = request.getfixturevalue("redis_url") if kind == "redis" else kind
    if where == "disk":
        return "resources", locks
    request.getfixturevalue(where)
    monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "cache"))
    return f"{'gs' if where == 'gcs' else where}://bucket/{tmp_path.name}", locks


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(kart_runtime.__file__).parents[1])},
    )


def build_at_once(*arguments, processes=4):
    """Start programs, let them go at one moment, and return how often each task ran."""
    with contextlib.ExitStack() as running:
        programs = [running.enter_context(start(GRAPH, *arguments)) for _ in range(processes)]
        for program in programs:
            wait_for(program, "ready")
        for program in programs:
            program.stdin.close()
            program.stdin = None  # communicate() would flush it
        for program in programs:
            assert ended(program) == "12"
    return Counter(map(int, Path("ran.txt").read_text().split()))


def wait_for(program, line):
    found = program.stdout.readline()
    assert found == f"{line}\n", program.stderr.read()


def ended(program):
    """Wait for a program to succeed; return its last line."""
    out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    return out.splitlines()[-1]


ONCE = dict.fromkeys(range(10), 1)


def objects(workspace):
    """Return the names of everything in a workspace, also of temporary files."""
    if "://" not in workspace:
        return [str(path.relative_to(workspace)) for path in Path(workspace).rglob("*") if path.is_file()]
    store, prefix = store_for(workspace)
    return [one.key.removeprefix(f"{prefix}/") for one in store.list(prefix)]


def left_over(workspace):
    """Return temporary files, and locks in an object store; those on a disk stay."""
    locks = "no such folder" if workspace == "resources" else "log/locks"
    return [name for name in objects(workspace) if "/." in f"/{name}" or name.startswith(locks)]


EVERYWHERE = ["disk auto", "disk file", "disk workspace", "disk redis", "s3 workspace", "s3 redis", "gcs workspace"]


@pytest.mark.parametrize("place", EVERYWHERE, indirect=True)
def test_with_a_lock_each_task_runs_once(place):
    workspace, locks = place
    assert build_at_once(workspace, locks, "1") == ONCE
    assert left_over(workspace) == []
    assert len([name for name in objects(workspace) if "Node_" in name and not name.startswith("log/")]) == 10
    records = list(read_records(workspace))
    assert Counter(record.state for record in records) == Counter(done=10, complete=len(records) - 10)
    assert not [record.error for record in records if record.error]


@pytest.mark.parametrize("place", ["disk auto", "disk redis"], indirect=True)
def test_with_worker_processes_each_task_runs_once_too(place):
    assert build_at_once(*place, "2") == ONCE


@pytest.mark.parametrize("place", ["disk none", "s3 none"], indirect=True)
def test_without_locks_nothing_breaks(place):
    workspace, locks = place
    ran = build_at_once(workspace, locks, "1", processes=2)
    assert set(ran) == set(range(10))
    assert max(ran.values()) <= 2
    assert left_over(workspace) == []
    assert {record.state for record in read_records(workspace)} == {"done"}


PAUSED = """
import sys, time
from pathlib import Path
from kart_runtime import TaskOnKart, build
from kart_runtime.execution.locks import object_store as store_locks

me, workspace, locks, dumps = sys.argv[1:]
store_locks.LOCK_TIMEOUT = 2.0

class Slow(TaskOnKart[str]):
    def run(self):
        if dumps == "early":
            self.dump(me)
        print("running", flush=True)
        while not Path(f"go-{me}").exists():
            time.sleep(0.02)
        self.task_log["by"] = me
        if dumps == "late":
            self.dump(me)

print(build(Slow(workspace_directory=workspace, redis_timeout=2), locks=locks), flush=True)
"""


def pause_a_holder(workspace, locks, dumps="late"):
    """Stop a process in the middle of a task until another one has taken the task over; return what both have built."""
    with start(PAUSED, "paused", workspace, locks, dumps) as paused:
        wait_for(paused, "running")
        paused.send_signal(signal.SIGSTOP)
        Path("go-other").touch()
        with start(PAUSED, "other", workspace, locks, dumps) as other:
            by_other = ended(other)
        Path("go-paused").touch()
        paused.send_signal(signal.SIGCONT)
        return ended(paused), by_other


def states(workspace):
    return sorted((record.state, record.error.partition(":")[0]) for record in read_records(workspace))


def task_log(workspace):
    store, prefix = store_for(workspace)
    (found,) = store.list(f"{prefix}/log/task_log")
    with store.open(found.key) as file:
        return pickle.loads(file.read())


@pytest.mark.parametrize("place", ["disk redis", "s3 workspace", "gcs workspace"], indirect=True)
def test_a_holder_that_was_paused_past_its_time_does_not_overwrite(place):
    workspace, _ = place
    assert pause_a_holder(*place) == ("other", "other")
    assert task_log(workspace)["by"] == "other"
    assert states(workspace) == [("complete", ""), ("done", ""), ("failed", "LockLost")]
    assert left_over(workspace) == []


def test_what_was_dumped_before_the_pause_is_not_visible(redis_url):
    with start(PAUSED, "paused", "resources", redis_url, "early") as paused:
        wait_for(paused, "running")
        paused.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        Path("go-paused").touch()
        paused.send_signal(signal.SIGCONT)
        assert ended(paused) == "paused"
    assert states("resources") == [("done", ""), ("failed", "LockLost")]


@pytest.mark.parametrize("place", ["s3 workspace", "gcs workspace"], indirect=True)
def test_the_locks_of_a_killed_process_are_taken_over(place):
    with start(PAUSED, "killed", *place, "late") as killed:
        wait_for(killed, "running")
        killed.kill()
    Path("go-other").touch()
    with start(PAUSED, "other", *place, "late") as other:
        assert ended(other) == "other"
    assert left_over(place[0]) == []
