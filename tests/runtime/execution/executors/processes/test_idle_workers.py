"""The workers of one build serve the next one, as long as they have the code that the program has."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from pathlib import Path

import pytest

from kart_runtime.execution.executors import ProcessExecutor, shutdown_idle_workers
from kart_runtime.execution.executors.processes import idle_workers


@pytest.fixture(autouse=True)
def _none_kept(monkeypatch):
    shutdown_idle_workers()
    monkeypatch.setattr(idle_workers._pool, "size", 0)
    yield
    shutdown_idle_workers()


def fill(executor, workers):
    """Have that many workers at work at once, and return the processes."""
    go = Path("go").absolute()
    go.unlink(missing_ok=True)

    def wait():
        while not go.exists():
            time.sleep(0.01)

    futures = [executor.submit(wait) for _ in range(workers)]
    while len(executor.pids()) < workers:
        time.sleep(0.01)
    go.touch()
    for future in futures:
        future.result()
    return set(executor.pids())


def pids(workers=2):
    with ProcessExecutor(workers) as executor:
        return fill(executor, workers)


def test_workers_start_when_there_is_work_for_them():
    with ProcessExecutor(3) as executor:
        assert executor.pids() == []
        executor.submit(abs, -1).result()
        assert len(executor.pids()) == 1


def test_the_second_build_has_the_workers_of_the_first():
    first = pids()
    assert pids() == first
    assert pids(1) < first
    assert pids(3) > first


def test_no_more_are_kept_than_one_build_has_asked_for():
    with ProcessExecutor(2) as one, ProcessExecutor(1) as other:
        both = fill(one, 2) | fill(other, 1)
    assert len(both) == 3
    with ProcessExecutor(3) as executor:
        assert len(both & set(executor.pids())) == 2


def test_forgotten_workers_have_ended():
    first = pids()
    shutdown_idle_workers()
    for pid in first:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not pids() & first


def test_workers_do_not_keep_code_that_was_loaded_again(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    Path("edited.py").write_text("def value(): return 1\n")
    edited = importlib.import_module("edited")
    with ProcessExecutor(1) as executor:
        assert executor.submit(edited.value).result() == 1
        first = executor.pids()
    with ProcessExecutor(1) as executor:
        assert executor.pids() == first
    Path("edited.py").write_text("def value(): return 22\n")  # another length, or the bytecode would do
    importlib.reload(edited)
    with ProcessExecutor(1) as executor:
        assert executor.pids() != first
        assert executor.submit(edited.value).result() == 22


def test_a_worker_that_died_while_it_was_kept_is_replaced():
    (first,) = pids(1)
    os.kill(first, 9)
    with ProcessExecutor(1) as executor:
        assert [executor.submit(abs, -number).result() for number in range(3)] == [0, 1, 2]


def test_a_worker_that_died_without_work_is_replaced():
    with ProcessExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1
        (first,) = executor.pids()
        os.kill(first, 9)
        with contextlib.suppress(ChildProcessError):  # the executor's own thread was faster
            os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert executor.submit(abs, -2).result() == 2
        assert executor.pids() != [first]


def test_a_worker_that_died_at_work_is_not_kept():
    with ProcessExecutor(1) as executor:
        first = executor.submit(os.getpid).result()
        assert executor.submit(os._exit, 1).exception() is not None
    assert first not in pids(1)


def test_definitions_of_one_build_are_not_those_of_the_next():
    def build(value):
        class Local:
            def get(self):
                return value

        with ProcessExecutor(1) as executor:
            return executor.submit(Local().get).result()

    assert [build(1), build(2)] == [1, 2]
