"""Where things lie in a workspace, however its url is written; these paths are on disks, so they never change."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from pathlib import Path

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors import ConfigError, WriteFailed
from kart_runtime.storage.workspace import LOG, Workspace, as_folder, why_not_writable
from kart_runtime.task.parameters import Override, overriding

NAMES = st.text(st.sampled_from("ab/.:"), max_size=8)


@pytest.mark.parametrize(
    ("url", "base"),
    [("", ""), ("resources", "resources/"), ("./resources/", "./resources/"), ("/", "/"), ("s3://b/w", "s3://b/w/")],
)
def test_layout(url, base):
    workspace = Workspace(url)
    assert workspace.base == as_folder(url) == base
    assert workspace.log == f"{base}log/"
    assert workspace.runs == f"{base}log/runs"
    assert workspace.lock("Train_1") == f"{base}log/locks/Train_1.lock"
    assert workspace.join("a/b.pkl") == f"{base}a/b.pkl"
    assert workspace.join("/tmp/b.pkl") == "/tmp/b.pkl"
    assert LOG == "log"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere os.path.join puts other separators")
@given(NAMES, NAMES)
def test_paths_are_joined_as_the_system_joins_them(url, path):
    assert Workspace(url).join(path) == os.path.join(url, path)


@pytest.mark.parametrize(
    ("url", "local"),
    [("", True), ("w", True), ("file:///w", True), ("s3://b/w", False), ("gs://b", False), ("memory://w", False)],
)
def test_which_workspaces_lie_on_this_machine(url, local):
    assert Workspace(url).is_local is local


@pytest.mark.parametrize("url", ["resources", "./resources", "./resources/", "resources//"])
def test_one_folder_has_one_normalized_url(url):
    assert Workspace(url).normalized == "resources"


# -- folders that cannot be written to ---------------------------------------------------------------------------------


@pytest.fixture
def other_user():
    """A folder that everybody can enter, and a way to act as a user who owns nothing."""
    if getattr(os, "geteuid", lambda: 1)() != 0:
        pytest.skip("only root can act as another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)

        @contextlib.contextmanager
        def acting():
            os.seteuid(65534)
            try:
                yield
            finally:
                os.seteuid(0)

        yield Path(folder), acting


def test_a_folder_is_writable_or_can_be_made(tmp_path):
    assert why_not_writable(f"{tmp_path}/") == ""
    assert why_not_writable(f"{tmp_path}/new/deep/") == ""
    assert why_not_writable("") == ""


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    assert why_not_writable(f"{tmp_path}/file/new/") == f"{tmp_path}/file is not a folder. Move it, or"
    (tmp_path / "link").symlink_to("nowhere")
    assert "link is not a folder" in why_not_writable(f"{tmp_path}/link/")


def test_a_folder_of_another_user_is_named_with_its_owner(other_user):
    folder, acting = other_user
    (folder / "outputs").mkdir(mode=0o755)
    (folder / "hidden").mkdir(mode=0o700)
    with acting():
        for path in ("outputs/", "outputs/new/", "hidden/new/"):
            why = why_not_writable(f"{folder}/{path}")
            assert why.startswith(f"{folder}/{path.partition('/')[0]} belongs to root and is not writable")


class Value(TaskOnKart[int]):
    path: luigi.StrParameter = luigi.StrParameter(default="values/value.json")
    marker: luigi.StrParameter = luigi.StrParameter(default="")

    def output(self):
        return self.make_target(self.path)

    def run(self):
        Path(self.marker).touch()
        self.dump(1)


def test_nothing_runs_where_an_output_cannot_be_written(other_user):
    folder, acting = other_user
    (folder / "values").mkdir(mode=0o755)
    task = Value(workspace_directory=str(folder), marker=str(folder / "ran"))
    with acting(), pytest.raises(ConfigError) as caught:
        build(task)
    assert f"{folder}/values belongs to root" in str(caught.value)
    assert "set workspace_directory to another folder" in str(caught.value)
    assert not (folder / "ran").exists()


def test_the_setting_is_named_with_its_file(tmp_path):
    (tmp_path / "file").touch()
    override = Override(f"{tmp_path}/file/", "conf/prod/run.yaml:3")
    with overriding({TaskOnKart: {"workspace_directory": override}}), pytest.raises(ConfigError) as caught:
        build(Value())
    assert (caught.value.file, caught.value.key) == ("conf/prod/run.yaml:3", "run.workspace")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk_is_an_error_of_the_file(tmp_path, monkeypatch):
    real = os.open
    full = lambda path, *rest: real("/dev/full", os.O_WRONLY) if "/.kart-" in str(path) else real(path, *rest)  # noqa: E731
    task = Value(workspace_directory=str(tmp_path), marker=str(tmp_path / "ran"))
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(BuildFailed) as caught:
        build(task)
    (cause,) = caught.value.causes.values()
    assert isinstance(cause, WriteFailed)
    assert str(cause).startswith(f"cannot write {task.output().path()}: No space left on device. Check")
    assert pickle.loads(pickle.dumps(cause)).reason == cause.reason
