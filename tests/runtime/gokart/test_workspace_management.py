"""Only what no task of the pipeline stores is removed from a workspace, and nothing that is in doubt."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import KartError
from kart_runtime.gokart.workspace_management import (
    delete_local_unnecessary_outputs,
    delete_unnecessary_outputs,
)
from kart_runtime.history.cleanup.local_files import STALE_AFTER, UnsafeWorkspace
from kart_runtime.history.ledger import Ledger, RunTasks


class Step(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def requires(self):
        return Step(number=self.number - 1, workspace_directory=self.workspace_directory) if self.number else []

    def run(self):
        self.dump(self.number)


class Folder(luigi.Task):
    """A plain task of luigi's, whose output is a folder."""

    def output(self):
        return luigi.LocalTarget("resources/model")


class Mixed(TaskOnKart[int]):
    def requires(self):
        return [Folder(), Step(workspace_directory="resources/inner")]

    def output(self):
        return {"a": self.make_target("a.json"), "b": self.make_target("sub/b.txt", use_unique_id=False)}

    def run(self):
        self.dump(1, "a")
        self.dump("b", "b")


class Yielding(TaskOnKart[int]):
    def run(self):
        yield Step(number=1)
        self.dump(2)


def put(path, text="x"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path.resolve())


ID = "0a" * 16


@pytest.fixture(autouse=True)
def _written_by_kart():
    """Let kart have run in the workspace, without outputs."""
    put("resources/log/runs/20200101T000000Z-0.jsonl", "")


def files(folder="."):
    return {str(path) for path in Path(folder).rglob("*") if path.is_file() or path.is_symlink()}


WORKSPACES = ["./resources/", "resources", "resources//", "./x/../resources", "file://resources"]


@pytest.mark.parametrize("workspace", WORKSPACES)
def test_outputs_and_logs_stay_however_the_workspace_is_written(workspace):
    Path("x").mkdir()
    task = Step(number=2, workspace_directory=workspace)
    build(task)
    before = files()
    assert any("log/task_log" in path for path in before)
    old = [put(f"resources/Old_{ID}.pkl"), put(f"resources/deep/er/Old_{ID}.any")]
    assert delete_unnecessary_outputs(task) == sorted(old)
    assert files() == before
    assert task.complete()


def test_an_absolute_workspace_and_one_behind_a_link(tmp_path):
    task = Step(number=1, workspace_directory=str(tmp_path / "real"))
    build(task)
    os.symlink(tmp_path / "real", "link")
    old = put(f"real/old_{ID}.pkl")
    assert delete_unnecessary_outputs(Step(number=1, workspace_directory="link"), dry_run=True) == [old]
    assert delete_unnecessary_outputs(task) == [old]
    assert task.complete()


def test_a_dry_run_removes_nothing():
    old = put(f"resources/old_{ID}.pkl")
    assert delete_unnecessary_outputs(Step(), dry_run=True) == [old]
    assert Path(old).exists()


@pytest.mark.parametrize(
    "name",
    ["README", "LICENSE", "notes.md", "Makefile", "model.py", "mine.csv", f"Old_{'0' * 32}", "x_12.old"],
)
def test_what_cannot_be_an_output_stays(name):
    build(Step())
    mine = put(f"resources/sub/{name}")
    assert delete_unnecessary_outputs(Step()) == []
    assert Path(mine).exists()


@pytest.mark.parametrize("name", [f"x_{ID}.csv.gz", f"x_{'0123456789abcdef' * 2}.joblib"])
def test_what_can_be_an_output_goes(name):
    old = put(f"resources/sub/{name}")
    assert delete_unnecessary_outputs(Step()) == [old]
    assert not Path(old).exists()


def test_outputs_in_a_nested_workspace_folders_and_several_outputs_stay():
    build(Step(workspace_directory="resources/inner"))
    model = put("resources/model/weights.bin")
    mixed = Mixed()
    mixed.run()
    before = files()
    assert {model} < {str(Path(path).resolve()) for path in before}
    old = [put(f"resources/inner/old_{ID}.pkl"), put(f"resources/a_{ID}.json"), put(f"resources/sub/b_{ID}.old.txt")]
    assert delete_unnecessary_outputs(mixed) == sorted(old)
    assert files() == before
    assert "log" in {part for path in files("resources/inner") for part in Path(path).parts}


def test_only_the_top_log_folder_is_one():
    kept, gone = put(f"resources/log/any/thing_{ID}.txt"), put(f"resources/other/log/thing_{ID}.txt")
    assert delete_unnecessary_outputs(Step()) == [gone]
    assert Path(kept).exists()


def test_hidden_files_and_folders_stay():
    for path in (".git/config", ".gitkeep", f"sub/.hidden/data_{ID}.pkl", "sub/.DS_Store"):
        put(f"resources/{path}")
    before = files()
    assert delete_unnecessary_outputs(Step()) == []
    assert files() == before


def test_links_are_not_followed_and_not_removed(tmp_path):
    outside = put(f"outside/precious_{ID}.pkl")
    os.symlink(tmp_path / "outside", "resources/folder")
    os.symlink(outside, f"resources/file_{ID}.pkl")
    os.symlink("nowhere", f"resources/broken_{ID}.pkl")
    before = files()
    assert delete_unnecessary_outputs(Step()) == []
    assert files() == before


def test_an_output_that_is_reached_through_a_link_stays(tmp_path):
    put("resources/real/x.txt")
    os.symlink("real", "resources/link")
    assert delete_unnecessary_outputs(Linked()) == []


class Linked(TaskOnKart[str]):
    def output(self):
        return self.make_target("link/x.txt", use_unique_id=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_regular_file_stays():
    os.mkfifo(f"resources/pipe_{ID}.pkl")
    assert delete_unnecessary_outputs(Step()) == []


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def temporary(host, process, age):
    path = put(f"resources/sub/.kart-{host}-{process}-0")
    then = os.stat(path).st_mtime - age
    os.utime(path, (then, then))
    return path


def test_a_temporary_file_goes_only_when_its_process_is_surely_gone():
    here, ended, old = socket.gethostname()[:60], ended_process(), STALE_AFTER + 60
    kept = [
        temporary(here, os.getpid(), old),
        temporary(here, ended, 0),
        temporary("elsewhere", ended, old),
        temporary(here, "9" * 40, old),
        temporary(here, "word", old),
    ]
    kept.append(temporary(here, 1, old))  # it runs, and most often it is somebody else's
    assert delete_unnecessary_outputs(Step()) == []
    gone = temporary(here, ended, old)
    kept.remove(gone)
    assert delete_unnecessary_outputs(Step()) == [gone]
    assert all(Path(path).exists() for path in kept)


@pytest.mark.parametrize("workspace", ["s3://bucket/x", "gs://bucket/x", "gcs://bucket"])
def test_a_remote_workspace_is_refused(workspace):
    with pytest.raises(UnsafeWorkspace, match=r"bucket.*not on a file system"):
        delete_unnecessary_outputs(Step(workspace_directory=workspace))


@pytest.mark.parametrize("workspace", ["", " ", "/", "//", "file:///", ".", "./", "..", "resources/.."])
def test_a_folder_that_is_no_workspace_is_refused(workspace):
    put(f"resources/old_{ID}.pkl")
    with pytest.raises(UnsafeWorkspace, match="Set workspace_directory") as caught:
        delete_unnecessary_outputs(Step(workspace_directory=workspace))
    assert caught.value.workspace == workspace
    assert isinstance(caught.value, KartError)
    assert Path(f"resources/old_{ID}.pkl").exists()


def test_the_home_folder_is_refused(tmp_path, monkeypatch):
    home = tmp_path / "homes" / "me"
    precious = put(home / "precious.pkl")
    monkeypatch.setenv("HOME", str(home))
    for workspace in (home, home.parent, home / "x" / ".."):
        with pytest.raises(UnsafeWorkspace, match="home folder"):
            delete_unnecessary_outputs(Step(workspace_directory=str(workspace)))
    below = put(home / "resources" / f"old_{ID}.pkl")
    put(home / "resources" / "log" / "runs" / "20200101T000000Z-0.jsonl")
    assert delete_unnecessary_outputs(Step(workspace_directory=str(home / "resources"))) == [below]
    assert Path(precious).exists()


def test_a_workspace_that_does_not_exist_has_nothing_to_remove():
    shutil.rmtree("resources")
    assert delete_unnecessary_outputs(Step()) == []
    assert not Path("resources").exists()


def test_a_file_that_cannot_be_deleted_is_named_and_the_others_go(monkeypatch):
    locked, old = put(f"resources/locked_{ID}.pkl"), put(f"resources/old_{ID}.pkl")
    unlink = Path.unlink

    def guarded(self, missing_ok=False):
        if self.name.startswith("locked"):
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", guarded)
    with pytest.raises(OSError, match=rf"{locked}: Permission denied"):
        delete_unnecessary_outputs(Step())
    assert (Path(locked).exists(), Path(old).exists()) == (True, False)


def test_what_is_removed_is_logged(caplog):
    old = put(f"resources/old_{ID}.pkl")
    with caplog.at_level(logging.INFO, "kart_runtime.gokart.workspace_management"):
        delete_unnecessary_outputs(Step(), dry_run=True)
        assert f"would remove {old}" in caplog.messages
        assert f"removed {old}" not in caplog.messages
        delete_unnecessary_outputs(Step())
    assert f"removed {old}" in caplog.messages


class Numbers(TaskOnKart[int]):
    """A step of a long chain; kept apart so that the ids of the others stay short."""

    number = luigi.IntParameter()

    def requires(self):
        return Numbers(number=self.number - 1) if self.number else []

    def output(self):
        return self.make_target(f"numbers/{self.number}.json", use_unique_id=False)


def test_a_chain_of_20_000_tasks():
    kept, gone = put("resources/numbers/7.json"), put(f"resources/numbers/20001_{ID}.json")
    assert delete_unnecessary_outputs(Numbers(number=20_000)) == [gone]
    assert Path(kept).exists()


def test_gokarts_name():
    old = put(f"resources/old_{ID}.pkl")
    delete_local_unnecessary_outputs(Step())
    assert not Path(old).exists()


def test_a_recorded_output_without_an_id_goes_and_what_nobody_has_recorded_stays():
    build(Mixed())
    gone, mine = Path("resources/sub/b.txt"), put("resources/sub/c.txt")
    assert delete_unnecessary_outputs(Step(number=3), dry_run=True)
    delete_unnecessary_outputs(Step(number=3))
    assert (gone.exists(), Path(mine).exists()) == (False, True)


@pytest.mark.parametrize("name", ["setup.py", "pyproject.toml"])
def test_the_folder_of_a_project_is_refused(name):
    old = put(f"resources/old_{ID}.pkl")
    Path("resources", name).mkdir()
    with pytest.raises(UnsafeWorkspace, match=r"folder of a project\. Set workspace_directory"):
        delete_unnecessary_outputs(Step())
    assert Path(old).exists()


def test_a_folder_in_which_kart_never_ran_is_refused():
    old = put(f"data/old_{ID}.pkl")
    with pytest.raises(UnsafeWorkspace, match=r"no run is recorded in it\. Run the task once"):
        delete_unnecessary_outputs(Step(workspace_directory="data"))
    assert Path(old).exists()


def test_what_a_running_run_uses_stays():
    used, old = put(f"resources/used_{'0b' * 16}.pkl"), put(f"resources/old_{ID}.pkl")
    with Ledger() as ledger:
        ledger.record_tasks("resources", RunTasks({"module": {"Other": ["0b" * 16]}}))
        assert delete_unnecessary_outputs(Step()) == [old]
        ledger.finish("done", {})
    assert delete_unnecessary_outputs(Step()) == [used]


def test_what_a_recorded_run_has_yielded_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build([Yielding(), Step(number=3)])
    deleted = delete_unnecessary_outputs(Yielding())
    assert {Path(path).name.split(".")[0] for path in deleted} == {
        f"Step_{Step(number=number).make_unique_id()}" for number in (2, 3)
    }
    assert Step(number=1).complete()
    assert Step(number=0).complete()


def test_gokarts_function_keeps_gokarts_rule():
    Path("elsewhere").mkdir()
    for name in ("stray.pkl", "README", "notes.md", "data.unknown"):
        Path("elsewhere", name).touch()
    with pytest.raises(UnsafeWorkspace, match="no run is recorded in it"):
        delete_unnecessary_outputs(Step(workspace_directory="elsewhere"))
    deleted = delete_local_unnecessary_outputs(Step(workspace_directory="elsewhere"))
    assert [Path(path).name for path in deleted] == ["stray.pkl"]
    assert sorted(os.listdir("elsewhere")) == ["README", "data.unknown", "notes.md"]
