"""`kart gc`: what no kept run refers to, told before it is deleted."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kart_runtime.history.runs import list_runs
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.scratch import open_scratch
from kart_runtime.storage.stores import s3_client
from tests.runtime.servers import environment, make_bucket, s3_server

DAY = 86_400.0


def age(workspace, days):
    """Let all that has happened in a local workspace have happened so many days earlier."""
    runs = Path(workspace, "log", "runs")
    for path in list(runs.glob("*.jsonl")):
        then = datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() - days * DAY
        path.rename(runs / f"{datetime.fromtimestamp(then, UTC):%Y%m%dT%H%M%SZ}{path.name[16:]}")
    for path in Path(workspace).rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * DAY
            os.utime(path, (then, then))


def files(root):
    return {path for path in (root / "outputs").rglob("*") if path.is_file()}


@pytest.fixture
def aged(small_project, kart):
    """Return a project with a run of 40 days ago, and one of today with another value of a parameter."""
    root = small_project()
    kart("run")
    age(root / "outputs", 40)
    kart("run", "Total.weight=3")
    return root


def test_gc_deletes_nothing_until_told(aged, kart):
    before = files(aged)
    typed = kart("gc")
    assert typed.code == 0
    assert files(aged) == before
    assert [line.split()[:3] for line in typed.lines[:2]] == [["Total", "6", "files"], ["RunAll", "6", "files"]]
    assert [line.split("  ")[0] for line in typed.lines[2:-2]] == ["retained", "kept", "kept"]
    assert "it wrote something in the last day" in typed.out
    assert "a retained run uses them" in typed.out
    assert typed.lines[-2] == "Retaining 1 of 2 runs."
    assert re.fullmatch(r"Dry run: would delete 12 files \(.*kB\)\. Pass --yes to delete them\.", typed.lines[-1])


def test_gc_of_another_workspace_leaves_that_of_the_configuration(aged, kart):
    kart("run", "run.workspace=other")
    age(aged / "other", 40)
    kart("run", "run.workspace=other", "Total.weight=4")
    before = files(aged)
    assert kart("gc", "run.workspace=other", "--yes").code == 0
    assert files(aged) == before
    assert len(list((aged / "other").glob("*/tasks/**/Total_*.pkl"))) == 1


def test_gc_deletes_what_no_kept_run_refers_to(aged, kart):
    mine = aged / "outputs" / "mine.pkl"
    mine.write_text("mine")
    os.utime(mine, (0, 0))
    before = len(files(aged))
    typed = kart("gc", "--yes")
    assert typed.code == 0
    assert typed.lines[-1].startswith("Deleted 12 files (")
    assert len(files(aged)) == before - 12
    assert mine.exists()
    assert kart("plan", "Total.weight=3").lines[-1] == "3 tasks: 0 to run, 3 complete"
    assert kart("plan").lines[-1] == "3 tasks: 2 to run, 1 complete"
    # The old run's file stays, since only it names the numbers that the kept run has found complete.
    assert kart("gc", "--yes").lines == ["Retaining 1 of 2 runs.", "Nothing to delete."]
    assert kart("gc").lines[-2:] == ["Retaining 1 of 2 runs.", "Nothing to delete."]


def test_gc_goes_with_the_files_of_runs(aged, kart):
    age(aged / "outputs", 60)
    kart("run", "Numbers.size=9")
    typed = kart("gc", "--yes")
    assert [line.split("  ")[0] for line in typed.lines[:-2]] == ["Total", "RunAll", "Numbers", "(files of runs)"]
    assert typed.lines[-1].startswith("Deleted 32 files (")
    assert len(list_runs(str(aged / "outputs"))) == 1


@pytest.mark.parametrize(
    ("options", "kept"),
    [([], 1), (["--keep-runs", "2"], 2), (["--keep-days", "50"], 2), (["--keep-days=0.5", "--keep-runs=1"], 1)],
)
def test_which_runs_are_kept_can_be_chosen(aged, kart, options, kept):
    assert kart("gc", *options).lines[-2] == f"Retaining {kept} of 2 runs."


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--keep-runs", "0"], "'0' is not a number of runs"),
        (["--keep-runs", "-1"], "keep-runs"),
        (["--keep-runs", "few"], "'few' is not a number of runs"),
        (["--keep-days", "nan"], "'nan' is not a number of days"),
        (["--keep-days=-1"], "'-1' is not a number of days"),
        (["--keep-days", "x"], "'x' is not a number of days"),
        (["--keep-dys", "1"], "did you mean '--keep-days'"),
        (["Total"], "takes no names, got Total"),
    ],
)
def test_what_cannot_be_meant_is_refused(aged, kart, options, wanted):
    before = files(aged)
    typed = kart("gc", *options, "--yes")
    assert typed.code == 2
    assert wanted in typed.err
    assert files(aged) == before


def test_gc_without_runs_has_nothing_to_do(small_project, kart):
    small_project()
    assert kart("gc", "--yes").lines == ["Retaining 0 of 0 runs.", "Nothing to delete."]


def test_gc_refuses_when_a_run_cannot_be_read(aged, kart):
    (aged / "outputs/log/runs/20260101T000000Z-a.jsonl").symlink_to("nowhere")
    before = files(aged)
    typed = kart("gc", "--yes")
    assert typed.code == 2
    assert "20260101T000000Z-a" in typed.err
    assert typed.err.endswith("Nothing was run or changed.\n")
    assert files(aged) == before


def test_gc_goes_on_when_a_file_cannot_be_deleted(aged, kart, monkeypatch):
    unlink = Path.unlink

    def guarded(self, missing_ok=False):
        if self.name.startswith("Total_") and "tasks" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", guarded)
        typed = kart("gc", "--yes")
    assert typed.code == 1
    assert typed.lines[-1] == "Deleted 11 of 12 files."
    assert "Permission denied" in typed.err
    assert kart("gc", "--yes").lines[-1].startswith("Deleted 1 file (")


def test_gc_works_from_any_folder_of_the_project(aged, kart, monkeypatch):
    monkeypatch.chdir(aged / "src")
    assert kart("gc", "--yes").lines[-1].startswith("Deleted 12 files (")


def test_gc_looks_into_each_workspace(aged, kart):
    conf = aged / "conf/base/tasks/numbers.yaml"
    conf.write_text(conf.read_text() + "  workspace_directory: elsewhere/\n")
    kart("run", "Total.weight=7")
    age(aged / "elsewhere", 40)
    age(aged / "outputs", 40)  # a run uses what it requires, wherever that is
    kart("run", "Total.weight=8")
    typed = kart("gc", "--yes")
    assert typed.lines[-2] == "Retaining 2 of 6 runs."
    assert typed.lines[-1].startswith("Deleted 39 files (")
    assert len(list((aged / "elsewhere").rglob("Total_*.pkl"))) == 5


def test_gc_of_a_remote_workspace(small_project, kart, monkeypatch, tmp_path):
    with s3_server() as proxy:
        make_bucket(proxy, "bucket")
        for name, value in environment(proxy).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "cache"))
        small_project({"conf/base/run.yaml": "task: RunAll\nworkspace: s3://bucket/w\n"})
        kart("run")
        store, key = store_for("s3://bucket/w")
        now = time.time()
        monkeypatch.setattr("kart_runtime.history.cleanup.garbage.time.time", lambda: now + 50 * DAY)
        monkeypatch.setattr("kart_runtime.history.cleanup.garbage.store_time", lambda _: now + 50 * DAY)
        assert kart("gc", "--yes").lines == ["Retaining 1 of 1 runs.", "Nothing to delete."]
        s3_client.client().create_multipart_upload(Bucket="bucket", Key="w/large.pkl")
        told = "Would abort 1 incomplete upload."
        nothing = "Dry run: nothing was aborted. Pass --yes to abort them."
        assert kart("gc").lines[-3:] == ["Retaining 1 of 1 runs.", told, nothing]
        thrown = "Aborted 1 incomplete upload."
        assert kart("gc", "--yes").lines == ["Retaining 1 of 1 runs.", thrown]
        assert kart("gc").lines[-2:] == ["Retaining 1 of 1 runs.", "Nothing to delete."]
        (first,) = list_runs("s3://bucket/w")
        for run in [part.key for part in first.files]:
            older = run.replace(first.id, f"20260101T000000Z-{first.id[-8:]}")
            with store.open(run) as file, store.write(older) as copy:
                copy.write(file.read())
            store.delete(run)
        kart("run", "Numbers.size=9")
        assert kart("gc").lines[-1].startswith("Dry run: would delete 20 files (")
        assert kart("gc", "--yes").lines[-1].startswith("Deleted 20 files (")
        assert kart("plan", "Numbers.size=9").lines[-1] == "3 tasks: 0 to run, 3 complete"
        assert len([stat for stat in store.list(key) if not stat.key.endswith("/deleted.json")]) == 20


def scratch(root, name, days):
    """Make the scratch folder of a task that last ran so many days ago."""
    folder = root / "outputs" / "log" / "scratch" / f"{name}_{'0' * 32}"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pkl").write_bytes(b"x" * 1000)
    for path in (folder / "checkpoint.pkl", folder):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return folder


def test_gc_deletes_scratch_folders_that_are_old_and_not_in_use(small_project, kart):
    root = small_project()
    kart("run")
    old, recent = scratch(root, "Old", 31), scratch(root, "Recent", 29)
    used = scratch(root, "Used", 31)
    lock = open_scratch(used.parent, used.name)
    os.utime(used, (0, 0))
    typed = kart("gc")
    assert typed.lines[0].split()[:5] == ["(scratch", "folders)", "2", "files", "2.0"]
    assert old.exists()
    assert kart("gc", "--yes").code == 1
    assert [path.exists() for path in (old, recent, used)] == [False, True, True]
    lock.close(delete=False)
    assert kart("gc", "--yes").code == 0
    assert not used.exists()


def test_clean_deletes_the_scratch_folders_of_a_task(small_project, kart):
    root = small_project()
    total, numbers = scratch(root, "Total", 0), scratch(root, "Numbers", 0)
    assert kart("clean", "Total", "--yes").lines[-1].startswith("Deleted 1 file")
    assert [path.exists() for path in (total, numbers)] == [False, True]
    assert kart("clean", "--yes").code == 0
    assert not numbers.exists()
