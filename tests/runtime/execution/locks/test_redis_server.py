"""A redis server gives turns: a real one, started for these tests on a port of its own."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import luigi
import pytest
import redis

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ConfigError, LockLost, LockTimeout
from kart_runtime.execution.locks import FileLocks, lease
from kart_runtime.execution.locks import redis_server as redis_locks
from kart_runtime.execution.locks.redis_server import RedisLocks, redis_locks_of
from kart_runtime.schedule.events import TaskStarted
from kart_runtime.task.naming import lock_name
from tests.runtime.servers import redis_server


@pytest.fixture
def port(redis_port):
    return redis_port


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(redis_locks, "_FIRST_RETRY", 0.001)


def locks_at(port, workspace="w", timeout=30.0):
    return RedisLocks(f"redis://127.0.0.1:{port}", workspace, timeout)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Plain(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def test_one_name_is_held_by_one_at_a_time(port):
    order = []

    def hold(number):
        with locks_at(port).hold("name", None, 10):
            order.append(("in", number))
            time.sleep(0.1)
            order.append(("out", number))

    with locks_at(port).hold("other", None, 0):
        threads = [threading.Thread(target=hold, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [number for _, number in order[::2]] == [number for _, number in order[1::2]]
    assert [step for step, _ in order] == ["in", "out"] * 3


def test_who_waits_in_vain_is_told_who_holds_it(port):
    since = r"since 20\d\d-\d\d-\d\dT\S+[+-]\d{4}\."
    holder = f"held, locked by host {socket.gethostname()}, process {os.getpid()}, {since}"
    with (
        locks_at(port).hold("held", None, 1),
        pytest.raises(LockTimeout, match=holder),
        locks_at(port).hold("held", None, 0.2),
    ):
        pytest.fail("the lock is held")


def test_a_held_name_is_renewed_and_free_afterwards(port):
    locks = locks_at(port, timeout=3.0)
    with locks.hold("long", None, 0) as lock:
        time.sleep(3.5)
        lock.check()
        with pytest.raises(LockTimeout), locks.hold("long", None, 0):
            pytest.fail("the lock is held")
    with locks.hold("long", None, 0):
        pass


def test_workspaces_do_not_wait_for_one_another(port):
    with locks_at(port, "a").hold("x", None, 0), locks_at(port, "b").hold("x", None, 0):
        with locks_at(port, "a").hold("x", "c", 0):
            pass
        with pytest.raises(LockTimeout), locks_at(port).hold("x", "./a/", 0):  # another spelling of a held one
            pytest.fail("the lock is held")


def test_a_holder_that_was_paused_is_told_before_it_writes(port):
    with locks_at(port, timeout=0.5).hold("paused", None, 0) as lock:
        redis_locks._renewals.remove(lock)
        time.sleep(0.6)
        with locks_at(port).hold("paused", None, 0), pytest.raises(LockLost, match="Lost the lock on paused"):
            lock.check()
        with locks_at(port).hold("paused", None, 0), pytest.raises(LockLost):  # once lost is lost
            lock.check()


def test_it_is_told_also_when_nobody_else_has_come(port):
    with locks_at(port, timeout=0.2).hold("alone", None, 0) as lock:
        redis_locks._renewals.remove(lock)
        time.sleep(0.4)
        with pytest.raises(LockLost):
            lock.check()


def test_a_server_that_goes_away_is_waited_for_as_long_as_the_lock_lasts():
    with redis_server() as port:
        locks = locks_at(port, timeout=0.5)
        with contextlib.ExitStack() as held:
            lock = held.enter_context(locks.hold("x", None, 0))
            with redis.Redis(host="127.0.0.1", port=port) as client, contextlib.suppress(redis.RedisError):
                client.shutdown(nosave=True)
            with pytest.raises(LockLost, match=r"it could not be renewed for .*ConnectionError"):
                lock.check()


def test_an_answer_that_was_lost_does_not_lock_its_holder_out(port, monkeypatch):
    def acquired_unheard(lock, token):
        assert lock.redis.set(lock.name, token, nx=True)

    monkeypatch.setattr(redis.lock.Lock, "do_acquire", acquired_unheard)
    with locks_at(port).hold("lost", None, 0) as lock:
        lock.check()
    with redis.Redis(host="127.0.0.1", port=port) as client:
        assert client.get("kart:w:lost") is None


def test_the_pauses_of_a_task_are_not_drawn_from_its_random_numbers(port):
    before = random.getstate()
    with locks_at(port).hold("x", None, 0), pytest.raises(LockTimeout), locks_at(port).hold("x", None, 0.3):
        pytest.fail("the lock is held")
    with pytest.raises(ConfigError), RedisLocks(f"redis://127.0.0.1:{free_port()}", "w").hold("x", None, 0):
        pytest.fail("there is no server")
    assert random.getstate() == before


def test_a_password_and_a_database():
    with redis_server() as port:
        with redis.Redis(host="127.0.0.1", port=port) as client:
            client.config_set("requirepass", "secret")
        with (
            RedisLocks(f"redis://:secret@127.0.0.1:{port}/3", "w").hold("x", None, 0),
            redis.Redis(host="127.0.0.1", port=port, db=3, password="secret") as client,
        ):
            assert client.get("kart:w:x")
        for given in ("", ":wrong@"):
            with pytest.raises(ConfigError, match=r"password, or another one.*redis://:PASSWORD@HOST:PORT") as caught:
                build(Plain(), locks=f"redis://{given}127.0.0.1:{port}")
            assert "wrong@" not in str(caught.value)
            assert "Start the server" not in str(caught.value)
    assert not Plain().complete()


@pytest.mark.parametrize(
    ("setting", "database", "reason"),
    [
        ("maxmemory 1", "", "OOM|maxmemory"),
        ("replicaof 127.0.0.1 1", "", "(?i)read.?only|MASTER"),
        ("", "/99", "DB index"),
    ],
)
def test_what_a_server_refuses_is_told_as_a_refusal(setting, database, reason):
    with redis_server() as port:
        with redis.Redis(host="127.0.0.1", port=port) as client:
            if setting.startswith("replicaof"):
                client.execute_command(*setting.split())
            elif setting:
                client.config_set(*setting.split())
        with pytest.raises(
            (ConfigError, BuildFailed), match=rf"redis at 127.0.0.1:{port}{database} refuses: "
        ) as caught:
            build(Plain(), locks=f"redis://127.0.0.1:{port}{database}")
        assert re.search(reason, str(caught.value))
        assert "Start the server" not in str(caught.value)
    assert not Plain().complete()


def test_a_build_may_name_the_server(port):
    task = Marks(number=7)
    with (
        locks_at(port).hold(lock_name(task), task.workspace_directory, 0),
        pytest.raises(BuildFailed, match=rf"Marks\[{task.make_unique_id()[:8]}\], locked by host"),
    ):
        build(task, locks=f"redis://127.0.0.1:{port}", lock_wait=0.2)
    assert build(task, locks=f"redis://127.0.0.1:{port}") == 7


def test_a_server_that_is_away_is_an_error_and_nothing_runs_unlocked():
    unused = free_port()
    with pytest.raises(BuildFailed, match=f"cannot connect to redis at 127.0.0.1:{unused}:"):
        build(Plain(redis_host="127.0.0.1", redis_port=unused))
    assert not Plain().complete()


def test_a_server_that_is_away_is_found_before_anything_runs():
    started = []
    unused = free_port()
    with pytest.raises(
        ConfigError, match=r"run\.locks: cannot connect to redis at .*Start the server, or correct run.locks"
    ) as caught:
        build(Plain(), locks=f"redis://127.0.0.1:{unused}", on_event=started.append)
    assert caught.value.key == "run.locks"
    assert not [event for event in started if isinstance(event, TaskStarted)]
    assert not Plain().complete()


def test_a_build_that_has_nothing_to_run_needs_no_server():
    build(Plain())
    assert build(Plain(), locks=f"redis://127.0.0.1:{free_port()}") == build(Plain())


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


def test_a_build_that_locks_is_enough_for_should_lock_run():
    assert redis_locks_of(Plain(should_lock_run=True), FileLocks(".")) is None
    assert build(Plain(should_lock_run=True), locks="file") == 1
    assert Path("resources/log/locks/tasks.lock").exists()


# -- a server that dies while a lock is held ---------------------------------------------------------------------------

faults: list[str] = []


class Fault(TaskOnKart[int]):
    """A task during which something happens to the server."""

    what: str = luigi.Parameter()

    def run(self):
        FAULTS[self.what]()
        faults.append(self.what)
        self.dump(1)


FAULTS: dict[str, Callable[[], None]] = {}


@contextmanager
def own_server(monkeypatch):
    """Start a server that may be harmed; make the client impatient."""
    monkeypatch.setattr(lease, "_PATIENCE", 0.2)
    monkeypatch.setattr(redis_locks, "ANSWER_SECONDS", 0.5)
    redis_locks._client.cache_clear()
    redis_locks._failures.clear()
    faults.clear()
    with redis_server() as port, redis.Redis(host="127.0.0.1", port=port) as client:
        yield port, client.info("server")["process_id"]
    redis_locks._client.cache_clear()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_what_is_finished_when_the_server_dies_is_stored_and_told(signal_number, monkeypatch, caplog):
    with own_server(monkeypatch) as (port, pid):
        FAULTS["dies"] = lambda: os.kill(pid, signal_number)
        try:
            assert build(Fault(what="dies"), locks=at(port)) == 1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert faults == ["dies"]
    assert re.search(r"No server answers for the lock on Fault_\w+, which lasts for 1\d\d s", caplog.text)


def at(port):
    return f"redis://127.0.0.1:{port}"


def test_after_the_lease_only_what_replaces_nothing_is_stored(monkeypatch, caplog):
    with own_server(monkeypatch) as (port, pid):

        def die():
            os.kill(pid, signal.SIGKILL)
            time.sleep(1.1)

        FAULTS["dies long"] = die
        assert build(Fault(what="dies long", redis_timeout=1), locks=at(port)) == 1
    assert "its output is stored although its lock has expired" in caplog.text
    with own_server(monkeypatch) as (port, pid), pytest.raises(BuildFailed, match=r"LockLost|cannot connect"):
        build(Fault(what="dies long", redis_timeout=1, rerun=True), locks=at(port))
    assert faults == ["dies long"]


def test_a_server_that_was_restarted_empty_gives_the_lock_again(monkeypatch, caplog):
    with own_server(monkeypatch) as (port, pid):
        again = []

        def restart():
            os.kill(pid, signal.SIGKILL)
            time.sleep(2.2)  # whole seconds of uptime
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
            again.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            while True:
                with contextlib.suppress(redis.RedisError), redis.Redis(host="127.0.0.1", port=port) as client:
                    client.ping()
                    return
                time.sleep(0.02)

        FAULTS["restarts"] = restart
        try:
            assert build(Fault(what="restarts"), locks=at(port)) == 1
        finally:
            for process in again:
                process.kill()
                process.wait()
    assert faults == ["restarts"]
    assert "restarted without the lock" in caplog.text


def test_the_lock_of_an_ended_process_of_this_machine_is_taken_over_at_once(port, caplog):
    script = "from kart_runtime.storage.processes import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    with redis.Redis(host="127.0.0.1", port=port) as client:
        client.set("kart:w:left", f"host h, process 1, since s#{ended}#1", px=100_000)
    with locks_at(port).hold("left", None, 0) as lock:
        lock.check()
    assert "Taking over the lock kart:w:left: host h, process 1, since s has ended" in caplog.text


def test_a_server_that_never_answers_fails_all_tasks_within_the_deadline(monkeypatch):
    with own_server(monkeypatch) as (port, pid):
        monkeypatch.setattr(redis_locks, "DEADLINE", 1.5)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            for _ in range(5):
                with pytest.raises(ConfigError, match=f"cannot connect to redis at 127.0.0.1:{port}"):
                    locks_at(port).acquire("x", None, 0)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert time.monotonic() - began < 6
    redis_locks._failures.clear()


PROGRAM = """
import sys, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart, build
from kart_runtime.task.naming import lock_name

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
    assert (locks.url, locks.timeout) == (f"redis://127.0.0.1:{port}", 180)


class Marks(TaskOnKart[int]):
    number = luigi.IntParameter()

    def run(self):
        with open("order.txt", "a") as file:
            file.write(f"{self.number} ")
        self.dump(self.number)


def have_run(number):
    """Return whether so many tasks have run."""
    return Path("order.txt").exists() and len(Path("order.txt").read_text().split()) >= number


@contextmanager
def held(task, port, until=lambda: False):
    """Hold a task's lock as another process would, until something is true, or the block ends."""
    over, taken = threading.Event(), threading.Event()

    def hold():
        with locks_at(port, task.workspace_directory).hold(lock_name(task), None, 5):
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


@pytest.mark.parametrize("options", [{}, {"workers": 2, "executor": "threads"}, {"workers": 2}])
def test_a_task_that_somebody_else_runs_lets_the_others_go_first(port, options):
    settings = {"redis_host": "127.0.0.1", "redis_port": port, "should_lock_run": True}
    tasks = [Marks(number=number, **settings) for number in (1, 2, 3)]
    with held(tasks[0], port, until=lambda: have_run(2)):
        assert build(tasks, **options) == [1, 2, 3]
    order = Path("order.txt").read_text().split()
    assert (sorted(order), order[-1]) == (["1", "2", "3"], "1")


def test_after_the_waiting_limit_the_holder_is_named(port):
    task = Marks(number=1, redis_host="127.0.0.1", redis_port=port, should_lock_run=True)
    holder = f"host {socket.gethostname()}, process {os.getpid()}, since 20"
    with held(task, port), pytest.raises(BuildFailed, match=rf"Marks\[.*, locked by {holder}"):
        build(task, lock_wait=0.2)
    assert not Path("order.txt").exists()


def test_luigis_worker_locks_too(port):
    task = Marks(number=1, redis_host="127.0.0.1", redis_port=port, should_lock_run=True)
    with held(task, port):
        assert not luigi.build([task], local_scheduler=True, log_level="CRITICAL", no_lock=True)
        assert not Path("order.txt").exists()
    assert luigi.build([task], local_scheduler=True, log_level="CRITICAL", no_lock=True)
    assert Path("order.txt").read_text() == "1 "


class Robbed(TaskOnKart[int]):
    def run(self):
        with redis.Redis(host=self.redis_host, port=self.redis_port) as client:
            client.delete(f"kart:resources:{lock_name(self)}")
        self.dump(1)


def test_luigis_worker_stores_nothing_without_the_lock(port):
    task = Robbed(redis_host="127.0.0.1", redis_port=port)
    assert not luigi.build([task], local_scheduler=True, log_level="CRITICAL", no_lock=True)
    assert not task.complete()


def test_luigis_worker_refuses_half_a_setting(port):
    assert not luigi.build([Marks(number=1, redis_host="h")], local_scheduler=True, log_level="CRITICAL", no_lock=True)
    assert not Path("order.txt").exists()
