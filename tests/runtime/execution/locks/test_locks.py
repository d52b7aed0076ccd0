"""One holder at a time, also among processes; an error names who holds it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ConfigError, LockLost, LockTimeout
from kart_runtime.execution.locks import FileLocks, NoLocks, WorkspaceLocks, make_locks
from kart_runtime.execution.locks.redis_server import RedisLocks
from kart_runtime.history.runs import read_records
from kart_runtime.storage.registry import store_for
from kart_runtime.task.naming import lock_name

HOLDER = """
import sys
from kart_runtime.execution.locks import FileLocks
with FileLocks(sys.argv[1]).hold("x", None, 5):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds "x" until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_is_waited_for_and_its_holder_named(tmp_path, holder):
    locks = FileLocks(str(tmp_path))
    name = rf"x, locked by host {socket.gethostname()}, process {holder.pid}, since 20\d\d-\d\d-\d\dT\S+[+-]\d{{4}}\."
    with pytest.raises(LockTimeout, match=name) as caught, locks.hold("x", None, 0.2):
        pytest.fail("the lock is held by another process")
    assert caught.value.waited >= 0.2
    with locks.hold("y", None, 0.0):  # another name is free
        pass
    with locks.hold("x", str(tmp_path / "another"), 0.0):  # and so is another workspace
        pass
    holder.stdin.close()
    with locks.hold("x", None, 30):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    with FileLocks(str(tmp_path)).hold("x", None, 30):
        pass


def test_a_stopped_process_keeps_its_lock(tmp_path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(LockTimeout, match=f"process {holder.pid}"), FileLocks(str(tmp_path)).hold("x", None, 0.2):
        pytest.fail("the lock is held by another process")
    holder.send_signal(signal.SIGCONT)


def test_a_lock_is_let_go_when_the_block_raises(tmp_path):
    locks = FileLocks(str(tmp_path))
    with pytest.raises(ValueError, match="inside"), locks.hold("x", None, 0):
        raise ValueError("inside")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with locks.hold("x", None, 0), pytest.raises(LockTimeout), locks.hold("x", None, 0):
            pytest.fail("the lock is held")
    assert len(os.listdir("/proc/self/fd")) < before + 25  # threads of other tests may open or close some


def test_a_process_that_the_holder_forked_does_not_keep_the_lock(tmp_path):
    locks = FileLocks(str(tmp_path))
    with locks.hold("x", None, 0):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        with locks.hold("x", None, 0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_process_that_the_holder_forked_does_not_give_the_lock_back(tmp_path):
    locks = FileLocks(str(tmp_path))
    with contextlib.ExitStack() as holding:
        holding.enter_context(locks.hold("x", None, 0))
        child = os.fork()
        if not child:
            try:
                holding.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(LockTimeout), locks.hold("x", None, 0):
            pytest.fail("the lock is held")


def test_the_holder_of_a_removed_file_notices(tmp_path):
    locks = FileLocks(str(tmp_path))
    with locks.hold("x", None, 0) as lock:
        lock.check()
        (tmp_path / "log/locks/tasks.lock").unlink()
        with locks.hold("x", None, 0) as another:
            another.check()
        with pytest.raises(LockLost, match="Lost the lock on x: its lock file was removed"):
            lock.check()


def test_files_may_be_removed_at_any_time(tmp_path):
    kept, path = [], tmp_path / "log/locks/tasks.lock"
    over = threading.Event()

    def work():
        for _ in range(40):
            with FileLocks(str(tmp_path)).hold("x", None, 60) as lock:
                time.sleep(0.001)
                with contextlib.suppress(LockLost):
                    lock.check()
                    kept.append(1)

    def tidy():
        while not over.wait(0.003):
            path.unlink(missing_ok=True)

    threads = [threading.Thread(target=work) for _ in range(3)]
    tidying = threading.Thread(target=tidy)
    for thread in [tidying, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    tidying.join()
    assert kept


def test_no_locks_never_wait():
    started = time.monotonic()
    with NoLocks().hold("x", None, 5) as lock, NoLocks().hold("x", None, 5):
        lock.check()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("auto", FileLocks),
        ("none", NoLocks),
        ("file", FileLocks),
        ("workspace", WorkspaceLocks),
        ("redis://localhost:6379", RedisLocks),
        ("redis://:secret@localhost:6379/2", RedisLocks),
        ("rediss://user:secret@[::1]:6379", RedisLocks),
    ],
)
def test_kinds(kind, cls, tmp_path):
    made = make_locks(kind, str(tmp_path))
    assert isinstance(made, cls)
    assert isinstance(pickle.loads(pickle.dumps(made)), cls)  # it goes to worker processes
    assert "secret" not in repr(made)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("files", "did you mean 'file'"),
        ("", "expected one of auto, none, file, workspace, redis://HOST:PORT"),
        ("redis", r"expected redis://HOST:PORT, got 'redis', which has no host"),
        ("rdis", r"did you mean 'redis://HOST:PORT'"),
        ("localhost:6379", "expected one of"),
        ("redis://", "has no host"),
        ("redis://localhost", "has no port"),
        ("redis://:6379", "has no host"),
        ("redis://localhost:0", "has no port"),
        ("redis://localhost:port", "not a number from 1 to 65535"),
        ("redis://localhost:66666", "not a number from 1 to 65535"),
        ("redis://localhost:6379/cache", "the number of a database"),
        ("redis://localhost:6379/1/2", "the number of a database"),
        ("redis://localhost:6379?db=1", "the number of a database"),
        ("redis://[::1:6379", "is not a url"),
        ("redis://:secret@localhost", r"got 'redis://\*\*\*@localhost', which has no port"),
        ("rdis://:secret@localhost:1", r"got 'rdis://\*\*\*@localhost:1'"),
    ],
)
def test_another_kind_is_refused_and_no_password_shown(kind, wrong):
    with pytest.raises(ConfigError, match=rf"run\.locks: .*{wrong}") as caught:
        make_locks(kind, ".")
    assert "secret" not in str(caught.value)


def test_a_workspace_that_is_no_folder_has_no_files_to_lock():
    with pytest.raises(ConfigError, match=r"run\.locks: memory://w is not on a disk.*workspace"):
        make_locks("file", "memory://w")
    with pytest.raises(ConfigError, match="memory://w"), FileLocks(".").hold("x", "memory://w", 0):
        pytest.fail("nothing is silently unlocked")
    assert not Path("w").exists()


def test_the_workspace_says_which_locks_it_has(tmp_path):
    locks = make_locks("workspace", str(tmp_path))
    with locks.hold("x", None, 0), locks.hold("x", "memory://w", 0):
        assert (tmp_path / "log/locks/tasks.lock").exists()
        assert store_for("memory://w")[0].read("w/log/locks/x.lock")
        with pytest.raises(LockTimeout), make_locks("workspace", "memory://w").hold("x", None, 0):
            pytest.fail("the lock is held")
    assert store_for("memory://w")[0].read("w/log/locks/x.lock") is None


# -- a build under locks ---------------------------------------------------------------------------------------------


class Marks(TaskOnKart[int]):
    number = luigi.IntParameter()
    seconds = luigi.FloatParameter(default=0.0, significant=False)

    def run(self):
        with Path("order.txt").open("a") as file:
            file.write(f"{self.number} ")
        time.sleep(self.seconds)
        self.dump(self.number)


def have_run(number):
    """Return whether so many tasks have run."""
    return Path("order.txt").exists() and len(Path("order.txt").read_text().split()) >= number


@contextlib.contextmanager
def held(task, until=lambda: False):
    """Hold a task's lock as another process would, until something is true, or the block ends."""
    over, taken = threading.Event(), threading.Event()

    def hold():
        with FileLocks(task.workspace_directory).hold(lock_name(task), None, 0):
            taken.set()
            while not (over.wait(0.02) or until()):
                pass

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("options", [{}, {"workers": 2, "executor": "threads"}])
def test_others_go_before_a_task_that_another_process_runs(options):
    tasks = [Marks(number=number) for number in (1, 2, 3)]
    with held(tasks[0], until=lambda: have_run(2)):
        assert build(tasks, locks="file", **options) == [1, 2, 3]
    order = Path("order.txt").read_text().split()
    assert (sorted(order), order[-1]) == (["1", "2", "3"], "1")


def test_waiting_is_not_what_passes_while_others_run():
    tasks = [Marks(number=1), Marks(number=2, seconds=1.2)]
    with held(tasks[0], until=tasks[1].complete):
        assert build(tasks, locks="file", lock_wait=1.0) == [1, 2]


def test_after_the_waiting_limit_task_and_holder_are_named():
    task = Marks(number=1)
    holder = f"host {socket.gethostname()}, process {os.getpid()}, since 20"
    found = rf"Marks\[{task.make_unique_id()[:8]}\], locked by {holder}"
    with held(task), pytest.raises(BuildFailed, match=found) as caught:
        build([task, Marks(number=2)], locks="file", lock_wait=0.2)
    assert isinstance(next(iter(caught.value.causes.values())), LockTimeout)
    assert Path("order.txt").read_text() == "2 "


class Robbed(TaskOnKart[int]):
    times = luigi.IntParameter()

    def run(self):
        with Path("order.txt").open("a") as file:
            file.write("x")
        if Path("order.txt").stat().st_size <= self.times:
            Path("resources/log/locks/tasks.lock").unlink()
        self.dump(1)


def test_a_task_that_lost_its_lock_is_tried_again(caplog):
    assert build(Robbed(times=2), locks="file") == 1
    assert Path("order.txt").read_text() == "xxx"
    assert ": its lock file was removed" in caplog.text
    assert [record.state for record in read_records("resources")] == ["failed", "failed", "done"]


def test_a_task_that_loses_every_lock_fails():
    with pytest.raises(BuildFailed, match="LockLost"):
        build(Robbed(times=9), locks="file")
    assert Path("order.txt").read_text() == "xxx"
    assert not Robbed(times=9).complete()


def test_a_task_in_a_workspace_that_cannot_be_locked_does_not_run():
    task = Marks(number=1, workspace_directory="memory://w")
    with pytest.raises(BuildFailed, match="memory://w is not on a disk"):
        build([Marks(number=2), task], locks="file")
    assert Path("order.txt").read_text() == "2 "
    with pytest.raises(ConfigError, match="memory://w is not on a disk"):
        build(task, locks="file")
