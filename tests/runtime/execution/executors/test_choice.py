"""The executor that was asked for is the one that is given, also to single tasks; Ctrl-C ends what can be ended."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError, WorkerDied
from kart_runtime.execution.executors import (
    DaskExecutor,
    Executors,
    ProcessExecutor,
    SerialExecutor,
    ThreadExecutor,
    make_executor,
)


def test_without_a_kind_one_worker_is_serial_and_more_are_processes():
    with make_executor(None, 1) as one, make_executor(None, 2) as two:
        assert isinstance(one, SerialExecutor)
        assert isinstance(two, ProcessExecutor)


@pytest.mark.parametrize(
    ("kind", "workers", "message"),
    [
        ("serail", 1, "Did you mean 'serial'"),
        ("serial", 2, "the serial executor cannot have 2 workers"),
        ("threads", 0, "at least 1"),
        ("processes", 0, "at least 1"),
    ],
)
def test_what_cannot_be_had_is_refused(kind, workers, message):
    with pytest.raises(ConfigError, match=message):
        make_executor(kind, workers)
    with pytest.raises(ConfigError, match=message):
        Executors(kind, workers)


def test_a_build_has_its_own_executor_and_one_for_each_hint():
    with Executors("threads", 2) as executors:
        assert executors.kind == "threads"
        own = executors.get(None)
        assert isinstance(own, ThreadExecutor)
        assert executors.get("threads") is own
        assert executors.get("serial").submit(threading.get_ident).result() == threading.get_ident()
        assert executors.get("processes").submit(os.getpid).result() != os.getpid()
        assert executors.get("processes") is executors.get("processes")


def test_a_hint_of_a_serial_build_gets_one_worker():
    with Executors(None, 1) as executors:
        assert executors.kind == "serial"
        processes = executors.get("processes")
        ran_in = [processes.submit(os.getpid) for _ in range(3)]
        assert [one.result() for one in ran_in] == processes.pids() * 3


def test_an_address_stands_for_a_cluster_and_for_nothing_else():
    with Executors(None, address="tcp://h:1") as executors:
        assert executors.kind == "dask"
        assert executors.workers > 1_000_000
        assert isinstance(executors.get("threads"), ThreadExecutor)
        assert isinstance(executors.get(None), DaskExecutor)
    with Executors("dask", 3, "tcp://h:1") as executors:
        assert executors.workers == 3
    with pytest.raises(
        ConfigError, match=r"run\.address: the threads executor has no address .*or run\.executor 'dask'"
    ):
        Executors("threads", 2, "tcp://h:1")


def test_an_unknown_hint_is_refused_by_name():
    with Executors("serial", 1) as executors, pytest.raises(ConfigError, match="unknown executor 'thread'") as caught:
        executors.get("thread")
    assert caught.value.suggestion == "threads"


def test_ctrl_c_ends_worker_processes_and_lets_them_tidy_up():
    def work():
        try:
            Path("began").touch()
            time.sleep(600)
        finally:
            Path("tidied").touch()

    def interrupted():
        with Executors("processes", 1) as executors:
            futures.extend([executors.get(None).submit(work), executors.get(None).submit(os.getpid)])
            while not Path("began").exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

    futures = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert Path("tidied").exists()
    running, queued = futures
    assert isinstance(running.exception(), WorkerDied)
    assert "SIGTERM" in str(running.exception())
    assert queued.cancelled()


def test_work_that_does_not_end_by_itself_is_killed(monkeypatch):
    monkeypatch.setattr("kart_runtime.execution.executors.processes.pool._GRACE_SECONDS", 0.2)

    def stubborn():
        while True:
            try:
                Path("began").touch()
                time.sleep(600)
            except KeyboardInterrupt:
                continue

    executors = Executors("processes", 1)
    future = executors.get(None).submit(stubborn)
    while not Path("began").exists():
        time.sleep(0.01)
    executors.close(kill=True)
    assert future.exception().exit_code == -9


def test_ctrl_c_does_not_wait_for_threads_nor_begin_what_is_queued():
    go_on = threading.Event()
    executors = Executors("threads", 1)
    running, queued = executors.get(None).submit(go_on.wait, 60), executors.get(None).submit(os.getpid)
    executors.close(kill=True)
    assert not running.done()
    assert queued.cancelled()
    go_on.set()
    assert running.result()


def test_an_ordinary_error_in_the_block_waits_for_what_runs():
    with pytest.raises(ValueError, match="mine"), Executors("processes", 1) as executors:
        future = executors.get(None).submit(os.getpid)
        raise ValueError("mine")
    assert future.result() > 0
