"""Outputs that are folders: whole or absent, on a disk and in buckets, and read without a copy or by one download."""

from __future__ import annotations

import os
import pickle
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors import ObjectCorrupt, RequestFailed
from kart_runtime.gokart.workspace_management import delete_unnecessary_outputs
from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.garbage import find_garbage, remove
from kart_runtime.history.cleanup.recorded import recorded_files
from kart_runtime.history.cleanup.retention import RetentionPolicy
from kart_runtime.history.records import records_of
from kart_runtime.storage import folder_files, folder_markers, folder_target
from kart_runtime.storage.folder_files import FolderNotStorable, files_key
from kart_runtime.storage.folder_target import FolderTarget
from kart_runtime.storage.processes import this_process
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.staging import StagedWrite

CONTENT = {
    "config.json": b"{}",
    "sub/deep/weights.bin": bytes(range(256)) * 40,
    "a name \u00e9\u4e16.txt": b"x",
    "zero": b"",
}


def fill(path: Path, content: dict[str, bytes] = CONTENT) -> None:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def content_of(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


class Train(TaskOnKart[Path]):
    """A folder of files, some of them in subfolders."""

    text: luigi.Parameter = luigi.Parameter(default="x", significant=False)

    def run(self) -> None:
        with self.folder() as path:
            fill(path, {**CONTENT, "text": self.text.encode()})
            (path / "empty").mkdir()


class Numbered(Train):
    """The same for each number."""

    number: luigi.IntParameter = luigi.IntParameter()


class Count(TaskOnKart[int]):
    """Reads the folder of another task."""

    def requires(self) -> Train:
        return Train(workspace_directory=self.workspace_directory)

    def run(self) -> None:
        path = self.load(self.requires())
        assert isinstance(path, Path)
        assert (path / "empty").is_dir()
        self.dump(sum(map(len, content_of(path).values())))


class Beside(TaskOnKart[object]):
    """Two folders and a file."""

    fails: luigi.BoolParameter = luigi.BoolParameter(significant=False)

    def output(self) -> dict[str, object]:
        folders = {name: self.make_folder_target(f"models/{name}") for name in ("one", "two")}
        return {**folders, "metrics": self.make_target("models/metrics.json")}

    def run(self) -> None:
        for name in ("one", "two"):
            with self.folder(name) as path:
                fill(path)
        self.dump({"auc": 0.5}, "metrics")
        if self.fails:
            raise RuntimeError("after all outputs")


SIZE = sum(map(len, CONTENT.values())) + 1


def keys(workspace: str) -> set[str]:
    """Return what is in a workspace, but for its log, as paths below it."""
    store, key = store_for(workspace)
    names = {stat.key.removeprefix(f"{key}/") for stat in store.list(key)}
    return {name for name in names if not name.startswith("log/")}


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_the_path_of_a_stored_folder_is_loaded(tmp_path, executor):
    assert build(Count(workspace_directory=str(tmp_path)), executor=executor) == SIZE
    path = build(Train(workspace_directory=str(tmp_path)))
    assert content_of(path) == {**CONTENT, "text": b"x"}
    assert path.is_relative_to(tmp_path)  # on a disk, no copy
    assert str(path) == Train(workspace_directory=str(tmp_path)).output().path()


def test_the_path_is_absolute_in_a_relative_workspace():
    assert build(Count(workspace_directory="ws")) == SIZE
    assert build(Train(workspace_directory="ws")).is_absolute()


def test_folders_in_every_store(workspace):
    assert build(Count(workspace_directory=workspace)) == SIZE
    assert Train(workspace_directory=workspace).complete()
    assert content_of(build(Train(workspace_directory=workspace))) == {**CONTENT, "text": b"x"}


def test_a_bucket_is_asked_for_each_file_once(bucket, monkeypatch, tmp_path):
    workspace = f"{bucket.url}/ws"
    build(Train(workspace_directory=workspace), return_value=False)
    bucket.proxy.requests.clear()
    path = build(Train(workspace_directory=workspace))
    assert not [asked for asked in bucket.proxy.requests if asked.kind == "get" and "weights" in asked.path]  # had it
    monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "other machine"))
    for _ in range(3):
        path = Train(workspace_directory=workspace).output().load()
        assert content_of(path) == {**CONTENT, "text": b"x"}
    downloads = [asked for asked in bucket.proxy.requests if "weights" in asked.path and asked.kind == "get"]
    assert len(downloads) == 1


def test_completeness_takes_one_request(bucket):
    workspace = f"{bucket.url}/ws"
    build(Train(workspace_directory=workspace), return_value=False)
    bucket.proxy.requests.clear()
    assert Train(workspace_directory=workspace).output().exists()
    assert len(bucket.proxy.requests) == 1


def test_without_a_cache_the_folder_lives_as_long_as_the_process(s3_bucket, monkeypatch):
    workspace = f"{s3_bucket.url}/ws"
    monkeypatch.setenv("KART_CACHE_MB", "0")
    assert build(Count(workspace_directory=workspace)) == SIZE


def test_a_changed_copy_in_the_cache_is_downloaded_again(s3_bucket):
    task = Train(workspace_directory=f"{s3_bucket.url}/ws")
    path = build(task)
    (path / "config.json").write_text("changed by a consumer")
    assert content_of(task.output().load())["config.json"] == b"{}"


def test_a_damaged_bucket_is_noticed(bucket, monkeypatch, tmp_path):
    workspace = f"{bucket.url}/ws"
    build(Train(workspace_directory=workspace), return_value=False)
    store, _ = store_for(workspace)
    key = next(stat.key for stat in store.list(store_for(workspace)[1]) if stat.key.endswith("config.json"))
    with store.write(key) as file:
        file.write(b"[]")
    monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "other machine"))
    with pytest.raises(ObjectCorrupt, match=r"config\.json"):
        Train(workspace_directory=workspace).output().load()
    problem = [records_of(workspace).problem(output) for output in _outputs(workspace)]
    assert "config.json" in problem[0]


def _outputs(workspace):
    records = records_of(workspace)
    records.refresh()
    return [output for record in records.all() for output in record.outputs]


@pytest.mark.parametrize("change", ["a changed file", "a file less", "a file more"])
def test_a_change_of_the_stored_folder_is_noticed(tmp_path, change):
    path = build(Train(workspace_directory=str(tmp_path)))
    if change == "a changed file":
        (path / "config.json").write_text("[]")  # as many bytes
    elif change == "a file less":
        (path / "config.json").unlink()
    else:
        (path / "more.json").write_text("{}")
    with pytest.raises(BuildFailed) as failure:
        build(Count(workspace_directory=str(tmp_path)))
    assert isinstance(next(iter(failure.value.causes.values())), ObjectCorrupt)
    assert build(Count(workspace_directory=str(tmp_path)), on_corrupt="recompute") == SIZE


def test_a_copied_workspace_is_the_same(tmp_path):
    build(Train(workspace_directory=str(tmp_path / "a")), return_value=False)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)  # other times
    assert content_of(build(Train(workspace_directory=str(tmp_path / "b")))) == {**CONTENT, "text": b"x"}


def test_a_deleted_folder_is_computed_again(tmp_path):
    path = build(Train(workspace_directory=str(tmp_path)))
    shutil.rmtree(path.parent)
    assert not Train(workspace_directory=str(tmp_path)).complete()
    assert content_of(build(Train(workspace_directory=str(tmp_path))))


# -- whole or absent -------------------------------------------------------------------------------------------------


class Broken(TaskOnKart[Path]):
    """Raises when it has written half of its files."""

    def run(self) -> None:
        with self.folder() as path:
            fill(path)
            raise OSError(28, "No space left on device")


def test_a_block_that_raises_leaves_nothing(workspace):
    with pytest.raises(BuildFailed, match="No space left"):
        build(Broken(workspace_directory=workspace))
    assert keys(workspace) == set()


def test_all_outputs_of_a_run_appear_together(workspace):
    with pytest.raises(BuildFailed):
        build(Beside(workspace_directory=workspace, fails=True))
    assert keys(workspace) == set()
    build(Beside(workspace_directory=workspace))
    outputs = Beside(workspace_directory=workspace).output()
    assert content_of(outputs["one"].load()) == content_of(outputs["two"].load()) == CONTENT
    assert outputs["metrics"].load() == {"auc": 0.5}


def test_a_run_can_load_what_it_has_filled(workspace):
    class Look(TaskOnKart[Path]):
        def run(self) -> None:
            with self.folder() as path:
                fill(path)
            assert self.output().exists()
            assert content_of(self.output().load()) == CONTENT
            assert not keys(workspace) & {f"{name}.folder" for name in keys(workspace)}

    assert content_of(build(Look(workspace_directory=workspace))) == CONTENT


def test_a_rerun_replaces_the_folder(workspace):
    build(Train(workspace_directory=workspace, text="old"), return_value=False)
    before = keys(workspace)
    path = build(Train(workspace_directory=workspace, text="new", rerun=True))
    assert (path / "text").read_text() == "new"
    assert len(keys(workspace)) == len(before)  # nothing of the old one is left


def test_equal_folders_have_equal_checksums(tmp_path):
    workspace = str(tmp_path)
    assert build(Count(workspace_directory=workspace)) == SIZE
    first = _outputs(workspace)
    build(Train(workspace_directory=workspace, rerun=True), return_value=False)
    time.sleep(0.01)
    build(Train(workspace_directory=workspace, rerun=True), return_value=False)
    checksums = {output.checksum for output in [*first, *_outputs(workspace)] if output.url.endswith(".folder")}
    assert len(checksums) == 1  # so what depends on it is not computed again


class Fatal(TaskOnKart[Path]):
    """Kills its process at a moment of its run."""

    moment: luigi.Parameter = luigi.Parameter(default="never", significant=False)

    def run(self) -> None:
        with self.folder() as path:
            (path / "a").write_text("a")
            if self.moment == "filling":
                _die()
            (path / "b").write_text("b")
        if self.moment == "before the commit":
            _die()


def _die(*_args: object, **_options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed(workspace: str, moment: str) -> int:
    """Build the task in a process that is killed; return how that ended."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if moment == "sealing":
        folder_target.listed = _die
    elif moment == "the commit":
        StagedWrite.commit = _die
    elif moment == "after the commit":
        folder_target._Draft.committed = _die
    build(Fatal(workspace_directory=workspace, moment=moment), return_value=False)
    os._exit(0)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("moment", ["filling", "sealing", "before the commit", "the commit", "after the commit"])
@pytest.mark.parametrize("place", ["local", "s3", "gcs"])
def test_a_killed_process_leaves_no_folder_or_a_whole_one(tmp_path, request, place, moment):
    workspace = str(tmp_path / "ws")
    if place != "local":
        workspace = f"{request.getfixturevalue(f'{place}_bucket').url}/ws"
    assert _killed(workspace, moment) == -signal.SIGKILL
    target = Fatal(workspace_directory=workspace).output()
    assert target.exists() == (moment == "after the commit")
    if target.exists():
        assert content_of(target.load()) == {"a": b"a", "b": b"b"}
    assert content_of(build(Fatal(workspace_directory=workspace, rerun=True))) == {"a": b"a", "b": b"b"}
    if place == "local":
        assert len(os.listdir(files_key(target.url))) == 1  # what the killed process had left is gone


TOGETHER = """
import sys, time
from pathlib import Path
from kart_runtime import TaskOnKart, build

workspace, own, other = sys.argv[1:]

class Train(TaskOnKart[Path]):
    def run(self):
        with self.folder() as path:
            for number in range(20):
                (path / str(number)).write_text("x" * 1000)
            Path(own).touch()
            while not Path(other).exists():
                time.sleep(0.01)

class Use(TaskOnKart[int]):
    def requires(self):
        return Train(workspace_directory=self.workspace_directory)

    def run(self):
        path = self.load(self.requires())
        time.sleep(0.3)  # the other process stores its folder meanwhile
        self.dump(sum(len((path / str(number)).read_text()) for number in range(20)))

print(build(Use(workspace_directory=workspace), executor="serial", locks="none"))
"""


def test_two_processes_store_the_same_task_at_once(tmp_path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    places = [str(tmp_path / "one"), str(tmp_path / "two")]
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(tmp_path / "ws"), *order], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for order in (places, places[::-1])
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [answer[0].strip() for answer in answers] == [b"20000", b"20000"], answers


def test_a_failed_upload_leaves_nothing(bucket, monkeypatch):
    send, sent = folder_files._send_one, []

    def fail(store, key, path, size):
        if len(sent) == 2:
            raise RequestFailed(key, "write", "no answer")
        sent.append(key)
        send(store, key, path, size)

    monkeypatch.setattr(folder_files, "_send_one", fail)
    with pytest.raises(BuildFailed, match="no answer"):
        build(Train(workspace_directory=f"{bucket.url}/ws"))
    assert len(sent) == 2
    assert keys(f"{bucket.url}/ws") == set()


def test_a_run_that_is_called_directly_stores_at_once(workspace):
    task = Train(workspace_directory=workspace)
    task.run()
    assert task.complete()
    assert content_of(task.output().load()) == {**CONTENT, "text": b"x"}


def test_what_another_machine_writes_stays_for_a_day(tmp_path, monkeypatch):
    task = Train(workspace_directory=str(tmp_path))
    with monkeypatch.context() as other:
        host, _, rest = this_process().partition("-")
        elsewhere = f".kart-{host}-00000000-{rest.split('-', 1)[1]}-"  # booted another time
        other.setattr(folder_markers, "temporary_name", lambda: f"{elsewhere}1")
        draft = task.output().draft()
        fill(draft.path)
    build(task, return_value=False)
    assert content_of(draft.path) == CONTENT
    old = time.time() - 2 * 86_400
    for path in [draft.path.parent, *draft.path.parent.rglob("*")]:
        os.utime(path, (old, old))
    build(Train(workspace_directory=str(tmp_path), rerun=True), return_value=False)
    assert not draft.path.exists()


def test_old_downloads_make_room(s3_bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("KART_CACHE_MB", "0.02")
    first = build(Train(workspace_directory=f"{s3_bucket.url}/first"))
    second = build(Train(workspace_directory=f"{s3_bucket.url}/second"))
    assert first.exists()  # somebody may use it
    assert second.exists()
    old = time.time() - 2 * 86_400
    for path in [first.parent, *first.parent.iterdir()]:
        os.utime(path, (old, old))
    build(Train(workspace_directory=f"{s3_bucket.url}/third"))
    assert not first.exists()
    assert second.exists()
    assert content_of(build(Train(workspace_directory=f"{s3_bucket.url}/first"))) == {**CONTENT, "text": b"x"}


# -- what a folder may hold ------------------------------------------------------------------------------------------


def _stored(tmp_path: Path, function) -> Path:
    class Make(TaskOnKart[Path]):
        def run(self) -> None:
            with self.folder() as path:
                function(path)

    return build(Make(workspace_directory=str(tmp_path / "ws")))


def test_a_link_to_a_file_becomes_the_file(tmp_path):
    (tmp_path / "blob").write_text("content")
    path = _stored(tmp_path, lambda path: (path / "link").symlink_to(tmp_path / "blob"))
    (tmp_path / "blob").unlink()
    assert not (path / "link").is_symlink()
    assert (path / "link").read_text() == "content"


@pytest.mark.parametrize("kind", ["a link to a folder", "a dangling link", "a pipe", "a name in other bytes"])
def test_what_cannot_be_stored_is_refused(tmp_path, kind):
    def function(path: Path) -> None:
        if kind == "a link to a folder":
            (path / "odd").symlink_to(tmp_path)
        elif kind == "a dangling link":
            (path / "odd").symlink_to(tmp_path / "nowhere")
        elif kind == "a pipe":
            os.mkfifo(path / "odd")
        else:
            try:
                Path(os.fsdecode(os.fsencode(path) + b"/odd\xff")).touch()
            except OSError:
                pytest.skip("the system allows no such name")

    with pytest.raises(BuildFailed) as failure:
        _stored(tmp_path, function)
    error = next(iter(failure.value.causes.values()))
    assert isinstance(error, FolderNotStorable)
    assert "odd" in str(error)
    assert pickle.loads(pickle.dumps(error)).args
    assert not list((tmp_path / "ws").rglob("*.folder"))


@pytest.mark.skipif(os.name == "nt", reason="no permissions")
def test_a_file_stays_executable(bucket, monkeypatch, tmp_path):
    class Script(TaskOnKart[Path]):
        def run(self) -> None:
            with self.folder() as path:
                (path / "run.sh").write_text("#!/bin/sh\n")
                (path / "run.sh").chmod(0o755)
                (path / "data").touch()

    build(Script(workspace_directory=bucket.url), return_value=False)
    monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "other machine"))
    path = Script(workspace_directory=bucket.url).output().load()
    assert os.access(path / "run.sh", os.X_OK)
    assert not os.access(path / "data", os.X_OK)


def test_an_empty_folder_is_stored_with_a_warning_or_refused(tmp_path, caplog):
    path = _stored(tmp_path, lambda path: None)
    assert list(path.iterdir()) == []
    assert "empty folder" in caplog.text

    class Nothing(TaskOnKart[Path]):
        def run(self) -> None:
            with self.folder():
                pass

    with pytest.raises(BuildFailed, match="fail_on_empty_dump"):
        build(Nothing(workspace_directory=str(tmp_path), fail_on_empty_dump=True))


def test_many_files(tmp_path):
    path = _stored(tmp_path, lambda path: [(path / f"{number}").touch() for number in range(10_000)])
    assert len(os.listdir(path)) == 10_000


def test_a_folder_is_dumped_from_elsewhere(workspace, tmp_path):
    fill(tmp_path / "made by a tool")

    class Copy(TaskOnKart[Path]):
        def run(self) -> None:
            self.dump(tmp_path / "made by a tool")

    assert content_of(build(Copy(workspace_directory=workspace))) == CONTENT
    assert content_of(tmp_path / "made by a tool") == CONTENT  # a copy


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()

    class Copy(TaskOnKart[Path]):
        def run(self) -> None:
            self.dump(tmp_path / "file")

    with pytest.raises(BuildFailed, match="which is no folder"):
        build(Copy(workspace_directory=str(tmp_path / "ws")))


def test_an_output_that_is_no_folder_says_how_to_declare_one(tmp_path):
    class Wrong(TaskOnKart[str]):
        def run(self) -> None:
            with self.folder():
                pass

    with pytest.raises(BuildFailed, match=r"TaskOnKart\[Path\].*make_folder_target"):
        build(Wrong(workspace_directory=str(tmp_path)))


def test_names_of_folders(tmp_path):
    task = Train(workspace_directory=str(tmp_path))
    unique_id = task.make_unique_id()
    assert task.output().url == f"{tmp_path}/tests/runtime/task/test_folders/Train_{unique_id}.folder"
    assert task.make_folder_target("models/bert").url == f"{tmp_path}/models/bert_{unique_id}.folder"
    assert task.make_folder_target("models/v1.2/").url == f"{tmp_path}/models/v1.2_{unique_id}.folder"
    assert task.make_folder_target("models/bert", use_unique_id=False).url == f"{tmp_path}/models/bert.folder"
    assert isinstance(task.make_target("models/bert.folder"), FolderTarget)
    assert task.make_target("x.pkl").url == f"{tmp_path}/x_{unique_id}.pkl"
    copy = pickle.loads(pickle.dumps(task.make_folder_target("x", partition_by="day")))
    assert copy.partition_by == ("day",)


# -- deletion --------------------------------------------------------------------------------------------------------


def test_the_whole_folder_is_deleted(workspace):
    task = Train(workspace_directory=workspace)
    build(task, return_value=False)
    assert task.output().remove()
    assert keys(workspace) == set()
    assert not task.output().remove()
    assert not task.complete()


def test_clean_deletes_the_files_of_a_folder(workspace):
    build(Beside(workspace_directory=workspace), return_value=False)
    recorded = recorded_files(workspace, Path.cwd(), set())
    size = max(recorded.by_task["Beside"].values())
    assert size > SIZE - 1  # with its files
    result = RemovalResult()
    assert result.delete(recorded.files, recorded.sizes())
    assert keys(workspace) == set()


def test_gc_deletes_folders_of_old_runs_and_what_killed_processes_left(tmp_path):
    workspace = str(tmp_path / "ws")
    for number in (1, 2):
        build(Numbered(number=number, workspace_directory=workspace), return_value=False)
    build(Beside(workspace_directory=workspace), return_value=False)
    left = tmp_path / "ws" / "dead_0123456789abcdef0123456789abcdef.files" / "0123456789abcdef"
    fill(left)
    old = time.time() - 30 * 86_400
    for path in [*(tmp_path / "ws").rglob("*"), left]:
        os.utime(path, (old, old))
    garbage = find_garbage([workspace], Path.cwd(), RetentionPolicy(runs=1, days=0), time.time() + 2 * 86_400)
    assert any("dead" in place for part in garbage for place in part.temporary)
    assert not remove(garbage).failed
    assert [Numbered(number=number, workspace_directory=workspace).complete() for number in (1, 2)] == [False, True]
    assert not left.parent.exists()
    assert Beside(workspace_directory=workspace).complete()
    assert content_of(Beside(workspace_directory=workspace).output()["one"].load()) == CONTENT


def test_unnecessary_outputs_are_whole_folders(tmp_path):
    workspace = str(tmp_path / "ws")
    build(Train(workspace_directory=workspace), return_value=False)
    build(Beside(workspace_directory=workspace), return_value=False)
    deleted = delete_unnecessary_outputs(Train(workspace_directory=workspace))
    assert sorted(Path(path).suffix for path in deleted) == [".folder", ".folder", ".json"]
    assert content_of(Train(workspace_directory=workspace).output().load()) == {**CONTENT, "text": b"x"}
    assert not list(Path(workspace).rglob("one*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="another process writes the marker")
def test_a_marker_that_a_power_cut_has_filled_with_zeros_goes(tmp_path):
    task = Train(workspace_directory=str(tmp_path))
    build(task, return_value=False)
    folder = Path(task.output().load()).parent
    pid = os.fork()
    if not pid:
        Path(folder, f"{folder_markers.temporary_name()}.writing").write_bytes(bytes(33))
        os._exit(0)
    os.waitpid(pid, 0)
    (marker,) = folder.glob(".kart-*")
    build(Train(workspace_directory=str(tmp_path), rerun=True), return_value=False)
    assert not marker.exists()
    assert content_of(task.output().load()) == {**CONTENT, "text": b"x"}


def test_a_live_process_is_not_disturbed(tmp_path):
    task = Train(workspace_directory=str(tmp_path))
    with task.output().filling() as draft:
        fill(draft.path)
        build(Train(workspace_directory=str(tmp_path)), return_value=False)
        assert content_of(draft.path) == CONTENT
        task.output().remove()
        assert content_of(draft.path) == CONTENT
        draft.discard()


# -- tables ----------------------------------------------------------------------------------------------------------


def test_a_partitioned_table_is_read_lazily(workspace):
    pl = pytest.importorskip("polars")

    class Days(TaskOnKart[pl.LazyFrame]):
        def output(self):
            return self.make_folder_target("days", partition_by="day")

        def run(self) -> None:
            self.dump(pl.DataFrame({"day": ["a", "a", "b"], "x": [1, 2, 3]}).lazy())

    frame = build(Days(workspace_directory=workspace))
    assert isinstance(frame, pl.LazyFrame)
    path = FolderTarget(Days(workspace_directory=workspace).output().url).load()
    assert {file.parent.name for file in path.rglob("*.parquet")} == {"day=a", "day=b"}
    (other,) = (path / "day=b").iterdir()
    other.write_bytes(b"no parquet")  # now whoever opens it fails
    assert frame.filter(pl.col("day") == "a").select("x").collect()["x"].to_list() == [1, 2]
    with pytest.raises(pl.exceptions.PolarsError):
        frame.collect()


def test_a_folder_that_polars_writes_is_a_dataset(tmp_path):
    pl = pytest.importorskip("polars")
    dataset = pytest.importorskip("pyarrow.dataset")

    class Days(TaskOnKart[dataset.Dataset]):
        def run(self) -> None:
            with self.folder() as path:
                pl.DataFrame({"day": ["a", "a", "b"], "x": [1, 2, 3]}).write_parquet(path, partition_by="day")

    days = build(Days(workspace_directory=str(tmp_path)))
    assert isinstance(days, dataset.Dataset)
    assert days.to_table(filter=dataset.field("day") == "a").num_rows == 2
    assert len(list(days.get_fragments(dataset.field("day") == "a"))) == 1


def test_pandas_frames_in_folders(tmp_path):
    pd = pytest.importorskip("pandas")

    class Days(TaskOnKart[pd.DataFrame]):
        def output(self):
            return self.make_folder_target("days", partition_by=["day"])

        def run(self) -> None:
            self.dump(pd.DataFrame({"day": ["a", "a", "b"], "x": [1, 2, 3]}))

    frame = build(Days(workspace_directory=str(tmp_path)))
    assert sorted(frame["x"]) == [1, 2, 3]
    assert set(frame["day"].astype(str)) == {"a", "b"}


def test_the_schema_of_a_folder_is_checked(tmp_path):
    pl = pytest.importorskip("polars")
    pandera = pytest.importorskip("pandera.polars")

    class Days(TaskOnKart[pl.DataFrame]):
        schema = pandera.DataFrameSchema({"x": pandera.Column(int, pandera.Check.lt(3))})

        def output(self):
            return self.make_folder_target("days")

        def run(self) -> None:
            with self.folder() as path:
                pl.DataFrame({"x": [1, 2, 3]}).write_parquet(path / "x.parquet")

    with pytest.raises(BuildFailed, match="less_than"):
        build(Days(workspace_directory=str(tmp_path)))
    assert not list(Path(tmp_path).rglob("*.folder"))


def test_the_page_of_the_guide_runs(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "store-folders.md").read_text(encoding="utf-8")
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), encoding="utf-8")
    assert runpy.run_path(str(script), run_name="page")["Monday"]().complete()
