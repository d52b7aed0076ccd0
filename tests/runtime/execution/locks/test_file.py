"""Locks by default in a folder: one file, each task once, whatever dies, collides, comes late or waits."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kart_runtime
from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ConfigError, LockTimeout
from kart_runtime.execution.locks import FileLocks, lock_file, make_locks, ranges
from kart_runtime.schedule.events import TaskLocked, waiting_text
from kart_runtime.schedule.waiting import _Wait
from kart_runtime.task.naming import lock_name

SYSTEMS = [ranges.system_ranges, ranges.process_ranges]


@pytest.fixture(params=SYSTEMS, ids=["of the file", "of the process"])
def _system(request, monkeypatch):
    monkeypatch.setattr(ranges, "system_ranges", request.param)


@contextlib.contextmanager
def program(script: str, *arguments: str):
    """Run a program that says "ready" before the block begins, and may wait for its standard input."""
    command = [sys.executable, "-c", script, *arguments]
    environ = {**os.environ, "PYTHONPATH": str(Path(kart_runtime.__file__).parents[1])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


HOLDER = """
import os, sys, time
from kart_runtime.execution.locks import lock_file, make_locks
how, folder = sys.argv[1:]
locks = make_locks("auto", folder)
with locks.opened():
    lock = locks.acquire("x", None, 0.0)
    if how == "suspended":
        lock.suspend()
    if how == "passed":
        import subprocess
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        paths = {n: os.path.realpath(f"/proc/self/fd/{n}") for n in numbers}
        kept = [n for n, path in paths.items() if path.endswith("tasks.lock")]
        nothing = subprocess.DEVNULL
        subprocess.Popen(["sleep", "20"], pass_fds=kept, stdin=nothing, stdout=nothing, stderr=nothing)
    if how == "forked" and not os.fork():
        os.close(0), os.close(1), os.close(2)
        time.sleep(30)
    print("ready", flush=True)
    sys.stdin.read()
"""


def held(folder, name="x"):
    """Return who holds a name, None if nobody does."""
    locks = FileLocks(str(folder))
    with locks.opened():
        try:
            locks.acquire(name, None, 0.0).release()
        except LockTimeout as error:
            return error
    return None


@pytest.mark.usefixtures("_system")
def test_whoever_comes_to_a_process_that_was_alone_gets_what_that_does_not_need(tmp_path):
    with program(HOLDER, "plain", str(tmp_path)) as process:
        assert held(tmp_path, "y") is None
        error = held(tmp_path)
        assert f"process {process.pid}, since " in error.holder
        assert not error.is_suspended
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert held(tmp_path) is None
    assert [path.name for path in (tmp_path / "log/locks").iterdir()] == ["tasks.lock"]


def test_a_suspended_holder_says_so(tmp_path):
    with program(HOLDER, "suspended", str(tmp_path)):
        assert held(tmp_path).is_suspended


def test_a_child_of_a_killed_holder_keeps_nothing(tmp_path):
    with program(HOLDER, "forked", str(tmp_path)) as process:
        assert held(tmp_path) is not None
        process.kill()
        process.wait()
        assert held(tmp_path) is None


def test_a_stopped_holder_of_a_long_task_keeps_only_that(tmp_path):
    with program(HOLDER, "plain", str(tmp_path)) as process:
        time.sleep(lock_file._LONG + 3 * lock_file._INTERVAL)
        process.send_signal(signal.SIGSTOP)
        assert held(tmp_path, "y") is None
        assert f"process {process.pid}" in held(tmp_path).holder
        process.send_signal(signal.SIGCONT)


def test_a_stopped_holder_of_all_tasks_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_file, "_SILENT", 0.1)
    with program(HOLDER, "plain", str(tmp_path)) as process:
        process.send_signal(signal.SIGSTOP)
        error = held(tmp_path, "y")
        process.send_signal(signal.SIGCONT)
    assert "holds the locks of all tasks of the folder and does not answer" in error.holder
    assert f"kill -CONT {process.pid}" in str(error)
    text = waiting_text(_Wait(Plain(), error, 0.0).event(), "x")
    assert re.match(rf"waiting for x: process {process.pid} on \S+ holds the locks of all", text)


def test_a_child_that_keeps_the_file_of_a_dead_holder_is_told(tmp_path):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the descriptors are not listed")
    with program(HOLDER, "passed", str(tmp_path)) as process:
        time.sleep(lock_file._LONG + 3 * lock_file._INTERVAL)
        process.kill()
        process.wait()
        error = held(tmp_path)
    assert f"process {process.pid}" in error.holder
    assert "it has ended, but a process that it has started has its lock file open" in str(error)


def test_whose_the_lock_file_is_is_told_with_what_to_do(tmp_path, monkeypatch, caplog):
    path = tmp_path / "log/locks/tasks.lock"
    path.parent.mkdir(parents=True)
    path.touch()
    real = os.open

    def refuse(name, *arguments, **options):
        if str(name) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    make_locks("auto", str(tmp_path)).check()
    assert f"{path} belongs to user " in caplog.text
    assert "umask 002" in caplog.text
    with pytest.raises(ConfigError, match="common group"):
        make_locks("file", str(tmp_path)).check()


def test_a_link_in_place_of_the_lock_file_is_refused(tmp_path):
    path = tmp_path / "log/locks/tasks.lock"
    path.parent.mkdir(parents=True)
    (tmp_path / "other.txt").write_text("mine")
    path.symlink_to(tmp_path / "other.txt")
    for kind in ("auto", "file"):
        with pytest.raises(ConfigError, match=r"tasks\.lock is a link, .* Delete it"):
            make_locks(kind, str(tmp_path)).check()
    assert (tmp_path / "other.txt").read_text() == "mine"


def test_a_task_that_opens_and_closes_the_file_loses_no_lock(tmp_path):
    locks = make_locks("auto", str(tmp_path))
    with locks.opened(), locks.hold("x", None, 0.0):
        for _ in range(3):
            (tmp_path / "log/locks/tasks.lock").read_bytes()
        child = os.fork()
        if not child:
            os._exit(7 if held(tmp_path) else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_names_with_one_hash_are_one_lock_for_others_and_two_here(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_file, "hash_of", lambda _name: 5)
    locks = FileLocks(str(tmp_path))
    with locks.opened(), locks.hold("x", None, 0.0):
        with locks.hold("y", None, 0.0), pytest.raises(LockTimeout), locks.hold("x", None, 0.0):
            pytest.fail("the lock is held")
        child = os.fork()
        if not child:
            os._exit(7 if held(tmp_path, "z") else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert held(tmp_path) is None


def test_alone_a_task_costs_one_look_at_the_file(tmp_path, monkeypatch):
    calls = []
    locks = make_locks("auto", str(tmp_path))
    monkeypatch.setattr(lock_file, "_LONG", 1e9)
    with locks.opened():
        locks.check()
        for name in ("_lock", "_unlock", "_read", "_write"):
            monkeypatch.setattr(locks._files[str(tmp_path)], name, lambda *_, name=name: calls.append(name))
        fstat = os.fstat
        monkeypatch.setattr(os, "fstat", lambda descriptor: calls.append("fstat") or fstat(descriptor))
        for number in range(3):
            lock = locks.acquire(f"x{number}", None, 0.0)
            assert lock.alone
            lock.check()
            lock.check_again()
            lock.release()
        monkeypatch.undo()
    assert calls == ["fstat"] * 3


def test_it_goes_to_a_worker_process_without_its_descriptor(tmp_path):
    locks = make_locks("auto", str(tmp_path))
    with locks.opened():
        locks.check()
        assert pickle.loads(pickle.dumps(locks))._files == {}


# -- without locks ---------------------------------------------------------------------------------------------------


class Plain(TaskOnKart[int]):
    def run(self):
        self.dump(1)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_used_without_and_told_once(number, monkeypatch, caplog):
    def refuse(*_arguments):
        refused.append(number)
        raise OSError(number, os.strerror(number))

    refused = []
    monkeypatch.setattr(ranges.OpenFileRanges, "lock", refuse)
    assert build([Plain(rerun=True), Plain(strict_check=True)]) == [1, 1]
    assert refused
    assert len(re.findall(r"\./resources/ has no locks on files .*so other processes", caplog.text)) == 1
    with pytest.raises(ConfigError, match=r"run\.locks: \./resources/ has no locks on files"):
        build(Plain(rerun=True), locks="file")


def test_a_lock_file_of_another_user_is_told(monkeypatch, caplog):
    Path("resources").mkdir()
    real, refused = os.open, []

    def refuse(path, *arguments, **options):
        if str(path).endswith(lock_file.NAME):
            refused.append(path)
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert build(Plain()) == 1
    assert refused
    assert "has no locks on files" in caplog.text


def test_an_object_store_has_no_locks_unless_they_are_set():
    assert build(Plain(workspace_directory="memory://unlocked")) == 1
    assert make_locks("auto", "memory://unlocked").acquire("x", None, 0.0).alone


# -- builds ----------------------------------------------------------------------------------------------------------

OTHER = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path.cwd()))
import pipeline
print("ready", flush=True)
sys.stdin.readline()
print(pipeline.build_all(sys.argv[1]), flush=True)
"""

PIPELINE = """
import os, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart, build
from kart_runtime.execution.locks import lock_file

def note(text):
    with open("ran.txt", "a") as file:
        file.write(f"{text}\\n")

class Leaf(TaskOnKart[int]):
    name: str = luigi.Parameter()

    def run(self):
        note(f"Leaf-{self.name}")
        time.sleep(0.05)
        self.dump(1)

class First(TaskOnKart[int]):
    def run(self):
        note("First")
        yield [Leaf(name="a"), Leaf(name="b")]
        yield Leaf(name="c")
        self.dump(1)

class Second(TaskOnKart[int]):
    def run(self):
        note("Second")
        yield [Leaf(name="b"), Leaf(name="d")]
        yield [Leaf(name="a"), First()]
        self.dump(2)

class Slow(TaskOnKart[int]):
    def run(self):
        note("Slow")
        Path("slow").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        self.dump(3)

def build_all(which):
    tasks = {"first": [First(), Second()], "second": [Second(), First()], "slow": [Slow(), Leaf(name="e")]}[which]
    return sum(build(tasks, lock_wait=30))

if os.environ.get("HASHES"):
    lock_file.hash_of = lambda name: sum(map(ord, name)) % int(os.environ["HASHES"])
"""


def runs():
    return sorted(Path("ran.txt").read_text().split())


@pytest.mark.parametrize("hashes", ["", "1", "2"], ids=["", "one hash", "two hashes"])
def test_tasks_that_yield_what_another_process_runs_run_once_and_never_wait_for_ever(hashes, monkeypatch):
    Path("pipeline.py").write_text(PIPELINE)
    monkeypatch.setenv("HASHES", hashes)
    with program(OTHER, "first") as one, program(OTHER, "second") as two:
        for process in (one, two):
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.stdout.readline() for process in (one, two)] == ["3\n", "3\n"]
    if hashes != "2":  # then both may have to let the other one run what they have begun
        assert runs() == ["First", "Leaf-a", "Leaf-b", "Leaf-c", "Leaf-d", "Second"]
    assert {"First", "Second"} <= set(runs())
    assert [runs().count(f"Leaf-{name}") for name in "abcd"] == [1] * 4


def test_what_another_process_has_run_since_the_plan_is_not_run_again(monkeypatch):
    Path("pipeline.py").write_text(PIPELINE)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import pipeline

    with program(OTHER, "slow") as other:
        Path("go").touch()
        planned = []

        def listen(event):
            if type(event).__name__ == "PlanMade":  # the other one comes, runs all, and goes
                other.stdin.write("\n")
                other.stdin.flush()
                planned.append(other.stdout.readline())
                other.wait(20)

        assert build([pipeline.Slow(), pipeline.Leaf(name="e")], on_event=listen) == [3, 1]
    assert planned == ["4\n"]
    assert runs() == ["Leaf-e", "Slow"]
    del sys.modules["pipeline"]


def test_who_waits_says_for_whom_and_goes_on_soon(monkeypatch):
    Path("pipeline.py").write_text(PIPELINE)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import pipeline

    events = []
    with program(OTHER, "slow") as other:
        other.stdin.write("\n")
        other.stdin.flush()
        while not Path("slow").exists():
            time.sleep(0.01)

        def listen(event):
            if isinstance(event, TaskLocked):
                events.append(event)
                if event.number:
                    other.kill()
                    other.wait()
                    Path("go").touch()
                    events.append(time.monotonic())

        assert build(pipeline.Slow(), on_event=listen) == 3
        waited = time.monotonic() - events.pop()
    assert waited < 2
    assert [event.number for event in events] == [0, 1]
    assert events[0].holder.startswith(f"process {other.pid} on ")
    assert 0.9 < events[1].seconds < 30
    del sys.modules["pipeline"]


class Locked(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def test_the_log_says_for_whom_a_build_waits(tmp_path, caplog):
    folder = str(tmp_path / "w")
    with program(HOLDER.replace('"x"', f'"{lock_name(Locked())}"'), "plain", folder) as other:
        with pytest.raises(BuildFailed, match=f"locked by host .*, process {other.pid}, since"):
            build(Locked(workspace_directory=folder), lock_wait=1.5)
        told = rf"waiting for Locked\[\w+\]: process {other.pid} on \S+ has been running it for \d+ s"
        assert re.search(told, caplog.text)


def chaos(*arguments):
    command = [sys.executable, "-m", "tests.runtime.lock_chaos", *arguments]
    root = Path(__file__).parents[4]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_processes_that_are_killed_at_random_run_each_task_once_or_again_after_a_kill():
    counts = chaos("--kills", "6", "--seed", "1")
    assert counts["kills"] == 6
    assert counts["twice"] == 0
    assert counts["lock files"] == 1


def test_without_locks_the_same_check_finds_what_ran_twice():
    assert chaos("--kills", "0", "--seed", "1", "--locks", "none")["twice"] > 0
