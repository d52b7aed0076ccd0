"""A scratch folder survives whatever ends a run before its success, and no two processes share one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.storage.scratch import delete_scratch, open_scratch, scratch_folders, scratch_root

EXECUTORS = [{}, {"executor": "threads", "workers": 2}, {"executor": "processes"}]


class Train(TaskOnKart[int]):
    """Trains five epochs and fails once, at the fourth; returns the epoch that the last run began with."""

    how: luigi.Parameter = luigi.Parameter(default="raise")

    def run(self):
        checkpoint = self.scratch() / "checkpoint"
        first = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for epoch in range(first, 5):
            checkpoint.write_text(str(epoch))
            if epoch == 3 and first == 0:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ConnectionError("lost")
        self.dump(first)


class Stubborn(Train):
    retries = 1


def folders(workspace="resources"):
    return [path for path, _, _ in scratch_folders(scratch_root(workspace))]


@pytest.mark.parametrize("options", EXECUTORS)
def test_a_later_build_goes_on_and_success_deletes_the_folder(options):
    with pytest.raises(BuildFailed):
        build(Train(), **options)
    (folder,) = folders()
    assert folder == Path("resources/log/scratch", f"Train_{Train().make_unique_id()}").absolute()
    assert build(Train(), **options) == 3
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("options", EXECUTORS)
def test_a_retry_goes_on(options):
    assert build(Stubborn(), **options) == 3
    assert folders() == []


def test_a_killed_worker_leaves_it():
    assert build(Train(how="kill"), executor="processes") == 3  # a dead worker's task is tried once more


def test_a_workspace_elsewhere_has_it_on_this_machine(workspace, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert build(Stubborn(workspace_directory=workspace)) == 3
    assert folders(workspace) == []
    own = tmp_path / "own"
    with pytest.raises(BuildFailed):
        build(Train(workspace_directory=workspace, local_temporary_directory=str(own)))
    if "://" in workspace:
        assert [path.parents[2] for path in (own / "scratch").rglob("checkpoint")] == [own / "scratch"]


def test_without_a_build_the_folder_is_the_same():
    with pytest.raises(ConnectionError):
        Train().run()
    assert build(Train()) == 3
    assert folders() == []


def test_who_does_not_ask_has_none():
    class Plain(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    build(Plain())
    assert not Path("resources/log/scratch").exists()


def test_a_parameter_of_that_name_is_the_users_own():
    class Old(TaskOnKart[str]):
        scratch: luigi.Parameter = luigi.Parameter(default="/mnt/scratch")

        def run(self):
            self.dump(self.scratch)

    assert build(Old()) == "/mnt/scratch"


HOLD = """
import sys, time
from pathlib import Path
from kart_runtime.storage.scratch import open_scratch
held = open_scratch(Path(sys.argv[1]), "Train_1")
print(held.path.name, flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which uses the folder of a task."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "Train_1\n"
    yield process
    process.kill()
    process.communicate()


def test_two_processes_do_not_share_one_and_the_last_success_deletes_both(tmp_path, other):
    mine = open_scratch(tmp_path, "Train_1")
    assert mine.path.name == "Train_1.2"
    assert not delete_scratch(tmp_path / "Train_1")
    other.kill()
    other.wait()
    mine.close(delete=True)
    assert [path.name for path, _, _ in scratch_folders(tmp_path)] == []


def test_a_killed_process_leaves_its_folder_to_the_next(tmp_path, other):
    (tmp_path / "Train_1" / "checkpoint").write_text("3")
    other.kill()
    other.wait()
    mine = open_scratch(tmp_path, "Train_1")
    assert (mine.path / "checkpoint").read_text() == "3"
    mine.close(delete=False)
    assert (tmp_path / "Train_1" / "checkpoint").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_a_fork_that_lives_on_does_not_hold_it(tmp_path):
    mine = open_scratch(tmp_path, "Train_1")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(reader, 1)  # it has closed its copy of the lock file before it returns from fork()
        os.close(mine._descriptor)  # as the system does when the process is killed
        assert open_scratch(tmp_path, "Train_1").path.name == "Train_1"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
