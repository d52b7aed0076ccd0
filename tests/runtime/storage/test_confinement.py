"""No path, no link and no name of a class leads what is written out of the workspace."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import time
import zipfile
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build, load_published
from kart_runtime.execution.attempt import Attempt
from kart_runtime.gokart.build import build as gokart_build
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.publication import PublishRefused
from kart_runtime.storage import confinement
from kart_runtime.storage.codecs import archive
from kart_runtime.storage.codecs.archive import Archive, BadArchive
from kart_runtime.storage.confinement import OutsideWorkspace
from kart_runtime.storage.folder_files import FolderNotStorable
from kart_runtime.storage.scratch import open_scratch
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.task.metaclass import InvalidName
from kart_runtime.task.publishing import publish

links = pytest.mark.skipif(os.name == "nt", reason="links need a right there")


class Stored(TaskOnKart[int]):
    path = luigi.Parameter()

    def output(self):
        return self.make_target(self.path, use_unique_id=False)

    def run(self):
        self.dump(1)


class Late(TaskOnKart[int]):
    """Dumps to a target that the plan has not seen."""

    path = luigi.Parameter()

    def run(self):
        self.dump(2, self.make_target(self.path, use_unique_id=False))
        self.dump(1)


@pytest.fixture(autouse=True)
def _forget():
    confinement._Folders.inside.clear()
    confinement._Folders.checked.clear()
    confinement._Folders.told.clear()


def outside(tmp_path, path):
    return path.replace("OUT", str(tmp_path / "out"))


PATHS = ["../x.pkl", "a/../../x.pkl", "OUT/x.pkl", "link/x.pkl", "x\0.pkl"]


@links
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("task", [Stored, Late])
def test_a_path_from_a_parameter_stays_in_the_workspace(tmp_path, task, path):
    (tmp_path / "out").mkdir()
    Path("resources").mkdir()
    Path("resources/link").symlink_to(tmp_path / "out")

    with pytest.raises((OutsideWorkspace, BuildFailed), match=r"is outside of the workspace \./resources/") as error:
        build(task(path=outside(tmp_path, path)))

    assert task.__name__ in str(error.value)
    assert not list(tmp_path.rglob("x*.pkl"))


@pytest.mark.parametrize("path", ["x.pkl", "a/../x.pkl", "HERE/resources/deep/x.pkl", "a..b/x.pkl", "~/x.pkl"])
def test_what_stays_in_the_workspace_is_stored(tmp_path, path):
    assert build(Stored(path=path.replace("HERE", str(tmp_path)))) == 1
    assert len(list(Path("resources").rglob("x.pkl"))) == 1


def test_an_attempt_takes_the_setting_to_another_process(tmp_path):
    attempt = Attempt(Late(path=str(tmp_path / "x.pkl")))
    attempt.task_run.allows_outside = False

    outcome = pickle.loads(pickle.dumps(attempt)).run()

    assert "is outside of the workspace" in str(outcome.error)
    assert not (tmp_path / "x.pkl").exists()


def test_keys_of_a_bucket_stay_below_the_workspace(s3):
    with pytest.raises(OutsideWorkspace, match=r"'\.\.' leads out of it"):
        build(Stored(path="a/../../x.pkl", workspace_directory="s3://bucket/confined/"))


@links
def test_it_can_be_allowed_and_is_told_once(tmp_path, caplog):
    (tmp_path / "out").mkdir()
    tasks = [Stored(path=str(tmp_path / "out" / f"{n}.pkl")) for n in range(3)]

    assert build(tasks, outside_paths="allow") == [1, 1, 1]

    assert caplog.text.count("outside of the workspace") == 1


def test_programs_of_gokart_store_at_absolute_paths(tmp_path, caplog):
    assert gokart_build(Stored(path=str(tmp_path / "x.pkl")), log_level=logging.WARNING) == 1
    assert (tmp_path / "x.pkl").exists()
    assert "outside of the workspace" in caplog.text


@links
@pytest.mark.parametrize("folder", ["log", "log/runs", "log/locks", "log/task_log"])
def test_a_folder_of_log_files_that_leads_outside_is_refused(folder, tmp_path, caplog):
    (tmp_path / "out").mkdir()
    path = Path("resources", folder)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "out")

    with pytest.raises(ConfigError, match=rf"run.outside_paths: .*{folder} is a link to"):
        build(Stored(path="a/x.pkl"))
    assert list((tmp_path / "out").iterdir()) == []

    build(Stored(path="a/x.pkl"), outside_paths="allow")  # a disk for log files may be meant
    assert "would be written outside of it" in caplog.text
    assert list((tmp_path / "out").iterdir())


@links
def test_a_link_in_place_of_a_folder_that_was_written_to_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    build(Stored(path="a/x.pkl"))
    Path("resources/a").rename("resources/b")
    Path("resources/a").symlink_to(tmp_path / "out")
    time.sleep(2 * confinement._SECONDS)

    with pytest.raises((OutsideWorkspace, BuildFailed), match="a link leads to"):
        build(Stored(path="a/x.pkl"))
    assert list((tmp_path / "out").iterdir()) == []


class Filled(TaskOnKart[Path]):
    def output(self):
        return self.make_target("filled.folder", use_unique_id=False)

    def run(self):
        with self.folder() as path:
            (path / "a.txt").write_text("a")


@links
@pytest.mark.parametrize("place", ["out", "resources/other"])
def test_the_files_of_a_folder_are_not_written_through_a_link(tmp_path, place):
    Path(place).mkdir(parents=True)
    Path("resources").mkdir(exist_ok=True)
    Path("resources/filled.files").symlink_to(tmp_path / place)

    with pytest.raises(BuildFailed, match=r"filled\.files cannot be stored: it is a link to"):
        build(Filled())
    assert list(Path(place).iterdir()) == []

    Path("resources/filled.files").unlink()
    build(Filled())
    with pytest.raises(FolderNotStorable, match="it is a link to"):
        Path("resources/models").mkdir()
        Path("resources/models/bert.files").symlink_to(tmp_path / place)
        publish(Filled(), "models/bert")
    assert list(Path(place).iterdir()) == []


@links
@pytest.mark.parametrize("linked", ["log/published/models", "log/published/models/x.pkl", "the id"])
def test_a_publication_is_not_written_through_a_link(tmp_path, linked):
    task = Stored(path="x.pkl")
    build(task)
    if linked == "the id":
        linked = f"log/published/models/x.pkl/{publish(task, 'models/x.pkl').id}"
        shutil.rmtree(f"resources/{linked}")
    (tmp_path / "out").mkdir()
    Path("resources", linked).parent.mkdir(parents=True, exist_ok=True)
    Path("resources", linked).symlink_to(tmp_path / "out")

    with pytest.raises(PublishRefused, match="Delete the link"):
        publish(task, "models/x.pkl")
    assert list((tmp_path / "out").iterdir()) == []


@links
def test_the_workspace_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    Path("resources").symlink_to(tmp_path / "disk")

    assert build(Stored(path="deep/x.pkl")) == 1
    assert (tmp_path / "disk" / "deep" / "x.pkl").exists()
    build(Filled())
    publish(Filled(), "models/filled")
    assert load_published("./resources/", "models/filled").is_dir()


@pytest.mark.parametrize("name", ["../../x", "a/b", "x\0y", "a\\b"])
def test_names_of_classes_are_no_paths(name):
    with pytest.raises(ValueError, match="name"):  # NUL is refused by Python itself
        type(name, (TaskOnKart,), {})
    with pytest.raises(InvalidName):
        type("Fine", (TaskOnKart,), {"__module__": name})


# -- links at the end of a path --------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim.txt"
    path.write_text("mine")
    return path


@links
def test_files_are_not_written_through_links(victim):
    Path("link").symlink_to(victim)
    LocalStore().put("link", b"theirs")
    assert (victim.read_text(), Path("link").read_bytes(), Path("link").is_symlink()) == ("mine", b"theirs", False)

    Path("link").unlink()
    Path("link").symlink_to(victim)
    with LocalStore().write("link") as file:
        file.write(b"theirs")
    assert (victim.read_text(), Path("link").read_bytes()) == ("mine", b"theirs")


@links
def test_a_store_that_writes_in_place_follows_the_link(victim):
    """The control: the store of before, which opened what was there."""

    class InPlace(LocalStore):
        def put(self, key, data):
            Path(key).write_bytes(data)

    Path("link").symlink_to(victim)
    InPlace().put("link", b"theirs")
    assert victim.read_bytes() == b"theirs"


@links
def test_log_files_and_scratch_folders_are_not_written_through_links(victim, tmp_path):
    task = Stored(path="x.pkl")
    url = Path(LogFiles("./resources/", "Stored", task.make_unique_id()).url("task_log"))
    url.parent.mkdir(parents=True)
    url.symlink_to(victim)
    assert build(task) == 1
    assert victim.read_text() == "mine"

    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "scratch"
    root.mkdir()
    (root / "Task_1").symlink_to(tmp_path / "elsewhere")
    scratch = open_scratch(root, "Task_1")
    (scratch.path / "file").write_text("x")
    scratch.close(delete=True)
    assert not list((tmp_path / "elsewhere").iterdir())


# -- archives --------------------------------------------------------------------------------------------------------


def test_an_archive_that_would_fill_the_disk_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "_LARGE", 1 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("model.pkl", bytes(4 << 20))
    codec = Archive(None, os.path.getsize)

    with bomb.open("rb") as file, pytest.raises(BadArchive, match="more than 200 times"):
        codec.load(file)

    monkeypatch.setattr(archive, "_RATIO", 10_000)  # the control
    with bomb.open("rb") as file:
        assert codec.load(file) == 4 << 20


@links
@pytest.mark.parametrize("name", ["../x", "/tmp/kart-x", "a/../../x", "..\\x"])
def test_an_archive_stays_in_its_folder(tmp_path, name):
    packed = tmp_path / "slip.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("model.pkl", b"x")
        file.writestr(name, b"x")
    with packed.open("rb") as file, pytest.raises(BadArchive, match="outside the folder"):
        Archive(None, os.path.getsize).load(file)


@links
def test_a_link_in_an_archive_becomes_a_file(tmp_path, victim):
    packed = tmp_path / "link.zip"
    with zipfile.ZipFile(packed, "w") as file:
        entry = zipfile.ZipInfo("model.pkl")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        file.writestr(entry, str(victim))
    with packed.open("rb") as file:
        assert Archive(None, lambda path: Path(path).read_text()).load(file) == str(victim)
