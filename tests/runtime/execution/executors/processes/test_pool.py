"""Every future gets its own result, whatever happens to other work; a worker that dies is told by how it died."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import luigi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime.errors import CannotSend, ConfigError, NotImportable, WorkerDied
from kart_runtime.execution.executors import ProcessExecutor, shutdown_idle_workers
from kart_runtime.execution.executors.base import CallLimits
from kart_runtime.execution.executors.processes import pool, process
from kart_runtime.execution.time_limit import TaskTimeout
from tests.runtime.execution.executors.scripts import run_script


def exit_with(code):
    os._exit(code)


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def fault():
    ctypes.string_at(0)


def fail(number):
    raise ValueError(number)


def test_work_runs_in_fresh_interpreters():
    shutdown_idle_workers()  # work of a test before may have loaded anything
    with ProcessExecutor(2) as executor:
        pid, threads, loaded = executor.submit(
            lambda: (os.getpid(), threading.active_count(), "pytest" in sys.modules)
        ).result()
        assert pid in executor.pids()
        assert pid != os.getpid()
        assert threads == 2  # the main thread, and the one that watches whether the program lives
        assert not loaded


def test_an_interpreter_that_does_not_start_is_told(monkeypatch):
    shutdown_idle_workers()
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: shutil.which("false"))
    with ProcessExecutor(1) as executor:
        error = executor.submit(abs, -1).exception()
        assert isinstance(error, WorkerDied)
        assert error.exit_code == 1


def test_a_process_that_cannot_be_started_is_told(monkeypatch):
    with ProcessExecutor(1) as executor:
        assert executor.submit(os._exit, 1).exception() is not None
        monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: "/no/such/python")
        assert isinstance(executor.submit(abs, -1).exception(), FileNotFoundError)


def test_both_workers_work_at_once():
    def meet(mine, other):
        Path(mine).touch()
        while not Path(other).exists():
            time.sleep(0.01)
        return os.getpid()

    with ProcessExecutor(2) as executor:
        pids = [executor.submit(meet, *names).result for names in (("a", "b"), ("b", "a"))]
        assert len({pid() for pid in pids}) == 2


def test_an_error_of_the_work_keeps_its_type_and_shows_where_it_was_raised():
    with ProcessExecutor(1) as executor:
        error = executor.submit(int, "x").exception()
        assert isinstance(error, ValueError)
        assert "In worker process" in error.__notes__[0]


def test_an_error_of_a_local_class_is_that_class():
    class MyError(Exception):
        pass

    def work():
        raise MyError("mine")

    with ProcessExecutor(1) as executor:
        assert isinstance(executor.submit(work).exception(), MyError)


def test_an_error_that_cannot_be_sent_arrives_as_text():
    def work():
        error = ValueError("mine")
        error.lock = threading.Lock()
        raise error

    with ProcessExecutor(1) as executor:
        assert "ValueError: mine" in str(executor.submit(work).exception())
        assert executor.submit(abs, -1).result() == 1


def test_leaving_the_program_ends_the_work_and_not_the_worker():
    with ProcessExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        assert isinstance(executor.submit(sys.exit, 3).exception(), SystemExit)
        assert executor.submit(os.getpid).result() == pid


@pytest.mark.parametrize(
    ("death", "code", "text"),
    [
        ((exit_with, 3), 3, "ended with exit code 3"),
        ((exit_with, 0), 0, "ended with exit code 0"),
        ((kill_me,), -signal.SIGKILL, r"was killed by SIGKILL \(possibly out of memory\)"),
        ((fault,), -signal.SIGSEGV, r"was killed by SIGSEGV"),
    ],
)
def test_a_worker_that_dies_fails_its_own_work_only(death, code, text):
    with ProcessExecutor(2) as executor:
        before = [executor.submit(pow, 2, number) for number in range(5)]
        dying = executor.submit(*death)
        after = [executor.submit(pow, 3, number) for number in range(5)]
        with pytest.raises(WorkerDied, match=text) as caught:
            dying.result()
        assert caught.value.exit_code == code
        assert [future.result() for future in before] == [2**number for number in range(5)]
        assert [future.result() for future in after] == [3**number for number in range(5)]
        assert caught.value.pid not in executor.pids()


def test_the_message_can_name_the_task():
    error = WorkerDied(7, -9).running("Train(id=1)")
    assert str(error) == "Worker process 7 was killed by SIGKILL (possibly out of memory) while running Train(id=1)."
    assert (error.pid, error.exit_code, error.task) == (7, -9, "Train(id=1)")


def test_a_death_is_seen_while_a_process_of_the_work_lives_on(monkeypatch):
    monkeypatch.setattr("kart_runtime.execution.executors.processes.process._POLL_SECONDS", 0.2)

    def leave_a_child():
        # Forked, it holds a copy of the connection.
        if os.fork() == 0:
            Path("child").write_text(str(os.getpid()))
            time.sleep(600)
        while not Path("child").exists() or not Path("child").read_text():
            time.sleep(0.01)
        os._exit(5)

    with ProcessExecutor(1) as executor:
        error = executor.submit(leave_a_child).exception()
        os.kill(int(Path("child").read_text()), signal.SIGKILL)
    assert error.exit_code == 5


def test_work_that_cannot_be_pickled_fails_alone_and_names_the_type():
    lock = threading.Lock()
    with ProcessExecutor(1) as executor:
        with pytest.raises(CannotSend, match=r"the call of .*<lambda> \(_thread.lock\)"):
            executor.submit(lambda: lock).result()
        with pytest.raises(CannotSend, match=r"the call of abs \(_thread.lock\)"):
            executor.submit(abs, lock).result()
        assert executor.submit(abs, -1).result() == 1


def test_a_result_that_cannot_be_pickled_fails_alone_and_names_the_type():
    with ProcessExecutor(1) as executor:
        with pytest.raises(CannotSend, match=r"the result of .*lock \(_thread.lock\)"):
            executor.submit(threading.Lock).result()
        assert executor.submit(abs, -1).result() == 1


def test_a_result_that_cannot_be_read_here_fails_alone():
    class Broken:
        def __reduce__(self):
            return int, ("x",)

    with ProcessExecutor(1) as executor:
        error = executor.submit(lambda: Broken()).exception()
        assert isinstance(error, ValueError)
        assert "came back from a worker process" in error.__notes__[0]
        assert executor.submit(abs, -1).result() == 1


def test_a_module_that_the_worker_cannot_import_is_named(monkeypatch, tmp_path):
    Path("only_here.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}: raise OSError('no disk')\ndef f(): 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with ProcessExecutor(1) as executor:
        with pytest.raises(
            NotImportable, match=r"cannot import module 'only_here': OSError: no disk.*sys.path"
        ) as caught:
            executor.submit(only_here.f).result()
        assert "Traceback" in caught.value.__notes__[0]
        with pytest.raises(NotImportable):
            executor.submit(only_here.f).result()
        assert executor.submit(abs, -1).result() == 1


def test_more_work_than_workers_waits_in_order_and_does_not_hold_up_the_caller():
    def note(number):
        with Path("order").open("a") as file:
            file.write(f"{number} ")

    with ProcessExecutor(1) as executor:
        first = executor.submit(lambda: [time.sleep(0.01) for _ in range(600) if not Path("go").exists()])
        futures = [executor.submit(note, number) for number in range(50)]
        assert not first.done()
        Path("go").touch()
        wait(futures)
    assert Path("order").read_text().split() == [str(number) for number in range(50)]


def test_work_that_has_not_begun_can_be_cancelled():
    with ProcessExecutor(1) as executor:
        first = executor.submit(lambda: [time.sleep(0.01) for _ in range(600) if not Path("go").exists()])
        second, third = executor.submit(abs, -2), executor.submit(abs, -3)
        assert second.cancel()
        Path("go").touch()
        assert third.result() == 3
        assert len(first.result()) <= 600


def test_many_small_submits():
    with ProcessExecutor(2) as executor:
        futures = [executor.submit(abs, -number) for number in range(3000)]
        assert [future.result() for future in futures] == list(range(3000))


def test_large_work_and_large_results():
    data = os.urandom(30_000_000)
    with ProcessExecutor(2) as executor:
        futures = [executor.submit(bytes, data) for _ in range(4)]
        assert all(future.result() == data for future in futures)


def test_no_thread_stays():
    before = threading.enumerate()

    def ours():
        return [thread for thread in threading.enumerate() if thread.name == "kart-workers" and thread not in before]

    with ProcessExecutor(2) as executor:
        executor.submit(abs, -1).result()
        (thread,) = ours()
        thread.join(60)  # it ends although the pool is open
        assert not thread.is_alive()
        assert executor.submit(abs, -1).result() == 1
    assert ours() == []


def test_a_closed_executor_takes_nothing_and_finishes_what_it_has():
    executor = ProcessExecutor(1)
    futures = [executor.submit(abs, -number) for number in range(20)]
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="is closed"):
        executor.submit(abs, 1)
    assert [future.result() for future in futures] == list(range(20))
    executor.shutdown()
    executor.close(kill=True)


def test_no_files_stay_open():
    def build():
        with ProcessExecutor(2) as executor:
            wait([executor.submit(abs, -number) for number in range(20)])
            executor.submit(os._exit, 1).exception()
        shutdown_idle_workers()

    def open_files():
        return len(os.listdir("/proc/self/fd"))

    build()
    before = open_files()
    build()
    assert open_files() == before


def test_there_is_at_least_one_worker():
    with pytest.raises(ConfigError, match="cannot have 0 workers"):
        ProcessExecutor(0)


def test_builds_of_eight_threads():
    def build(base):
        with ProcessExecutor(1 + base % 2) as executor:
            futures = [executor.submit(pow, base, number) for number in range(30)]
            return [future.result() for future in futures] == [base**number for number in range(30)]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(build, range(8)))


def test_an_executor_is_of_no_use_in_a_fork():
    done = run_script("""
        import os, warnings
        from kart_runtime.execution.executors import ProcessExecutor

        warnings.simplefilter("ignore")  # newer Pythons warn of forks in general
        with ProcessExecutor(1) as executor:
            executor.submit(abs, -1).result()
        executor = ProcessExecutor(1)
        child = os.fork()
        if child == 0:
            try:
                executor.submit(abs, -1)
            except RuntimeError as error:
                print(error, flush=True)
            with ProcessExecutor(1) as own:
                print(own.submit(abs, -2).result(), flush=True)
        else:
            os.waitpid(child, 0)
            print(executor.submit(abs, -3).result(), flush=True)
    """)
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert "belongs to the process that this one was forked from" in said[0]
    assert said[1:] == ["2", "3"]


ENDINGS = st.one_of(
    st.tuples(st.just("value"), st.integers(0, 1000)),
    st.tuples(st.just("value"), st.integers(0, 1000)),
    st.tuples(st.just("value"), st.integers(0, 1000)),
    st.tuples(st.just("error"), st.integers(0, 1000)),
    st.tuples(st.just("exit"), st.integers(1, 100)),
)


@given(st.lists(ENDINGS, max_size=12), st.integers(1, 3))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mix_of_endings(endings, workers):
    functions = {"value": abs, "error": fail, "exit": exit_with}
    with ProcessExecutor(workers) as executor:
        futures = [executor.submit(functions[ending], number) for ending, number in endings]
        for (ending, number), future in zip(endings, futures, strict=True):
            if ending == "value":
                assert future.result() == number
            elif ending == "error":
                assert future.exception().args == (number,)
            else:
                assert future.exception().exit_code == number


LARGE = b"x" * 2_000_000  # more than the system takes while nobody reads


class Sized(luigi.Task):
    text = luigi.Parameter()

    def size(self):
        return len(self.text)


class SizeOf:
    def __init__(self, task):
        self.task = task

    def run(self):
        return self.task.size()


@pytest.fixture
def stopped():
    """Yield an executor whose one worker is idle and was stopped a moment ago, and the worker's process."""
    shutdown_idle_workers()
    with ProcessExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield executor, pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("data", [b"", LARGE])
def test_a_call_for_a_worker_that_does_not_read_it_is_ended_in_its_time(stopped, data):
    executor, pid = stopped
    began = time.monotonic()
    error = executor.submit_ranked((), partial(len, data), CallLimits("Task", timeout=0.5)).exception(30)
    assert isinstance(error, TaskTimeout)
    assert f"its worker process {pid} was stopped" in str(error)
    assert time.monotonic() - began < 20
    assert executor.submit(os.getpid).result(30) != pid


def test_without_a_limit_it_is_told_by_the_name_of_the_task_and_goes_on(stopped, monkeypatch, caplog):
    monkeypatch.setattr(process, "_POLL_SECONDS", 0.1)
    executor, pid = stopped
    future = executor.submit(SizeOf(Sized(text="x" * 2_000_000)).run)
    deadline = time.monotonic() + 30
    while "is stopped" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "which runs Sized[" in caplog.text
    assert len(caplog.text) < 1000
    os.kill(pid, signal.SIGCONT)
    assert future.result(30) == 2_000_000


def test_a_worker_that_was_stopped_while_it_was_idle_gets_no_call(stopped, monkeypatch):
    executor, pid = stopped
    monkeypatch.setattr(pool, "_IDLE_SECONDS", 0.0)
    assert executor.submit(os.getpid).result(30) != pid
    pid = executor.submit(os.getpid).result(30)
    executor.close()
    os.kill(pid, signal.SIGSTOP)
    with ProcessExecutor(1) as other:  # the next build
        assert other.submit(os.getpid).result(30) != pid


def test_a_large_call_that_a_dead_worker_has_not_read_goes_to_another(stopped):
    executor, pid = stopped
    future = executor.submit(len, LARGE)
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    assert future.result(30) == len(LARGE)
