"""A build that starts, or yields, while another process deletes loses nothing; nor does a gc that stands still.

Each check makes sure that the output in question was deleted meanwhile, and has a control: builds that do not look for
the notice of a deletion fail.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors import KartError
from kart_runtime.execution import attempt, used_tasks
from kart_runtime.history.cleanup import garbage, notice
from kart_runtime.history.cleanup.garbage import find_garbage, remove
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.cleanup.notice import await_deletions, deleting_from
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.plan.decisions import Plan
from kart_runtime.schedule.run_tasks import TasksRecorder
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import DELETING

NOTICE = Path("resources/log/runs") / DELETING


class Leaf(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        with open("made.txt", "a") as file:
            file.write(f"{self.number}\n")
        self.dump(self.number)


class User(TaskOnKart[int]):
    """Loads a leaf some time after it was found complete."""

    number: luigi.IntParameter = luigi.IntParameter()
    name: luigi.Parameter = luigi.Parameter(default="")

    def requires(self):
        return Leaf(number=self.number)

    def run(self):
        time.sleep(0.4)
        self.dump(self.load())


class YieldsAtOnce(TaskOnKart[int]):
    """Yields a leaf that is complete."""

    number: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        leaf = Leaf(number=self.number)
        yield leaf
        self.dump(leaf.output().load())


class Yields(TaskOnKart[int]):
    """Yields a leaf while it is being deleted."""

    number: luigi.IntParameter = luigi.IntParameter()
    name: luigi.Parameter = luigi.Parameter(default="")

    def run(self):
        wait_for(NOTICE.exists)
        leaf = Leaf(number=self.number)
        yield leaf
        time.sleep(0.4)
        self.dump(leaf.output().load())


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def age(days=40):
    """Let all that has happened have happened so many days earlier."""
    runs = Path("resources/log/runs")
    for path in list(runs.glob("*.jsonl")):
        then = datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() - days * DAY
        path.rename(runs / f"{datetime.fromtimestamp(then, UTC):%Y%m%dT%H%M%SZ}{path.name[16:]}")
    for path in Path("resources").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - days * DAY,) * 2)


def unused_leaf():
    """Make an old leaf that no retained run uses."""
    build(Leaf(number=1), return_value=False)
    age(1)
    build(Leaf(number=2), return_value=False)
    age()
    assert len(made()) == 2


def made():
    return Path("made.txt").read_text().split()


@contextmanager
def deletion(pause, codes=(0,)):
    """Delete garbage in another process, which pauses between its last look at the runs and the first deletion."""
    process = os.fork()
    if not process:
        code = 1
        try:
            found = find_garbage(["resources"], Path.cwd(), RetentionPolicy())
            written_since = garbage._written_since

            def slow(*args):
                time.sleep(pause)
                return written_since(*args)

            garbage._written_since = slow
            code = 0 if remove(found).deleted else 2
        finally:
            os._exit(code)
    try:
        yield process
    finally:
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) in codes  # 0: it has deleted something


@pytest.mark.parametrize("cls", [User, Yields])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_build_waits_for_a_deletion_and_finds_nothing_complete_that_goes(cls):
    unused_leaf()
    with deletion(0.3):
        if cls is User:
            wait_for(NOTICE.exists)
        assert build(cls(number=1)) == 1
    assert made() == ["1", "2", "1"]  # it was deleted, and made again
    assert not NOTICE.exists()


@pytest.mark.parametrize("cls", [User, Yields])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_build_that_does_not_look_for_a_deletion_fails(cls, monkeypatch):
    for module in (notice, used_tasks):
        monkeypatch.setattr(module, "await_deletions", lambda _: False)
    unused_leaf()
    with deletion(0.3):
        wait_for(NOTICE.exists)
        with pytest.raises((BuildFailed, KartError, OSError)):
            build(cls(number=1))


def delete_garbage():
    """Delete an old leaf from the first look to the last deletion; return whether there was one."""
    found = find_garbage(["resources"], Path.cwd(), RetentionPolicy())
    return bool(remove(found).deleted)


def test_a_deletion_that_begins_and_ends_while_a_build_plans_is_noticed(monkeypatch):
    add_plan, deleted = TasksRecorder.add_plan, []

    def after_deletion(*args, **options):
        deleted.append(delete_garbage())
        return add_plan(*args, **options)

    monkeypatch.setattr(TasksRecorder, "add_plan", after_deletion)
    unused_leaf()
    deleted.clear()
    assert build(User(number=1)) == 1
    assert deleted == [True, False]  # it planned again, once
    assert made() == ["1", "2", "1"]


def test_a_deletion_that_begins_and_ends_while_a_task_yields_is_noticed(monkeypatch):
    note_used, deleted = attempt.note_used, []

    def after_deletion(*args):
        deleted.append(delete_garbage())
        return note_used(*args)

    monkeypatch.setattr(attempt, "note_used", after_deletion)
    unused_leaf()
    assert build(YieldsAtOnce(number=1)) == 1
    assert deleted == [True]
    assert made() == ["1", "2", "1"]


@pytest.mark.parametrize("cls", [User, YieldsAtOnce])
def test_a_build_that_does_not_look_once_more_fails(cls, monkeypatch):
    unused_leaf()
    monkeypatch.setattr(Plan, "has_lost_outputs", lambda _: False)
    monkeypatch.setattr(used_tasks, "may_have_missed", lambda *_: False)
    for owner, name in ((TasksRecorder, "add_plan"), (attempt, "note_used")):
        original = getattr(owner, name)

        def after_deletion(*args, original=original, **options):
            delete_garbage()
            return original(*args, **options)

        if (owner is attempt) == (cls is YieldsAtOnce):
            monkeypatch.setattr(owner, name, after_deletion)
    with pytest.raises((BuildFailed, KartError, OSError)):
        build(cls(number=1))


def test_builds_before_and_after_a_deletion_plan_once(monkeypatch):
    add_plan, again = TasksRecorder.add_plan, []

    def noted(*args, **options):
        again.append(add_plan(*args, **options))
        return again[-1]

    monkeypatch.setattr(TasksRecorder, "add_plan", noted)
    unused_leaf()
    assert build(Leaf(number=2)) == 2
    assert delete_garbage()
    assert build(Leaf(number=2)) == 2
    assert again == [False] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_notice_of_a_dead_process_that_cannot_be_removed_keeps_nobody_waiting(monkeypatch, caplog):
    build(Leaf(number=1), return_value=False)
    process = os.fork()
    if not process:
        with deleting_from("resources"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)

    def refused(store, key):
        if key.endswith(DELETING):
            raise PermissionError(13, "Permission denied", key)
        return delete(store, key)

    delete = LocalStore.delete
    monkeypatch.setattr(LocalStore, "delete", refused)
    assert build(User(number=1)) == 1
    assert NOTICE.exists()
    assert f"Delete {NOTICE.resolve()}" in caplog.text
    assert "Waiting for" not in caplog.text


def check_races(times, seed):
    """Start builds and deletions at random moments; return how many leaves were deleted and how many stayed."""
    print(f"seed {seed}")
    moments = random.Random(seed)
    deleted = stayed = 0
    for number in range(10, 10 + times):
        build(Leaf(number=number), return_value=False)
        age(1)
        build(Leaf(number=1000 + number), return_value=False)
        age()
        cls, before = moments.choice([User, Leaf, YieldsAtOnce]), made().count(str(number))
        with deletion(moments.random() / 10, codes=(0, 2)):
            time.sleep(moments.random() / 5)
            assert build(cls(number=number)) == number
        deleted += made().count(str(number)) - before
        stayed += made().count(str(number)) == before
    return deleted, stayed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_builds_and_deletions_at_any_moment():
    deleted, stayed = check_races(6, 17)
    assert deleted + stayed == 6
    assert deleted > 0


def test_what_a_dead_process_has_left_keeps_nobody_waiting():
    build(Leaf(number=1), return_value=False)
    process = os.fork() if hasattr(os, "fork") else 0
    if not process:
        with deleting_from("resources"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert NOTICE.exists()
    began = time.monotonic()
    assert await_deletions("resources")
    assert time.monotonic() - began < 5
    assert not NOTICE.exists()
    assert not await_deletions("resources")


def test_two_deletions_are_one_after_the_other():
    build(Leaf(number=1), return_value=False)
    with (
        deleting_from("resources"),
        pytest.raises(UnsafeWorkspace, match=r"deletes files of it at this moment\. Retry"),
        deleting_from("resources"),
    ):
        raise AssertionError
    assert not NOTICE.exists()


def test_a_deletion_that_stood_still_for_long_deletes_no_more():
    unused_leaf()
    found = find_garbage(["resources"], Path.cwd(), RetentionPolicy())
    files = {place: size for one in found for place, size in one.sizes().items()}
    assert files
    delete = garbage._written_since

    def stands_still(*args):
        NOTICE.unlink()  # as a build does that has waited long enough
        return delete(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garbage, "_written_since", stands_still)
        result = remove(found)
    assert result.deleted == {}
    assert set(result.failed) == set(files) - set(found[0].runs)
    assert all(Path(place).exists() for place in files)
