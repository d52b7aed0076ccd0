"""A redis server gives turns: a real one, started for these tests on a port of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import luigi
import pytest
import redis

from kart_runtime import TaskOnKart, build
from kart_runtime.attempt import lock_name
from kart_runtime.errors import BuildFailed, ConfigError, LockTimeout
from kart_runtime.redis_locks import RedisLocks, redis_locks_of


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    command = ["redis-server", "--port", str(number), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        client = redis.Redis(host="127.0.0.1", port=number)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield number
        client.close()
        server.terminate()


class Plain(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def test_one_name_is_held_by_one_at_a_time(port):
    order = []
    locks = RedisLocks("127.0.0.1", port, 30, "w")

    def hold(number):
        with RedisLocks("127.0.0.1", port, 30, "w").hold("name", 10):
            order.append(("in", number))
            time.sleep(0.1)
            order.append(("out", number))

    with locks.hold("other", 0):
        threads = [threading.Thread(target=hold, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [number for _, number in order[::2]] == [number for _, number in order[1::2]]
    assert [step for step, _ in order] == ["in", "out"] * 3


def test_who_waits_in_vain_is_told_who_holds_it(port):
    locks = RedisLocks("127.0.0.1", port, 30, "w")
    holder = f"held is locked by {socket.gethostname()}, process"
    with locks.hold("held", 1), pytest.raises(LockTimeout, match=holder), locks.hold("held", 0.2):
        pass


def test_a_held_name_is_renewed_and_free_afterwards(port):
    locks = RedisLocks("127.0.0.1", port, 0.3, "w")
    with locks.hold("long", 0):
        time.sleep(1)
        with pytest.raises(LockTimeout), locks.hold("long", 0):
            pass
    with locks.hold("long", 0):
        pass


def test_workspaces_do_not_wait_for_one_another(port):
    with RedisLocks("127.0.0.1", port, 30, "a").hold("x", 0), RedisLocks("127.0.0.1", port, 30, "b").hold("x", 0):
        pass


def test_a_server_that_is_away_is_an_error_and_nothing_runs_unlocked():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = free.getsockname()[1]
    with pytest.raises(BuildFailed, match=f"the redis server 127.0.0.1:{unused} cannot be used"):
        build(Plain(redis_host="127.0.0.1", redis_port=unused))
    assert not Plain().complete()


@pytest.mark.parametrize(
    "settings",
    [
        {"redis_host": "h"},
        {"redis_port": 1},
        {"should_lock_run": True},
        {"redis_host": "h", "redis_port": 1, "redis_timeout": 0},
    ],
)
def test_half_a_setting_is_refused(settings):
    with pytest.raises(ConfigError, match=r"Plain\.redis_"):
        redis_locks_of(Plain(**settings))
    with pytest.raises(BuildFailed):
        build(Plain(**settings))


def test_no_setting_is_no_lock():
    assert redis_locks_of(Plain()) is None


PROGRAM = """
import sys, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart, build
from kart_runtime.attempt import lock_name

class Slow(TaskOnKart):
    number = luigi.IntParameter()
    def run(self):
        with open("ran.txt", "a") as file:
            file.write(f"{self.number}\\n")
        time.sleep(0.2)
        self.dump(self.number)

settings = dict(redis_host="127.0.0.1", redis_port=int(sys.argv[1]), should_lock_run=True)
print(build([Slow(number=number, **settings) for number in range(3)]))
"""


def test_two_programs_run_each_task_once(port, tmp_path):
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [program.communicate(timeout=60)[0] for program in programs] == ["[0, 1, 2]\n"] * 2
    assert sorted((tmp_path / "ran.txt").read_text().split()) == ["0", "1", "2"]


def test_the_parameters_come_from_luigis_configuration(port):
    luigi.configuration.get_config().read_dict({"TaskOnKart": {"redis_host": "127.0.0.1", "redis_port": str(port)}})
    locks = redis_locks_of(Plain())
    assert (locks.host, locks.port, locks.timeout) == ("127.0.0.1", port, 180)


class Marks(TaskOnKart[int]):
    number = luigi.IntParameter()

    def run(self):
        with open("order.txt", "a") as file:
            file.write(f"{self.number} ")
        self.dump(self.number)


@contextmanager
def held(task, port, seconds):
    """Hold a task's lock as another process would, for some seconds."""
    locks = RedisLocks("127.0.0.1", port, 30, task.workspace_directory)
    taken = threading.Event()

    def hold():
        with locks.hold(lock_name(task), 5):
            taken.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    yield
    thread.join()


@pytest.mark.parametrize("options", [{}, {"workers": 2, "executor": "threads"}, {"workers": 2}])
def test_a_task_that_somebody_else_runs_lets_the_others_go_first(port, options):
    settings = {"redis_host": "127.0.0.1", "redis_port": port, "should_lock_run": True}
    tasks = [Marks(number=number, **settings) for number in (1, 2, 3)]
    with held(tasks[0], port, 3.0):  # longer than worker processes take to start
        assert build(tasks, **options) == [1, 2, 3]
    order = Path("order.txt").read_text().split()
    assert (sorted(order), order[-1]) == (["1", "2", "3"], "1")


def test_after_the_waiting_limit_the_holder_is_named(port):
    task = Marks(number=1, redis_host="127.0.0.1", redis_port=port, should_lock_run=True)
    with (
        held(task, port, 1.0),
        pytest.raises(BuildFailed, match=f"Marks_.* is locked by {socket.gethostname()}, process"),
    ):
        build(task, lock_wait=0.2)
    assert not Path("order.txt").exists()


def test_luigis_worker_locks_too(port):
    task = Marks(number=1, redis_host="127.0.0.1", redis_port=port, should_lock_run=True)
    with held(task, port, 0.5):
        assert not luigi.build([task], local_scheduler=True, log_level="CRITICAL", no_lock=True)
        assert not Path("order.txt").exists()
    assert luigi.build([task], local_scheduler=True, log_level="CRITICAL", no_lock=True)
    assert Path("order.txt").read_text() == "1 "


def test_luigis_worker_refuses_half_a_setting(port):
    assert not luigi.build([Marks(number=1, redis_host="h")], local_scheduler=True, log_level="CRITICAL", no_lock=True)
    assert not Path("order.txt").exists()
