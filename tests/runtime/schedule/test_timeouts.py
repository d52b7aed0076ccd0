"""A try that takes longer than it may is ended or given up, whatever it waits for; nothing of it is stored."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskFinished, TaskOnKart, build
from kart_runtime.execution.time_limit import TaskTimeout, ThreadClock
from kart_runtime.history.runs import read_records
from kart_runtime.task.state import TaskRun

LIMIT = 0.4
HERE = [{"executor": "serial"}, {"executor": "threads", "workers": 2}]
PROCESSES = {"executor": "processes", "workers": 2}


class Hangs(TaskOnKart[int]):
    """Does not end for long, each kind in another way."""

    timeout = LIMIT
    kind: str = luigi.Parameter()

    def run(self):
        Path(f"began-{self.kind}").write_text(str(os.getpid()))
        end = time.monotonic() + 90
        if self.kind == "loop":
            while time.monotonic() < end:
                pass
        elif self.kind == "sleep":
            time.sleep(90)
        elif self.kind == "lock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire(timeout=90)
        elif self.kind == "child":
            subprocess.run([sys.executable, "-c", "import time; time.sleep(90)"], check=False)
        elif self.kind == "swallow":
            while time.monotonic() < end and not Path("go").exists():
                with contextlib.suppress(BaseException):
                    time.sleep(0.02)
        elif self.kind == "gil":
            ctypes.PyDLL(None).usleep(1_500_000)
        self.dump(1)
        Path(f"dumped-{self.kind}").touch()


class Fine(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def timed_out(kinds, **options):
    """Build tasks that hang, and one that does not; return the errors by kind."""
    tasks = {kind: Hangs(kind=kind) for kind in kinds}
    began = time.monotonic()
    with pytest.raises(BuildFailed) as caught:
        build([*tasks.values(), Fine()], return_value=False, **options)
    assert time.monotonic() - began < 60  # with the start of workers; the hanging ones hang longer
    assert Fine().complete()
    errors = {
        kind: next(e for name, e in caught.value.causes.items() if f"kind={kind}" in name or len(tasks) == 1)
        for kind in kinds
    }
    for kind, error in errors.items():
        assert Path(f"began-{kind}").exists()  # it hung where it was meant to
        assert isinstance(error, TaskTimeout)
        assert isinstance(error, TimeoutError)
        assert error.seconds == LIMIT
        assert not tasks[kind].complete()
    return errors


@pytest.mark.parametrize("options", HERE)
def test_in_threads_a_task_is_interrupted_or_given_up_with_where_it_is(options):
    errors = timed_out(["loop", "lock", "swallow"], **options)
    assert {kind: error.how.partition(":")[0] for kind, error in errors.items()} == {
        "loop": "was ended",
        "lock": "was given up",
        "swallow": "was given up",
    }
    assert all("It was in run (test_timeouts.py:" in str(error) for error in errors.values())
    Path("go").touch()
    until(
        lambda: Path("dumped-swallow").exists() or not any(t.name.startswith("kart_") for t in threading.enumerate()), 2
    )
    assert not Hangs(kind="swallow").complete()


def test_control_a_try_that_is_not_given_up_stores_late_and_the_check_sees_it(monkeypatch):
    monkeypatch.setattr(TaskRun, "give_up", lambda self, error: True)
    monkeypatch.setattr(ThreadClock, "check", lambda self, task: None)
    timed_out(["swallow"], executor="threads", workers=2)
    Path("go").touch()
    assert until(lambda: Hangs(kind="swallow").complete(), 20)


def test_in_processes_a_task_is_ended_with_what_it_has_started():
    errors = timed_out(["child", "gil"], **PROCESSES)
    assert all(
        "called by run (test_timeouts.py:" in str(errors["child"]) or "It was in" in str(e) for e in errors.values()
    )
    assert "It was in run (test_timeouts.py:" in str(errors["gil"])
    for kind in errors:
        assert not is_running(int(Path(f"began-{kind}").read_text()))


def test_a_stopped_worker_is_ended_and_told():
    class Stops(TaskOnKart[int]):
        timeout = LIMIT

        def run(self):
            Path("began").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
            self.dump(1)

    with pytest.raises(BuildFailed, match=r"was ended: its worker process \d+ was stopped"):
        build(Stops(), executor="processes")
    assert not is_running(int(Path("began").read_text()))
    assert not Stops().complete()


@pytest.mark.parametrize("options", HERE)
def test_what_comes_back_late_is_not_stored_although_nothing_could_end_it(options):
    timed_out(["gil"], **options)
    until(lambda: Path("dumped-gil").exists(), 3)


class Blocked(TaskOnKart[int]):
    """Waits inside of Python code that takes a lock, or imports a module, until it is let go on."""

    timeout = LIMIT
    where: str = luigi.Parameter()

    def run(self):
        if self.where == "logging":
            HANDLER.handle(logging.makeLogRecord({}))
        elif self.where == "condition":
            with CONDITION:
                pass
        else:
            __import__("imports_slowly")
        Path("returned").touch()
        self.dump(1)


HANDLER = logging.NullHandler()
HANDLER.handle = functools.partial(logging.Handler.handle, HANDLER)
HANDLER.lock = threading.RLock()
CONDITION = threading.Condition()


@pytest.mark.parametrize("options", HERE)
@pytest.mark.parametrize("where", ["logging", "condition", "import"])
def test_an_interruption_leaves_no_lock_taken_and_no_module_half_imported(where, options, monkeypatch):
    Path("imports_slowly.py").write_text(
        "import time\nwhile not __import__('os').path.exists('go'): time.sleep(0.01)\n"
    )
    monkeypatch.syspath_prepend(".")
    lock = {"logging": HANDLER.lock, "condition": CONDITION, "import": threading.Lock()}[where]
    with lock, pytest.raises(BuildFailed) as caught:
        build(Blocked(where=where), **options)
    Path("go").touch()
    (error,) = caught.value.causes.values()
    assert isinstance(error, TaskTimeout)
    assert "was given up" in str(error)
    assert until(lambda: Path("returned").exists(), 10)
    assert lock.acquire(timeout=10)
    lock.release()
    assert where != "import" or "imports_slowly" in sys.modules
    sys.modules.pop("imports_slowly", None)
    assert not Blocked(where=where).complete()


class Waiting(TaskOnKart[int]):
    """Does for long what may be interrupted, although it uses locks."""

    timeout = LIMIT
    kind: str = luigi.Parameter()

    def run(self):
        logger = logging.getLogger("busy")
        items, event = queue.Queue(), threading.Event()
        while not Path("go").exists():
            if self.kind == "log":
                logger.warning("again")
            elif self.kind == "event":
                event.wait(0.05)
            else:
                with contextlib.suppress(queue.Empty):
                    items.get(timeout=0.05)


@pytest.mark.parametrize("kind", ["log", "event", "queue"])
def test_who_logs_or_waits_is_still_interrupted(kind):
    handler = logging.FileHandler("x.log")
    logging.getLogger("busy").addHandler(handler)
    try:
        with pytest.raises(BuildFailed, match="was ended"):
            build(Waiting(kind=kind), executor="threads", workers=2)
    finally:
        Path("go").touch()
        logging.getLogger("busy").removeHandler(handler)
    assert handler.lock.acquire(timeout=10)
    handler.lock.release()
    handler.close()


class Slow(TaskOnKart[int]):
    """Takes as long as it is told in its first try, and no time in the second."""

    timeout = LIMIT
    retries = 1

    def run(self):
        if not Path("tried").exists():
            Path("tried").touch()
            while not Path("go").exists():
                with contextlib.suppress(BaseException):
                    time.sleep(0.02)
            self.dump(1)
            Path("late").touch()
        else:
            self.dump(2)
            Path("go").touch()
            until(lambda: Path("late").exists(), 0.2)


@pytest.mark.parametrize("options", [*HERE, PROCESSES])
def test_it_is_a_failed_try_and_the_next_one_is_not_disturbed_by_what_goes_on(options):
    events = []
    build(Slow(), on_event=events.append, **options)
    assert Slow().output().load() == 2
    finished = [event for event in events if isinstance(event, TaskFinished)]
    assert [(event.is_retried, event.timeout) for event in finished] == [(True, LIMIT), (False, None)]
    first, second = read_records("resources")
    assert (first.state, first.timeout, first.error.partition(":")[0]) == ("failed", LIMIT, "TaskTimeout")
    assert (second.state, second.timeout) == ("done", None)


class GivenUp(TaskOnKart[str]):
    """Is given up in its first try, which comes back and dumps while the second one runs."""

    timeout = 60
    tried, second, late = threading.Event(), threading.Event(), threading.Event()

    def run(self):
        if not self.tried.is_set():
            self.tried.set()
            while not self.second.is_set():
                with contextlib.suppress(BaseException):
                    time.sleep(0.02)
            with contextlib.suppress(BaseException):
                self.task_log["try"] = "first"
                self.dump("first")
            self.late.set()
        else:
            self.second.set()
            assert self.late.wait(30)
            assert "try" not in self.task_log
            self.dump("second")


@pytest.mark.parametrize("options", HERE)
def test_what_is_given_up_stores_nothing_in_a_later_build(options, monkeypatch):
    for event in (GivenUp.tried, GivenUp.second, GivenUp.late):
        event.clear()
    monkeypatch.setattr(GivenUp, "timeout", LIMIT)
    try:
        while not GivenUp.tried.is_set():  # on a busy machine the time may be over before it begins
            with pytest.raises(BuildFailed):
                build(GivenUp(), **options)
        monkeypatch.undo()
        assert build(GivenUp(), **options) == "second"
    finally:
        GivenUp.second.set()
    assert GivenUp().output().load() == "second"


class HangsInCode(TaskOnKart[int]):
    timeout = 2.0

    def run(self):
        Path("began").touch()
        event = threading.Event()
        event.wait(60)
        self.dump(1)


class FailsAfterIt(TaskOnKart[int]):
    executor = "threads"

    def run(self):
        until(Path("began").exists, 60)
        raise ValueError("no")


def test_time_limits_hold_after_the_first_failure():
    began = time.monotonic()
    with pytest.raises(BuildFailed) as failed:
        build([HangsInCode(), FailsAfterIt()], executor="threads", workers=2, fail_fast=True)
    assert time.monotonic() - began < 30
    assert sorted(type(error).__name__ for error in failed.value.causes.values()) == ["TaskTimeout", "ValueError"]


@pytest.mark.parametrize("options", HERE)
def test_ctrl_c_ends_a_task_with_a_time_limit_by_then(options):
    def interrupt():
        until(Path("began").exists, 60)
        time.sleep(0.3)  # until the build waits for it
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build(HangsInCode(), **options)
    assert time.monotonic() - began < 30
    assert not HangsInCode().complete()


class Waits(TaskOnKart[int]):
    """Yields a task that takes longer than this one may."""

    timeout = 0.5

    def run(self):
        yield Long()
        self.dump(1)


class Long(TaskOnKart[int]):
    timeout = 0  # no limit, whatever the build says

    def run(self):
        time.sleep(0.7)
        self.dump(1)


@pytest.mark.parametrize("options", [*HERE, PROCESSES])
def test_only_the_time_of_the_task_itself_counts(options):
    assert build(Waits(), timeout=0.6, **options) == 1


class Sleeps(TaskOnKart[int]):
    def run(self):
        time.sleep(0.6)
        self.dump(1)


class OfLuigi(Sleeps):
    worker_timeout = 0.2


class Longer(Sleeps):
    timeout = 60
    worker_timeout = 0.1


class Parameter(Sleeps):
    timeout: float = luigi.FloatParameter(default=0.1)


def limit_of(task, **options):
    """Return the limit that ended a task, or None."""
    try:
        build(task, **options)
    except BuildFailed as failed:
        (error,) = failed.causes.values()
        assert isinstance(error, TaskTimeout)
        return error.seconds
    return None


def test_the_class_comes_before_the_build_and_the_build_before_luigis_configuration():
    assert limit_of(Sleeps(), timeout=0.3) == 0.3
    assert limit_of(OfLuigi(), timeout=9) == 0.2
    assert limit_of(Longer(), timeout=0.3) is None
    luigi.configuration.get_config().set("worker", "timeout", "1")
    assert limit_of(Hangs(kind="sleep")) == LIMIT
    luigi.configuration.get_config().set("worker", "timeout", "0.25")
    assert limit_of(Parameter()) == 0.25
    assert limit_of(Sleeps(), timeout=0) is None


@pytest.mark.parametrize("value", [-1, True, "5", float("nan")])
def test_what_is_no_time_is_refused_before_anything_runs(value):
    class Wrong(Sleeps):
        timeout = value

    with pytest.raises(ConfigError, match=r"Wrong\.timeout"):
        build(Wrong())
    assert not Path("resources").exists() or not list(Path("resources").rglob("Wrong*"))


def test_nothing_is_asked_per_task_without_a_limit(monkeypatch):
    from kart_runtime.schedule import time_limits

    asked = []
    monkeypatch.setattr(time_limits, "may_have_timeout", lambda cls: asked.append(cls) or False)
    build([Numbered(n=n) for n in range(20)])
    assert asked == [Numbered]


class Numbered(TaskOnKart[int]):
    n: int = luigi.IntParameter()

    def run(self):
        self.dump(1)


def until(condition, seconds):
    """Wait for something; say whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
