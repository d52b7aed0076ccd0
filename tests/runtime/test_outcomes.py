"""Whatever a task does costs that task only, under every executor; what only explains or shows costs a warning."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build, ledger
from kart_runtime.errors import BuildFailed, EndlessRequirements, PlanError
from kart_runtime.execution import portable_errors
from kart_runtime.execution.locks import FileLocks
from kart_runtime.history.ledger import _Lines
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.runs import read_records
from kart_runtime.schedule.events import BuildFinished, TaskFinished
from kart_runtime.storage.stores.local import LocalStore
from tests.runtime.execution.executors.dask_clusters import cluster


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(params=["serial", "threads", "processes", "dask"])
def options(request):
    """Return the options of a build for each executor."""
    if request.param == "dask":
        return {"executor": "dask", "address": request.getfixturevalue("dask").address}
    return {"executor": request.param, "workers": 1 if request.param == "serial" else 2}


class Panic(BaseException):
    pass


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NoTextAtAll(Exception):
    def __str__(self):
        raise Panic

    def add_note(self, note):
        raise RuntimeError("no notes")


class NoPickle(Exception):
    def __reduce__(self):
        raise Panic


class OneWay(Exception):
    def __init__(self, one, two):
        super().__init__(one)


class Endless(Exception):
    def __reduce__(self):
        while True:
            time.sleep(0.01)


class Lock(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


ERRORS = {
    "panic": lambda: Panic("the reason"),
    "cancelled": lambda: asyncio.CancelledError("the reason"),
    "generator": lambda: GeneratorExit("the reason"),
    "exit": lambda: SystemExit("the reason"),
    "stop": lambda: StopIteration("the reason"),
    "no text": NoText,
    "no text at all": NoTextAtAll,
    "no pickle": lambda: NoPickle("the reason"),
    "one way": lambda: OneWay("the reason", 2),
    "lock": Lock,
    "huge": lambda: ValueError("x" * 30_000_000),
    "recursion": lambda: RecursionError("the reason"),
}


class Bad(TaskOnKart[int]):
    priority = 10
    kind = luigi.Parameter()

    def run(self):
        raise ERRORS[self.kind]()


class Other(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def run(self):
        self.dump(self.number)


class Below(TaskOnKart[int]):
    kind = luigi.Parameter()

    def requires(self):
        return [Bad(kind=self.kind), Other()]

    def run(self):
        self.dump(1)


@pytest.mark.parametrize("kind", ERRORS)
def test_what_a_task_raises_costs_that_task_and_what_is_below(options, kind):
    others = [Other(number=number) for number in range(1, 4)]
    with pytest.raises(BuildFailed) as caught:
        build([Below(kind=kind), *others], **options)
    assert all(task.complete() for task in (Other(), *others))
    assert list(caught.value.causes) == [f"Bad[{Bad(kind=kind).make_unique_id()[:8]}]"]
    assert list(caught.value.not_started) == [f"Below[{Below(kind=kind).make_unique_id()[:8]}]"]
    assert len(str(caught.value)) < 30_000
    (failed,) = [record for record in read_records("resources") if record.state == "failed"]
    name = type(ERRORS[kind]()).__name__
    assert name in failed.error
    assert kind not in ("panic", "cancelled", "generator", "exit", "one way") or "the reason" in failed.error
    assert len(failed.error) < 130_000


def test_an_error_whose_pickle_never_ends_is_not_waited_for(monkeypatch):
    assert portable_errors._survives(ValueError("x"))
    monkeypatch.setattr(portable_errors, "_PICKLE_SECONDS", 0.2)
    began = time.monotonic()
    assert not portable_errors._survives(Endless())
    assert time.monotonic() - began < 5


def test_ctrl_c_is_no_outcome():
    class Interrupted(TaskOnKart[int]):
        def run(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Interrupted())


class Anything(luigi.Parameter):
    pass


class Value:
    """A value that can be hashed and compared, and not pickled."""

    def __repr__(self):
        return "a value"

    def __reduce__(self):
        raise RuntimeError("not this one")


class Unsendable(TaskOnKart[int]):
    value = Anything(significant=False)

    def run(self):
        self.dump(1)


def test_a_task_that_cannot_be_sent_fails_alone():
    with pytest.raises(BuildFailed, match="cannot be pickled for a worker process: RuntimeError: not this one"):
        build([Unsendable(value=Value()), Other()], executor="processes", workers=2)
    assert Other().complete()


def test_yielded_tasks_that_cannot_be_planned_cost_the_task_that_yields(options):
    with pytest.raises(BuildFailed) as caught:
        build([YieldsBroken(), Other()], **options)
    assert Other().complete()
    (error,) = caught.value.causes.values()
    assert isinstance(error, Panic)


class Broken(TaskOnKart[int]):
    def requires(self):
        raise Panic("in requires()")


class YieldsBroken(TaskOnKart[int]):
    def run(self):
        yield Broken()


# -- requires() ----------------------------------------------------------------------------------------------------


class Chain(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def requires(self):
        return Chain(number=self.number + 1)


class CallsItself(TaskOnKart[int]):
    def requires(self):
        return [self.requires()]


class HoldsItself(TaskOnKart[int]):
    def requires(self):
        tasks = []
        tasks.append(tasks)
        return tasks


class Generates(TaskOnKart[int]):
    def requires(self):
        return (Other(number=0) for _ in iter(int, 1))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            Chain(),
            r"Chain\.requires\(\) does not end: more than 1,000 tasks require each other: Chain\(number=\d+\) req",
        ),
        (CallsItself(), r"CallsItself\.requires\(\) does not end: it calls itself, .*\(RecursionError: "),
        (HoldsItself(), r"HoldsItself\.requires\(\) does not end: it calls itself, or what it returns holds itself"),
        (Generates(), r"Generates\.requires\(\) does not end: an iterator in it has more than 200,000 items"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_requirements_without_an_end_are_found(task, message, monkeypatch):
    monkeypatch.setattr("kart_runtime.plan.graph.MAX_DEPTH", 1000)
    monkeypatch.setattr("kart_runtime.task.identity.MAX_DEPTH", 1000)
    with pytest.raises(EndlessRequirements, match=message):
        build(task)
    with pytest.raises(RecursionError):
        type(task)().make_unique_id()


def test_a_completeness_check_that_panics_is_a_plan_error():
    class Panics(TaskOnKart[int]):
        def complete(self):
            raise Panic("no answer")

    with pytest.raises(PlanError, match="its completeness check raised Panic: no answer"):
        build(Panics())


# -- the working folder --------------------------------------------------------------------------------------------


class Wanders(TaskOnKart[str]):
    folder = luigi.Parameter()

    def output(self):
        return {"early": self.make_target("early.pkl"), "late": self.make_target("late.pkl")}

    def run(self):
        before = os.getcwd()
        self.dump(before, "early")
        os.chdir(self.folder)
        self.dump(before, "late")


class Stays(TaskOnKart[str]):
    folder = luigi.Parameter()

    def requires(self):
        return Wanders(folder=self.folder)

    def run(self):
        self.load()
        self.dump(os.getcwd())


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_that_changes_the_folder_takes_nothing_along(options, tmp_path_factory, fails):
    elsewhere, here = tmp_path_factory.mktemp("elsewhere"), os.getcwd()
    if fails:
        with pytest.raises(BuildFailed):
            build([WandersAndFails(folder=str(elsewhere))], **options)
    assert build(Stays(folder=str(elsewhere)), **options) == here
    assert os.getcwd() == here
    assert list(elsewhere.iterdir()) == []
    urls = {output.url for record in read_records("resources") for output in record.outputs}
    assert not any(map(os.path.isabs, urls))  # what is recorded is what the task says


class WandersAndFails(TaskOnKart[int]):
    folder = luigi.Parameter()

    def run(self):
        os.chdir(self.folder)
        raise ValueError


def test_a_lock_in_a_relative_workspace_is_released_elsewhere(tmp_path_factory):
    build(Stays(folder=str(tmp_path_factory.mktemp("elsewhere"))), locks="file")
    with FileLocks("resources").hold("x", None, 0.0):
        pass


# -- records, listeners, handlers ----------------------------------------------------------------------------------


def full_after(number, monkeypatch):
    """Let the disk of the records be full after some lines."""
    real, count = _Lines.append, [0]

    def append(self, line):
        count[0] += 1
        if count[0] > number:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, line)

    monkeypatch.setattr(ledger._Lines, "append", append)


@pytest.mark.parametrize("number", range(5))
def test_records_that_cannot_be_written_cost_one_warning(options, number, monkeypatch, caplog):
    full_after(number, monkeypatch)
    tasks = [Other(number=number) for number in range(4)]
    assert build(tasks, **options) == [0, 1, 2, 3]
    lost = [record.getMessage() for record in caplog.records if "No space left" in record.getMessage()]
    assert len(lost) == 1
    assert "Outputs are not affected" in lost[0]
    starts = ("Could not record this run", "Could not write the record of Other", "Could not write the definitions")
    assert lost[0].startswith(starts)


def test_a_line_that_was_cut_does_not_spoil_the_next(monkeypatch, tmp_path):
    lines = _Lines(str(tmp_path / "run"), "header\n")
    write, room = os.write, [3]

    def cut(descriptor, data):
        if not room:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[: room.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", cut)
        with pytest.raises(OSError, match="full"):
            lines.append("second\n")
    lines.append("third\n")
    lines.close()
    assert (tmp_path / "run.jsonl").read_text().splitlines() == ["header", "sec", "third"]


def test_log_files_that_cannot_be_written_cost_one_warning(monkeypatch, caplog):
    def put(self, key, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalStore, "put", put)
    monkeypatch.setattr(LogFiles, "write", lambda self, kind, data: put(self, kind, data))
    assert build([Other(number=number) for number in range(3)]) == [0, 1, 2]
    assert [record.getMessage().partition(" in ")[0] for record in caplog.records] == [
        f"Could not write the log files of {Other(number=0)}",
        caplog.messages[-1].partition(" in ")[0],
    ]
    assert re.match(r"\d+ log files or records of this run are not", caplog.messages[-1])
    assert {record.log_files for record in read_records("resources")} == {()}


def test_a_task_log_that_cannot_be_stored_costs_a_warning(caplog):
    class Logs(TaskOnKart[int]):
        def run(self):
            self.task_log["lock"] = threading.Lock()
            self.dump(1)

    assert build(Logs()) == 1
    assert "Could not write the log files of Logs[" in caplog.text


@pytest.mark.parametrize("error", [ValueError("mine"), Panic("mine"), NoText()])
@pytest.mark.parametrize("level", [None, logging.INFO])
def test_a_listener_that_raises_costs_one_warning(options, error, level, caplog):
    received = []

    def listener(event):
        received.append(type(event))
        raise error

    assert build([Other(number=1), Other(number=2)], on_event=listener, log_level=level, **options) == [1, 2]
    assert received.count(TaskFinished) == 2
    assert received[-1] is BuildFinished
    if level is None:
        assert [text for text in caplog.messages if "A listener of the build raised at PlanMade" in text]
        assert len([text for text in caplog.messages if "A listener" in text]) == 1


def test_a_log_handler_that_raises_costs_nothing(monkeypatch, capsys):
    class Handler(logging.Handler):
        def emit(self, record):
            raise NoText

    full_after(2, monkeypatch)
    handler = Handler()
    logging.getLogger("kart_runtime").addHandler(handler)
    try:
        assert build([Other(number=1), Other(number=2)], log_level=logging.INFO) == [1, 2]
        assert build([Other(number=3)]) == [3]
    finally:
        logging.getLogger("kart_runtime").removeHandler(handler)
    assert "No space left" in capsys.readouterr().err


def test_a_build_without_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(BuildFailed):
        build([Below(kind="panic"), Other()])
    assert Other().complete()
    assert Path("resources/log/runs").is_dir()
