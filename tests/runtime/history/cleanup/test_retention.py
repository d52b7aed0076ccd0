"""Which runs are retained, by whose clock, and what stops a deletion because nobody knows what is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.history import ledger as ledgers
from kart_runtime.history import run_header
from kart_runtime.history.cleanup import garbage
from kart_runtime.history.cleanup.garbage import find_garbage, remove
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.history.index import Index, open_index
from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.runs import list_runs, read_runs

RUNS = Path("resources/log/runs")


class Leaf(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        self.dump(self.number)


class Other(Leaf):
    """Another root."""


class Fails(TaskOnKart[int]):
    def requires(self):
        return Leaf(number=1)

    def run(self):
        raise ValueError("fails")


def age(days, runs=None):
    """Let what some runs, or all, have done have happened so many days earlier."""
    for path in [path for path in Path("resources").rglob("*") if path.is_file()]:
        os.utime(path, (path.stat().st_mtime - days * DAY,) * 2)
        if path.name[:16] in (runs or [path.name[:16]]) and path.suffix == ".jsonl" and path.parent == RUNS:
            then = datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() - days * DAY
            path.rename(RUNS / f"{datetime.fromtimestamp(then, UTC):%Y%m%dT%H%M%SZ}{path.name[16:]}")


def built(*tasks, days=40):
    """Build tasks one after the other, a day between them, and all of them so many days ago."""
    for task in tasks:
        build(task, return_value=False)
        age(1)
    age(days)


def gc(**options):
    return remove(find_garbage(["resources"], Path.cwd(), RetentionPolicy(), **options)).deleted


def test_the_last_run_of_each_root_stays_however_old():
    built(Leaf(number=1), Leaf(number=2), Other(number=1))
    gc()
    found = [task.complete() for task in (Leaf(number=1), Leaf(number=2), Other(number=1))]
    assert found == [False, True, True]


@pytest.mark.parametrize("what", ["project", "env"])
def test_the_last_run_of_each_project_and_environment_stays(monkeypatch, what):
    for value, number in (("one", 1), ("two", 2), ("two", 3)):
        info = run_header.RunInfo(**{what: value})
        monkeypatch.setattr(run_header, "_project", lambda info=info: info)
        built(Leaf(number=number), days=0)
    age(40)
    gc()
    assert [Leaf(number=number).complete() for number in (1, 2, 3)] == [True, False, True]


def test_a_run_that_failed_does_not_take_the_place_of_one_that_ended_well():
    built(Leaf(number=1), days=0)
    for number in (2, 3):
        with Ledger() as ledger:
            ledger.root_classes = [f"{__name__}.Leaf"]
            ledger.record_tasks("resources", RunTasks({__name__: {"Leaf": [Leaf(number=number).make_unique_id()]}}))
            ledger.finish("failed", {})
        age(1)
    age(40)
    gc()
    assert Leaf(number=1).complete()
    assert len(list_runs("resources")) == 2  # the first of the failed ones is gone


def test_what_only_another_run_of_the_task_knows_to_be_yielded_stays():
    built(Yields(), days=30)
    built(Yields(), days=60)
    assert len(list_runs("resources")) == 2
    gc()
    assert Leaf(number=7).complete()


@pytest.mark.parametrize("damage", ["zeros", "cut", "lost", "hole"])
@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_damaged_line_of_a_run_that_is_not_retained_stops_the_deletion(damage, is_indexed, monkeypatch):
    built(Yields(), days=60)
    built(Yields(), days=0)
    path = Path(list_runs("resources")[0].files[0].key)
    status, lines = path.stat(), path.read_bytes().splitlines(keepends=True)
    (number,) = (number for number, line in enumerate(lines) if b'"yielded"' in line)
    line = lines[number]
    lines[number] = {"zeros": b"\0" * (len(line) - 1) + b"\n", "cut": line[:50] + b"\n"}.get(damage, b"")
    if damage == "hole":  # in the line of an attempt, and with the lines after it
        attempt = next(number for number, line in enumerate(lines) if line.startswith(b'{"task":'))
        lines[number] = line
        lines[attempt] = lines[attempt][:50] + b"\0" * 50 + lines[attempt][100:]
    path.write_bytes(b"".join(lines))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if not is_indexed:
        monkeypatch.setattr(Index, "knows", lambda *_: False)
    with pytest.raises(UnsafeWorkspace, match=rf"which tasks run {path.stem} uses.*Delete .*{path.name}"):
        gc()
    assert Leaf(number=7).complete()


class Yields(TaskOnKart[int]):
    def run(self):
        yield Leaf(number=7)
        self.dump(1)


SCRIPT = """
import kart_runtime as kart

class NAME(kart.TaskOnKart):
    def output(self):
        return self.make_target("NAME.pkl")

    def run(self):
        self.dump("NAME")

class Main(kart.TaskOnKart):
    def requires(self):
        return NAME()

    def run(self):
        self.dump(self.load())

kart.build(Main(), return_value=False, progress=False)
"""


def test_classes_of_one_name_in_two_scripts_are_two_roots():
    for name in ("weekly", "daily"):
        Path(f"{name}.py").write_text(SCRIPT.replace("NAME", name))
        subprocess.run([sys.executable, f"{name}.py"], check=True, timeout=60)
    age(60)
    gc()
    assert {path.name.partition("_")[0] for path in Path("resources").glob("*.pkl")} == {"weekly", "daily"}


# -- gaps ------------------------------------------------------------------------------------------------------------


def test_the_lost_file_of_a_run_stops_the_deletion_until_it_is_ignored():
    built(Leaf(number=1), Other(number=1), Leaf(number=2))
    lost = list_runs("resources")[1]
    Path(lost.files[0].key).unlink()
    with pytest.raises(UnsafeWorkspace, match=rf"file of run \S+{lost.id[-8:]} is missing.*--ignore-missing-runs"):
        gc()
    assert Leaf(number=1).complete()
    gc(ignore_missing=True)
    assert not Leaf(number=1).complete()
    assert gc() == {}  # it is not asked for again


def test_runs_that_gc_has_deleted_are_not_missed():
    built(*(Leaf(number=number) for number in range(4)))
    assert gc()
    assert len(list_runs("resources")) == 1
    built(Leaf(number=5))
    assert gc()


def test_runs_of_earlier_versions_are_not_missed():
    built(*(Leaf(number=number) for number in range(3)))
    for path in RUNS.glob("*.jsonl"):
        first, _, rest = path.read_text().partition("\n")
        new = ("previous", "process", "project", "root_classes")
        header = {key: value for key, value in json.loads(first).items() if key not in new}
        path.write_text(f"{json.dumps(header)}\n{rest}")
    age(41)
    next(RUNS.glob("*.jsonl")).unlink()
    gc()
    assert Leaf(number=2).complete()


def fork_build(number):
    """Build in another process, as if it did not see the runs that others begin at the same time."""
    process = os.fork()
    if not process:
        code = 1
        try:
            build(Leaf(number=number), return_value=False)
            code = 0
        finally:
            os._exit(code)
    return process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_runs_at_the_same_time_have_the_same_one_before_them():
    build(Leaf(number=1), return_value=False)
    first = list_runs("resources")[0].id
    processes = [fork_build(number) for number in (2, 3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes] == [0, 0]
    runs = list(read_runs("resources", list_runs("resources")))
    assert [first in run.header["previous"] for run in runs] == [False, True, True]
    gc()  # nothing is missing


def test_a_lost_part_of_a_run_and_a_later_version_stop_the_deletion():
    built(Leaf(number=1), Leaf(number=2))
    path = Path(list_runs("resources")[1].files[0].key)
    part = path.with_name(f"{path.stem}.part0002.jsonl")
    part.write_text("")
    with pytest.raises(UnsafeWorkspace, match="it lacks a part"):
        gc()
    part.unlink()
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    with pytest.raises(UnsafeWorkspace, match=r"a later version of kart wrote its file\. Use that version"):
        gc()
    assert Leaf(number=1).complete()


def test_a_folder_with_the_name_of_a_run_is_no_run(caplog):
    build(Leaf(number=1), return_value=False)
    (RUNS / "20260101T000000Z-0000000000000.jsonl").mkdir()
    gc()
    build(Leaf(number=2), return_value=False)
    with open_index("resources") as index:
        assert len(index.runs()) == 2
    assert caplog.text == ""


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [50, 5000, -50])
def test_a_wrong_clock_of_this_machine_makes_nothing_old(monkeypatch, days):
    for number in (1, 2):
        build(Leaf(number=number), return_value=False)
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + days * DAY)
        assert round(time.time() - now) == days * DAY  # the fault is there
        assert gc() == {}
        patch.setattr(garbage, "store_time", lambda _: time.time())  # a gc that asks this machine only
        patch.setattr(garbage.Garbage, "now", now + days * DAY)
        found = find_garbage(["resources"], Path.cwd(), RetentionPolicy())
    assert bool(found[0].by_task) == (days > 0)


def test_a_run_of_a_machine_whose_clock_was_ahead_does_not_displace_the_last_one():
    built(Leaf(number=1), days=0)
    ahead = Path(list_runs("resources")[0].files[0].key)
    ahead.rename(RUNS / f"{datetime.fromtimestamp(time.time() + 90 * DAY, UTC):%Y%m%dT%H%M%SZ}{ahead.name[16:]}")
    built(Leaf(number=2), days=0)
    age(200)
    gc()
    assert Leaf(number=2).complete()
    assert Leaf(number=1).complete()


def test_a_run_of_a_machine_whose_clock_was_behind_is_as_young_as_its_file():
    built(Other(number=1), days=0)
    behind = Path(list_runs("resources")[0].files[0].key)
    behind.rename(RUNS / f"20200101T000000Z{behind.name[16:]}")
    build(Other(number=2), return_value=False)
    gc()
    assert Other(number=1).complete()


# -- running runs ----------------------------------------------------------------------------------------------------


def test_a_run_whose_process_lives_is_running_however_long_it_wrote_nothing():
    with Ledger() as ledger:
        ledger.root_classes = ["m.Slow"]
        ledger.record_tasks("resources", RunTasks({__name__: {"Leaf": [Leaf(number=1).make_unique_id()]}}))
        build(Leaf(number=1), return_value=False)
        age(90)
        for number in (2, 3):
            built(Leaf(number=number), days=45)
        with open_index("resources") as index:
            assert {run.state for run in index.runs() if run.id[-8:] == ledger.run_id[-8:]} == {"running"}
        gc()
        assert Leaf(number=1).complete()
        assert not Leaf(number=2).complete()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_killed_run_is_dead_at_once_on_its_machine():
    process = os.fork()
    if not process:
        Ledger().record_tasks("resources", RunTasks({"m": {"C": ["0" * 32]}}))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    with open_index("resources") as index:
        assert [run.state for run in index.runs()] == ["died"]


def test_a_run_says_from_time_to_time_that_it_goes_on(monkeypatch, workspace):
    monkeypatch.setattr(ledgers, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(ledgers, "REMOTE_BEAT_SECONDS", 0.02)
    with Ledger() as ledger:
        ledger.record_tasks(workspace, RunTasks({"m": {"C": ["0" * 32]}}))
        before = list_runs(workspace)[0].files[0].size
        until = time.monotonic() + 30
        while time.monotonic() < until:
            (run,) = list_runs(workspace)
            if len(run.files) > 1 or run.files[0].size > before:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it says nothing")
        time.sleep(0.2)
        (run,) = list_runs(workspace)
        assert len(run.files) <= 2  # on a remote store, one object is written again and again
    (read,) = read_runs(workspace, list_runs(workspace))
    assert (read.cut, len(read.tasks)) == ("", 1)
