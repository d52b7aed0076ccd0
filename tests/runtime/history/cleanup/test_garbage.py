"""What no kept run refers to goes, everything else stays: above all what a kept run refers to."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import luigi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime import TaskOnKart, build
from kart_runtime.history import run_header
from kart_runtime.history.cleanup.garbage import find_garbage, remove
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.runs import list_runs, read_records
from kart_runtime.storage.folder_files import files_key
from kart_runtime.storage.registry import STORES, store_for
from kart_runtime.storage.stores import UnfinishedUpload
from kart_runtime.storage.stores.memory import MemoryStore
from kart_runtime.storage.target import OutputRecord

NOW = time.time()

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch):
    """Let the runs be of processes of another machine, so that nobody knows whether they live."""
    monkeypatch.setattr(run_header, "this_process", lambda: "elsewhere")


# -- runs that never were --------------------------------------------------------------------------------------------


def id_of(name):
    return hashlib.md5(name.encode()).hexdigest()


def run_id(days, now=NOW):
    return f"{datetime.fromtimestamp(now - days * DAY, UTC):%Y%m%dT%H%M%SZ}-{next(_numbers):08x}"


def put(url, days=100.0, now=NOW, data=b"data"):
    """Store an object that was last written so many days ago, where the store lets us."""
    store, key = store_for(url)
    with store.write(key) as file:
        file.write(data)
    date(url, days, now)
    return url


def date(url, days, now=NOW):
    store, key = store_for(url)
    if url.startswith("memory:"):
        store._objects[key] = store._objects[key]._replace(modified=now - days * DAY)
    elif "://" not in url:
        os.utime(key, (now - days * DAY, now - days * DAY))


def exists(url):
    store, key = store_for(url)
    return store.stat(key) is not None


def urls_in(workspace):
    store, key = store_for(workspace)
    slashed = "" if workspace.startswith("/") else f"{workspace.partition('://')[0]}://"
    return {f"{slashed}{stat.key}" for stat in store.list(key)}


def attempt(workspace, name, urls, module="module", log_files=("task_log",)):
    """Return the record of an attempt that has stored something."""
    stored = tuple(OutputRecord(url, 4, "") for url in urls)
    record = {
        "task": name.partition(" ")[0],
        "module": module,
        "unique_id": id_of(name),
        "state": "done",
        "seconds": 1.0,
    }
    record |= {"started": "", "seed": None, "params": {}, "outputs": stored, "log_files": log_files}
    return record | {"error": "", "reason": ""}


def output(workspace, name):
    return f"{workspace}/folder/{name.partition(' ')[0]}_{id_of(name)}.pkl"


def log_file(workspace, name):
    return f"{workspace}/log/task_log/{name.partition(' ')[0]}_{id_of(name)}.pkl"


def run(workspace, days, ran=(), also=(), told=True, records=(), now=NOW):
    """Write what a run leaves that ran some tasks so many days ago, and referred to others, too."""
    with Ledger(run_id(days, now)) as ledger:
        for name in ran:
            put(output(workspace, name), days, now)
            put(log_file(workspace, name), days, now)
            ledger.append(workspace, attempt(workspace, name, [output(workspace, name)]))
        for record in records:
            ledger.append(workspace, record)
        if told:
            tasks: dict[str, list[str]] = {}
            for name in (*ran, *also):
                tasks.setdefault(name.partition(" ")[0], []).append(id_of(name))
            ledger.record_tasks(workspace, RunTasks({"module": tasks}))
    date(f"{workspace}/log/runs/{ledger.run_id}.jsonl", days, now)
    return ledger.run_id


def collect(*workspaces, now=NOW, **keep):
    """Remove garbage, and return what has gone."""
    found = find_garbage(workspaces, Path.cwd(), RetentionPolicy(**keep), now)
    told = {url for one in found for url in one.sizes()}
    removed = remove(found, now)
    assert removed.failed == {}
    assert {url.partition("://")[2] or url for url in removed.deleted} == told
    return set(removed.deleted)


def run_file(workspace, run):
    return f"{workspace}/log/runs/{run}.jsonl"


# -- what goes and what stays ----------------------------------------------------------------------------------------


def test_what_no_kept_run_refers_to_goes_on_every_store(workspace):
    # On S3 nothing is older than the test, so all of it happens in the future.
    now = NOW + 1000 * DAY
    old = run(workspace, 60, ran=["Old 1", "Used 1"], now=now)
    older = run(workspace, 70, ran=["Old 2"], now=now)
    new = run(workspace, 5, ran=["New 1"], also=["Used 1"], now=now)
    mine = put(f"{workspace}/mine.pkl")
    gokarts = put(f"{workspace}/folder/Old_{'0' * 32}.pkl")
    before = urls_in(workspace)
    found = find_garbage([workspace], Path.cwd(), now=now)
    assert urls_in(workspace) == before
    gone = {which(workspace, name) for name in ("Old 1", "Old 2") for which in (output, log_file)}
    assert collect(workspace, now=now) == gone | {run_file(workspace, older)}
    note = f"{workspace}/log/runs/deleted.json"
    assert urls_in(workspace) == before - gone - {run_file(workspace, older)} | {note}
    assert {mine, gokarts, output(workspace, "Used 1"), run_file(workspace, old), run_file(workspace, new)} < before
    assert [(one.retained_runs, one.all_runs, list(one.by_task)) for one in found] == [(1, 3, ["Old"])]
    assert collect(workspace, now=now) == set()


def test_log_records_and_series_go_with_the_records_they_belong_to(workspace):
    class Talks(TaskOnKart[int]):
        number: luigi.IntParameter = luigi.IntParameter()

        def run(self):
            logging.getLogger("mine").warning("line")
            self.log_metric("loss", 0.5, step=1)
            self.dump(1)

    def kept(number):
        task = Talks(number=number, workspace_directory=workspace)
        return {task._log_files().url(kind) for kind in ("lines", "series")} | {task.output().path()}

    for number in (1, 2):
        build(Talks(number=number, workspace_directory=workspace))
    assert all(map(exists, kept(1) | kept(2)))
    now = time.time() + 100 * DAY
    assert kept(1) <= collect(workspace, now=now)
    assert not any(map(exists, kept(1)))
    assert all(map(exists, kept(2)))


def test_the_file_of_a_run_stays_as_long_as_something_is_left_that_only_it_names(workspace):
    now = NOW + 1000 * DAY
    first = run(workspace, 60, ran=["Used"], now=now)
    run(workspace, 5, also=["Used"], now=now)
    assert collect(workspace, now=now) == set()
    # A later one that names it, too, is enough.
    second = run(workspace, 50, ran=["Used"], now=now)
    assert collect(workspace, now=now) == {run_file(workspace, first)}
    now += 40 * DAY
    last = run(workspace, 1, also=["Other"], now=now)
    gone = collect(workspace, now=now)
    assert {output(workspace, "Used"), run_file(workspace, second)} < gone
    assert [one.id for one in list_runs(workspace)] == [last]


def test_the_last_runs_are_kept_however_old(tmp_path):
    workspace = str(tmp_path / "w")
    for days, name in ((400, "A"), (300, "B"), (200, "C"), (100, "D")):
        run(workspace, days, ran=[name])
    put(f"{workspace}/log/runs/zzz.jsonl", data=b"")  # it is no run, and not counted
    for keep, left in ((3, "BCD"), (1, "D")):
        collect(workspace, runs=keep)
        assert [exists(output(workspace, name)) for name in left] == [True] * len(left)
        assert len(list_runs(workspace)) == len(left) + 1
    assert collect(workspace) == set()


def test_the_runs_of_some_days_are_kept(tmp_path):
    workspace = str(tmp_path / "w")
    for days, name in ((8.1, "A"), (6.9, "B"), (3, "C")):
        run(workspace, days, ran=[name])
    assert output(workspace, "A") in collect(workspace, days=7)
    assert output(workspace, "B") in collect(workspace, days=4)
    assert exists(output(workspace, "C"))


def test_what_a_run_of_the_last_day_says_is_kept_whatever_is_asked_for(tmp_path):
    workspace = str(tmp_path / "w")
    run(workspace, 0.9, ran=["A"])
    long = run(workspace, 3, ran=["B"])
    date(run_file(workspace, long), 0.5)  # it still writes
    run(workspace, 0.1, ran=["C"])
    assert collect(workspace, days=0, runs=1) == set()
    now = NOW + DAY
    assert {output(workspace, name) for name in "AB"} < collect(workspace, days=0, runs=1, now=now)


def test_a_run_that_may_be_running_and_has_not_said_what_it_needs_stops_everything(workspace):
    now = NOW + 1000 * DAY
    run(workspace, 60, ran=["Old"], now=now)
    running = run(workspace, 0.2, ran=["New"], told=False, now=now)
    before = urls_in(workspace)
    with pytest.raises(UnsafeWorkspace, match=rf"{running} may still be active.*Retry when"):
        collect(workspace, now=now)
    assert urls_in(workspace) == before
    # It was killed: what it has made itself is kept with it.
    gone = collect(workspace, now=now + DAY)
    assert output(workspace, "Old") in gone
    assert output(workspace, "New") not in gone


def test_what_a_run_of_an_early_version_has_made_is_kept(tmp_path):
    workspace = str(tmp_path / "w")
    run(workspace, 10, ran=["Early"], told=False)
    run(workspace, 60, ran=["Old"])
    assert output(workspace, "Old") in collect(workspace)
    assert exists(output(workspace, "Early"))


def test_what_was_written_in_the_last_day_stays(tmp_path):
    workspace = str(tmp_path / "w")
    old = run(workspace, 60, ran=["Again", "Old"])
    run(workspace, 5)
    date(output(workspace, "Again"), 0.5)  # by a run whose file is not there yet
    gone = collect(workspace)
    assert gone == {output(workspace, "Old"), *(log_file(workspace, name) for name in ("Again", "Old"))}
    assert exists(run_file(workspace, old))
    assert collect(workspace, now=NOW + DAY) == {output(workspace, "Again"), run_file(workspace, old)}


def test_an_output_without_an_id_in_its_name_stays(tmp_path):
    workspace = str(tmp_path / "w")
    urls = [put(f"{workspace}/{name}") for name in ("fixed.csv", "noid_.csv", f"x_{id_of('Other')}.csv", "x_abc.csv")]
    run(workspace, 60, records=[attempt(workspace, "Old", urls)])
    run(workspace, 5, also=["Next"])  # it found fixed.csv, and took it for its own
    assert collect(workspace) == set()
    assert all(map(exists, urls))


def test_what_another_class_with_the_same_id_refers_to_stays(tmp_path):
    workspace = str(tmp_path / "w")
    url = put(f"{workspace}/explicit_{id_of('Task 1')}.pkl")
    run(workspace, 60, records=[attempt(workspace, "Task 1", [url], module="before.it.moved")])
    run(workspace, 5, also=["Task 1"])
    assert collect(workspace) == set()


def test_an_output_of_a_kept_task_stays_under_whose_name_it_may_be(tmp_path):
    workspace = str(tmp_path / "w")
    old = run(workspace, 60, ran=["Old"])
    other_way = f"{workspace}/x/../folder/{Path(output(workspace, 'Old')).name}"
    run(workspace, 5, records=[attempt(workspace, "Alias", [other_way])])
    assert collect(workspace) == {log_file(workspace, "Old"), run_file(workspace, old)}
    assert exists(output(workspace, "Old"))


def test_what_one_workspace_needs_stays_in_another_that_lies_around_it(tmp_path):
    around, inside = str(tmp_path / "w"), str(tmp_path / "w" / "folder")
    run(around, 60, ran=["Task 1"])
    run(around, 5)
    run(inside, 5, also=["Task 1"])
    assert output(around, "Task 1") in find_garbage([around], tmp_path, now=NOW)[0].sizes()
    assert collect(around, inside, around + "/", f"file://{around}") == set()


def test_only_the_link_goes_and_nothing_outside(tmp_path):
    workspace, outside = str(tmp_path / "w"), tmp_path / "outside"
    name = Path(output(workspace, "Old")).name
    precious = [put(str(outside / name)), put(f"{workspace}2/{name}"), put(f"{workspace}/log/runs/{name}.jsonl")]
    put(f"{workspace}/in/x")
    Path(workspace, "in", name).symlink_to(outside / name)
    os.utime(Path(workspace, "in", name), (0, 0), follow_symlinks=False)
    Path(workspace, "out").symlink_to(outside)
    urls = [f"{workspace}/in/{name}", f"{workspace}/out/{name}", f"{workspace}/../outside/{name}", precious[1]]
    urls += [f"s3:/{workspace}/in/{name}", precious[2], f"{workspace}/in", "/etc/passwd", f"{workspace}/\0{name}"]
    run(workspace, 60, records=[attempt(workspace, "Old", urls)])
    run(workspace, 5)
    link = f"{workspace}/in/{name}"
    assert link in collect(workspace)
    assert not os.path.lexists(link)
    assert all(map(exists, precious))


def test_a_hostile_record_takes_nothing_that_is_needed(workspace):
    now = NOW + 1000 * DAY
    kept = run(workspace, 5, ran=["Kept"], now=now)
    run(workspace, 90, ran=["Other"], now=now)
    elsewhere = put(f"{workspace}2/folder/Old_{id_of('Old')}.pkl")
    urls = [output(workspace, "Kept"), run_file(workspace, kept), elsewhere, f"{workspace}/../{elsewhere}"]
    for name in ("Kept", "Old", ""):
        hostile = {**attempt(workspace, name, urls), "task": f"../../{name}", "log_files": ("task_log",)}
        run(workspace, 60, records=[hostile, {**hostile, "unique_id": ""}], now=now)
    assert {output(workspace, "Other"), log_file(workspace, "Other")} < collect(workspace, now=now)
    assert all(map(exists, [output(workspace, "Kept"), run_file(workspace, kept), elsewhere]))


def test_a_run_that_cannot_be_read_stops_everything(tmp_path):
    workspace = str(tmp_path / "w")
    run(workspace, 60, ran=["Old"])
    run(workspace, 5)
    for days in (5, 90):  # also one that is not kept: what it names would be forgotten with it
        unreadable = Path(run_file(workspace, run_id(days)))
        unreadable.symlink_to("nowhere")
        with pytest.raises(UnsafeWorkspace, match=rf"Nothing was deleted.*{unreadable.name}.*Make its file readable"):
            collect(workspace)
        unreadable.unlink()
    assert output(workspace, "Old") in collect(workspace)


def test_a_cut_line_of_a_kept_run_stops_everything(tmp_path):
    workspace = str(tmp_path / "w")
    run(workspace, 60, ran=["Old"])
    kept = run(workspace, 5, ran=["New"])
    path = Path(run_file(workspace, kept))
    whole = path.read_text()
    path.write_text(whole[:-10])
    date(str(path), 5)
    with pytest.raises(UnsafeWorkspace, match=rf"which tasks run {kept} uses.*cut.*Delete {path}"):
        collect(workspace)
    # A cut attempt takes nothing away: the last line names its task.
    path.write_text(whole.replace('"state"', '"st\n{"task": "cut', 1))
    date(str(path), 5)
    gone = collect(workspace)
    assert output(workspace, "Old") in gone
    assert output(workspace, "New") not in gone


# -- a removal -------------------------------------------------------------------------------------------------------


def test_a_removal_that_was_interrupted_is_gone_on_with(workspace, monkeypatch):
    now = NOW + 1000 * DAY
    old = run(workspace, 60, ran=["A", "B", "C"], now=now)
    run(workspace, 5, now=now)
    found = find_garbage([workspace], Path.cwd(), now=now)
    whole = {
        url for url in urls_in(workspace) if old in url or id_of("A") in url or id_of("B") in url or id_of("C") in url
    }
    files = found[0].files
    delete = type(files).delete

    def interrupted(self, places):
        delete(self, list(places)[:3])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(files), "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove(found, now)
    assert exists(run_file(workspace, old))
    assert len(collect(workspace, now=now)) == len(whole) - 3
    assert not any(map(exists, whole))


def test_a_run_stays_with_what_cannot_be_removed(tmp_path, monkeypatch):
    workspace = str(tmp_path / "w")
    old = run(workspace, 60, ran=["A", "B"])
    run(workspace, 5)
    unlink = Path.unlink

    def guarded(self, missing_ok=False):
        if self.name.startswith("A_") and "folder" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", guarded)
        removed = remove(find_garbage([workspace], tmp_path, now=NOW), NOW)
    assert removed.failed == {output(workspace, "A"): "Permission denied"}
    assert len(removed.deleted) == 3
    assert collect(workspace) == {output(workspace, "A"), run_file(workspace, old)}


def test_what_a_run_needs_that_began_meanwhile_stays(workspace):
    now = NOW + 1000 * DAY
    old = run(workspace, 60, ran=["A", "B", "C"], now=now)
    run(workspace, 5, now=now)
    found = find_garbage([workspace], Path.cwd(), now=now)
    run(workspace, 0, ran=["C"], also=["B"], now=now)
    removed = remove(found, now)
    assert set(removed.deleted) == {output(workspace, "A"), log_file(workspace, "A")}
    assert exists(run_file(workspace, old))
    found = find_garbage([workspace], Path.cwd(), now=now)
    run(workspace, 0, told=False, ran=["D"], now=now)
    with pytest.raises(UnsafeWorkspace, match="may still be active"):
        remove(found, now)


def test_a_workspace_without_runs_has_no_garbage(workspace):
    assert collect(workspace) == set()
    put(f"{workspace}/folder/Old_{'0' * 32}.pkl")
    assert collect(workspace) == set()


# -- what else was left behind ---------------------------------------------------------------------------------------


def test_files_go_that_killed_processes_have_left(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    here = socket.gethostname()[:60]
    gone = put(str(tmp_path / "w" / "deep" / f".kart-{here}-{process.pid}-0"))
    old = [put(str(tmp_path / "w" / name)) for name in (f".kart-{here}-{os.getpid()}-0", ".kart-elsewhere-1-0")]
    kept = [put(str(tmp_path / "w" / ".kart-elsewhere-2-0"), days=1)]  # its process may run
    kept += [put(str(tmp_path / "w" / f".kart-{here}-{process.pid}-1"), days=0)]
    kept += [put(str(tmp_path / "w" / ".hidden" / f".kart-{here}-{process.pid}-0"))]
    kept += [put(str(tmp_path / "w" / "deep" / f".kart-{here}-{process.pid}-7"))]  # of a commit that can be finished
    entry = {"url": "deep/x.pkl", "size": 4, "checksum": "", "temporary": f".kart-{here}-{process.pid}-7"}
    (tmp_path / "w" / "log" / "runs").mkdir(parents=True)
    (tmp_path / "w" / "log" / "runs" / "x.commit.json").write_text(json.dumps({"outputs": [entry]}))
    assert collect(str(tmp_path / "w")) == {gone, *old}
    assert all(map(exists, kept))


def test_unfinished_uploads_go(s3):
    import boto3

    client = boto3.client("s3")
    run("s3://bucket/uploads", 5)
    for key in ("uploads/a/x.pkl", "uploads2/x.pkl"):
        client.create_multipart_upload(Bucket="bucket", Key=key)
    found = find_garbage(["s3://bucket/uploads"], Path.cwd(), now=NOW + 2 * DAY)
    assert [upload.key for garbage in found for upload in garbage.uploads] == ["bucket/uploads/a/x.pkl"]
    left = client.list_multipart_uploads(Bucket="bucket")["Uploads"]
    assert len(left) == 2
    removed = remove(found, NOW + 2 * DAY)
    assert (removed.uploads, removed.warnings) == (1, ())
    assert [one["Key"] for one in client.list_multipart_uploads(Bucket="bucket")["Uploads"]] == ["uploads2/x.pkl"]


class KeepsUploads(MemoryStore):
    """A store whose service lets nobody throw an upload away."""

    def unfinished(self, prefix, before):
        return [UnfinishedUpload(f"{prefix}x", "1")]

    def discard(self, upload):
        raise PermissionError(f"{upload.key}: AccessDenied")


def test_an_upload_that_cannot_be_thrown_away_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(STORES, "keeping", f"{__name__}:KeepsUploads")
    removed = remove(find_garbage(["keeping://uploads"], tmp_path))
    assert (removed.uploads, removed.warnings) == (0, ("uploads/x: AccessDenied",))


class TellsNothing(MemoryStore):
    """A store whose service lets nobody look for uploads."""

    def unfinished(self, prefix, before):
        raise PermissionError("AccessDenied")

    def discard(self, upload):
        raise AssertionError("nothing was found")


class Folder(TaskOnKart[Path]):
    def output(self):
        return self.make_folder_target("x")

    def run(self):
        with self.folder() as folder:
            (folder / "a.txt").write_text("a")


def test_half_filled_folders_of_a_bucket_go(s3, monkeypatch):
    workspace = f"s3://bucket/half{os.getpid()}"
    task = Folder(workspace_directory=workspace)
    build(task)
    store, key = store_for(task.output().url)
    listed = [stat.key for stat in store.list(files_key(key))]
    left = [f"{files_key(key)}/{'0' * 16}/{name}" for name in ("a.txt", "b/c.txt")]
    foreign = f"{files_key(key)}/of-somebody/x.txt"
    for name in (*left, foreign):
        with store.write(name) as file:
            file.write(b"left")
    now = time.time()
    assert find_garbage([workspace], Path.cwd(), now=now + 6 * DAY)[0].temporary == {}
    found = find_garbage([workspace], Path.cwd(), now=now + 8 * DAY)
    assert list(found[0].temporary.values()) == [8]
    remove(found, now + 8 * DAY)
    assert sorted(stat.key for stat in store.list(files_key(key))) == sorted([*listed, foreign])
    assert (task.output().load() / "a.txt").read_text() == "a"


def test_a_service_that_does_not_tell_of_uploads_is_no_reason_to_fail(tmp_path, monkeypatch):
    monkeypatch.setitem(STORES, "silent", f"{__name__}:TellsNothing")
    found = find_garbage(["silent://uploads"], tmp_path)
    assert found[0].warnings == ("cannot list incomplete uploads: AccessDenied",)
    assert (remove(found).uploads, remove(found).warnings) == (0, ())


def test_requests_are_few(s3):
    now = NOW + 1000 * DAY
    workspace = f"s3://bucket/requests{os.getpid()}"
    for number in range(10):
        run(workspace, 60 + number, ran=[f"Task {number} {one}" for one in range(5)], now=now)
    run(workspace, 5, now=now)
    s3.reset()
    found = find_garbage([workspace], Path.cwd(), now=now)
    assert s3.count() == {"list": 5, "get": 12}  # all runs for the index, and the retained one itself
    s3.reset()
    assert [garbage.sizes() for garbage in find_garbage([workspace], Path.cwd(), now=now)] == [found[0].sizes()]
    assert s3.count() == {"list": 5, "get": 1}  # the index knows the others
    s3.reset()
    assert len(remove(found, now).deleted) == 110
    # The runs once more, and what builds and later calls see: the notice, and which runs are gone.
    assert s3.count() == {"list": 1, "get": 2, "head": 3, "put": 2, "delete": 3}


# -- real tasks ------------------------------------------------------------------------------------------------------


class Number(TaskOnKart[int]):
    number: int = luigi.IntParameter()

    def run(self):
        self.dump(self.number)


class Double(TaskOnKart[int]):
    number: int = luigi.IntParameter()

    def requires(self):
        return Number(number=self.number, workspace_directory=self.workspace_directory)

    def run(self):
        self.dump(2 * self.load())


def test_tasks_of_kept_runs_load_and_others_run_again(workspace):
    now = NOW + 40 * DAY
    for number in (1, 2):
        build(Double(number=number, workspace_directory=workspace))
    first = list_runs(workspace)
    build(Double(number=2, workspace_directory=workspace))
    assert len(list_runs(workspace)) == 3
    (last,) = {one.id for one in list_runs(workspace)} - {one.id for one in first}
    # Runs of one second have no order, so that the last one is made a later one.
    store, key = store_for(f"{workspace}/log/runs")
    with store.open(f"{key}/{last}.jsonl") as file:
        put(f"{workspace}/log/runs/{run_id(-2)}.jsonl", days=0, data=file.read())
    store.delete(f"{key}/{last}.jsonl")
    gone = collect(workspace, now=now)
    assert {Path(url).name.partition("_")[0] for url in gone if "/log/" not in url} == {"Number", "Double"}
    files_of_the_run = 2 if "://" in workspace else 1  # what cannot be appended to is written in parts
    assert len(gone) == 2 + 2 * 5 + files_of_the_run
    kept, lost = Double(number=2, workspace_directory=workspace), Double(number=1, workspace_directory=workspace)
    assert kept.complete()
    assert kept.requires().output().load() == 2
    assert collect(workspace, now=now) == set()
    assert not lost.complete()
    assert build(lost) == 2


# -- any history -----------------------------------------------------------------------------------------------------

KINDS = {
    "Plain": ["{w}/Plain_{id}.pkl"],
    "Several": ["{w}/a/Several_{id}.csv", "{w}/b/Several_{id}"],
    "Fixed": ["{w}/fixed.csv"],
    "Moved": ["{w}/moved_{id}.pkl"],
}
TASKS = [(kind, module, number) for kind in KINDS for module in ("m", "n") for number in (1, 2)]


@dataclass
class World:
    """A workspace, what has happened there, and what a tidy one would look like."""

    workspace: str
    now: float = NOW
    runs: list[tuple[float, bool, set[int], set[int]]] = field(default_factory=list)

    def urls(self, task):
        kind, _, number = TASKS[task]
        return [url.format(w=self.workspace, id=id_of(f"{kind} {number}")) for url in KINDS[kind]]

    def run(self, tasks, told):
        ran = {task for task in tasks if not all(map(exists, self.urls(task)))}
        if not ran and not told:  # a run of an early version that left nothing
            return
        with Ledger(run_id(0, self.now)) as ledger:
            for task in ran:
                kind, module, number = TASKS[task]
                for url in self.urls(task):
                    put(url, 0, self.now)
                put(log_file(self.workspace, f"{kind} {number}"), 0, self.now)
                ledger.append(self.workspace, attempt(self.workspace, f"{kind} {number}", self.urls(task), module))
            if told:
                classes: dict[str, dict[str, list[str]]] = {}
                for kind, module, number in (TASKS[task] for task in tasks):
                    classes.setdefault(module, {}).setdefault(kind, []).append(id_of(f"{kind} {number}"))
                ledger.record_tasks(self.workspace, RunTasks(classes))
        date(run_file(self.workspace, ledger.run_id), 0, self.now)
        self.runs.append((self.now, told, set(tasks), ran))

    def kept(self, keep):
        last = self.runs[-keep.runs :]
        return [one for one in self.runs if one in last or one[0] > self.now - max(keep.days, 1) * DAY]

    def collect(self, keep):
        mine = put(f"{self.workspace}/mine_{id_of('Plain 1')}.pkl")
        kept = self.kept(keep)
        if any(not told and began > self.now - DAY for began, told, _, _ in kept):
            with pytest.raises(UnsafeWorkspace):
                find_garbage([self.workspace], Path.cwd(), keep, self.now)
            return
        needed = {url for _, told, tasks, ran in kept for task in (tasks if told else ran) for url in self.urls(task)}
        there = {url for url in needed if exists(url)}
        remove(find_garbage([self.workspace], Path.cwd(), keep, self.now), self.now)
        assert all(map(exists, there))
        assert exists(mine)
        self.check_tidy(keep, kept)

    def check_tidy(self, keep, kept):
        assert find_garbage([self.workspace], Path.cwd(), keep, self.now)[0].sizes() == {}
        ids = {
            id_of(f"{TASKS[task][0]} {TASKS[task][2]}")
            for _, told, all_, ran in kept
            for task in (all_ if told else ran)
        }
        named = {stored.url for record in read_records(self.workspace) for stored in record.outputs}
        outputs = {url for task in range(len(TASKS)) for url in self.urls(task) if exists(url)}
        assert outputs <= named  # nothing is forgotten
        store, _ = store_for(self.workspace)
        for url in outputs:
            age = self.now - store.stat(url.partition("://")[2]).modified
            assert url.endswith("fixed.csv") or age <= DAY or any(one in url for one in ids)


EVENT = st.tuples(
    st.sampled_from([0.01, 0.5, 2.0, 20.0]),
    st.one_of(
        st.tuples(
            st.just("run"), st.sets(st.integers(0, len(TASKS) - 1), max_size=4), st.sampled_from([True, True, False])
        ),
        st.tuples(st.just("gc"), st.integers(1, 3), st.sampled_from([0.0, 1.0, 5.0, 30.0])),
    ),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(EVENT, max_size=14))
def test_for_any_history_what_kept_runs_refer_to_loads_and_the_rest_goes(events):
    world = World(f"memory://any{os.getpid()}_{next(_numbers)}")
    for days, (what, first, second) in events:
        world.now += days * DAY
        if what == "run":
            world.run(sorted(first), second)
        else:
            world.collect(RetentionPolicy(first, second))
    world.collect(RetentionPolicy())
