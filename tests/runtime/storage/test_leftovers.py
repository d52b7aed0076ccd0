"""What killed builds leave, and what the next build removes: never anything of a process that may run."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import KartError
from kart_runtime.history import ledger
from kart_runtime.history.cleanup.files import files_of
from kart_runtime.history.history import History
from kart_runtime.history.records import forget_records
from kart_runtime.storage import leftovers, temporary
from kart_runtime.storage.notes import Note
from kart_runtime.storage.processes import this_process
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import local
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import LOG_FILES
from tests.faults import kills

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TWO_DAYS = 2 * 86_400 + 60


class Killed(TaskOnKart[Any]):
    """A task that kills its process when the first of its outputs is written, and not visible."""

    n: Any = luigi.IntParameter(default=0)
    dies: Any = luigi.BoolParameter(default=True, significant=False)

    def output(self) -> Any:
        model = self.make_model_target("model/x.zip", self.save, load)
        return {"model": model, "more": self.make_target("more.pkl")}

    def run(self) -> None:
        self.dump(b"x" * 1000, "more")
        self.dump(b"x" * 1000, "model")

    def save(self, value: bytes, path: str) -> None:
        Path(path).write_bytes(value)
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)


def load(path: str) -> bytes:
    return Path(path).read_bytes()


class Other(TaskOnKart[int]):
    """A task that writes to another folder."""

    n: Any = luigi.IntParameter(default=0)

    def run(self) -> None:
        self.dump(self.n)


def kill_one(task: Any = None) -> None:
    """Let a forked process die in a build."""
    pid = os.fork()
    if not pid:
        try:
            build(task or Killed(), return_value=False, progress=False)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, "the fault was not delivered"


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def hidden() -> list[str]:
    return sorted(str(path) for path in Path("resources").rglob(".*"))


def output_folder() -> Path:
    return next(path for path in Path("resources").rglob("Other_*") if "log" not in path.parts).parent


def age(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


# -- builds ----------------------------------------------------------------------------------------------------------


def test_the_next_build_removes_what_a_killed_one_has_left(temporary_folder: Path) -> None:
    kill_one()
    assert len(hidden()) == 3, "two outputs, and the marker of the build"
    assert len(list(temporary_folder.iterdir())) == 1
    assert build(Other()) == 0  # in another folder
    assert hidden() == []
    assert list(temporary_folder.iterdir()) == []


def test_a_build_with_nothing_to_do_removes_it_as_well() -> None:
    build(Other())
    kill_one()
    assert hidden() != []
    build(Other())
    assert hidden() == []


def test_a_build_with_nothing_to_do_removes_what_a_process_left_that_died_before_it_wrote() -> None:
    build(Other())
    pid = os.fork()
    if not pid:
        Path("resources", temporary.temporary_name()).touch()  # as by which workers of Dask know a workspace
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(hidden()) == 1
    build(Other())
    assert hidden() == []


def test_an_interrupted_build_leaves_no_marker() -> None:
    class Interrupted(TaskOnKart[int]):
        def run(self) -> None:
            assert any(name.endswith(leftovers.MARKER_SUFFIX) for name in hidden())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Interrupted())
    assert hidden() == []


def test_what_a_living_process_writes_stays(temporary_folder: Path) -> None:
    program = (
        "from kart_runtime.storage.temporary import *; print(temporary_name(), folder_prefix(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name, prefix = process.stdout.readline().split()
        build(Other(n=1))
        folder = output_folder()
        written = [folder / name, temporary_folder / f"{prefix}x"]
        for path in written:
            age(path.parent / path.name, 0) if path.exists() else path.touch()
            age(path, 10 * TWO_DAYS)
        kill_one()
        build(Other(n=2))
        assert all(path.exists() for path in written)
        process.kill()
        process.wait()
    build(Other(n=3))
    assert not any(path.exists() for path in written)


def test_of_another_machine_only_what_is_old_goes() -> None:
    build(Other())
    folder = output_folder()
    host, _, rest = this_process().partition("-")
    elsewhere = f".kart-{host}-00000000-{rest.split('-', 1)[1]}"
    young, old = folder / f"{elsewhere}-1", folder / f"{elsewhere}-2"
    earlier = folder / ".kart-gone-12345-7", folder / f".kart-{socket.gethostname()[:60]}-{2**22 + 1}-7"
    foreign = folder / ".kart-mine", folder / ".notes"
    for path in (young, old, *earlier, *foreign):
        path.touch()
        age(path, 60 if path == young else TWO_DAYS)
    build(Other(n=1))
    assert young.exists()
    assert not old.exists()
    assert not any(path.exists() for path in earlier)
    assert all(path.exists() for path in foreign)


def test_what_a_living_build_of_another_machine_has_staged_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    build(Other())
    token = this_process().replace(socket.gethostname(), "elsewhere")
    host, _, pid, start, rest = token.rsplit("-", 4)
    token = "-".join((host, "0" * 8, pid, start, rest))
    staged = output_folder() / f".kart-{token}-1"
    staged.write_bytes(b"a model of two days ago")
    age(staged, TWO_DAYS)
    marker = Path(f"resources/log/.kart-{token}-0.build")
    marker.write_text("")
    build(Other(n=1))
    assert staged.exists()
    assert files_of("resources", Path.cwd()).stale_temp_files() == {}
    age(marker, TWO_DAYS)
    build(Other(n=2))
    assert not staged.exists()
    assert not marker.exists()


def test_a_build_touches_its_marker_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BEAT_SECONDS", 0.05)

    class Waiting(Other):
        def run(self) -> None:
            (marker,) = Path("resources/log").glob(".kart-*.build")
            age(marker, TWO_DAYS)
            until = time.monotonic() + 10
            while marker.stat().st_mtime < time.time() - 60:
                assert time.monotonic() < until
                time.sleep(0.02)
            self.dump(1)

    assert build(Waiting()) == 1
    assert not temporary.lasting


def test_a_staged_file_that_is_gone_is_named_with_the_reason() -> None:
    class Losing(Other):
        def run(self) -> None:
            self.dump(1)
            next(Path("resources").rglob(f".kart-{this_process()}-*[0-9]")).unlink()

    with pytest.raises(KartError, match="removed the hidden file"):
        build(Losing())


class Yielding(TaskOnKart[int]):
    """A task that yields one of another workspace."""

    n: Any = luigi.IntParameter(default=0)
    dies: Any = luigi.BoolParameter(default=True, significant=False)

    def run(self) -> Any:
        yield Killed(n=self.n, dies=self.dies, workspace_directory="other")
        self.dump(1)


def test_what_a_killed_one_has_left_in_the_workspace_of_a_yielded_task_goes(temporary_folder: Path) -> None:
    kill_one(Yielding())
    kill_one(Yielding(n=1))
    left = [path for path in Path("other").rglob(".kart-*") if path.suffix != ".build"]
    assert len(left) == 2, "the second build has removed what the first one left"
    build(Yielding(n=2, dies=False))
    assert list(Path("other").rglob(".*")) == hidden() == []


def test_with_a_sign_a_full_folder_for_temporary_files_is_looked_through(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_NAMES", 10)
    for number in range(200):
        (temporary_folder / f"other-{number}").touch()
    for n in range(20):
        kill_one(Killed(n=n))
        (made,) = temporary_folder.glob("kart-*")
        build(Other(n=n))
        assert not made.exists()


def test_without_a_sign_only_some_names_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    build(Other())
    monkeypatch.setattr(leftovers, "_NAMES", 10)
    looked: list[str] = []

    def note(name: str, *_: float) -> bool:
        looked.append(name)
        return False

    monkeypatch.setattr(leftovers, "is_left", note)
    folder = output_folder()
    for number in range(100):
        (folder / f".kart-gone-1-{number}").touch()
    build(Other(n=1))
    assert 0 < len(looked) <= 10


def test_what_an_unfinished_commit_needs_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    kill_one()
    needed = {Path(name).name for name in hidden()}
    monkeypatch.setattr(leftovers, "pending_temporaries", lambda _workspace: frozenset(needed))
    build(Other())
    assert any(Path(name).name in needed for name in hidden())


def test_a_name_is_new_in_each_process_whatever_its_seed_and_id() -> None:
    random.seed(1)
    own = temporary.temporary_name()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        random.seed(1)
        os.write(write, temporary.temporary_name().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    other = os.read(read, 1000).decode()
    assert other != own
    assert temporary.token_in(other) != temporary.token_in(own)


@pytest.mark.parametrize("length", [1, 64, 250])
def test_a_name_fits_into_a_file_name(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * length)
    monkeypatch.setattr("kart_runtime.storage.processes._own", {})
    temporary._Prefix.forget()
    try:
        name = temporary.temporary_name()
    finally:
        temporary._Prefix.forget()
    assert len(name) < 140
    assert temporary.token_in(name)


# -- log files -------------------------------------------------------------------------------------------------------


def killed_at(number: int, put: Any) -> None:
    """Write a log file in a forked process that is killed before its n-th operation."""
    pid = os.fork()
    if not pid:
        count = 0

        def counted(operation: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return operation(*args, **kwargs)

            return call

        for name in ("open", "write", "link", "rename", "replace", "close", "fstat"):
            setattr(os, name, counted(getattr(os, name)))
        put("log/x.pkl", b"new" * 3000)
        os._exit(0)
    os.waitpid(pid, 0)


def put_in_place(key: str, data: bytes) -> None:
    """Write as before, as a control."""
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(descriptor, data)
    os.close(descriptor)


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_log_file_is_whole_or_absent(before: bytes | None, nameless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not nameless:
        monkeypatch.setattr(local, "_NAMELESS", 0)
    Path("log").mkdir()

    def states(put: Any) -> set[bytes | None]:
        found = set()
        for number in range(1, 9):
            Path("log/x.pkl").unlink(missing_ok=True)
            if before is not None:
                Path("log/x.pkl").write_bytes(before)
            killed_at(number, put)
            found.add(Path("log/x.pkl").read_bytes() if Path("log/x.pkl").exists() else None)
        return found

    assert states(LocalStore().put) == {before, b"new" * 3000}
    assert b"" in states(put_in_place), "the control: a file in place may be empty"


def test_a_disk_without_files_without_names_is_written_to_by_a_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_without_nameless", {str(Path.cwd())})
    LocalStore().put(f"{Path.cwd()}/x.pkl", b"1")
    assert Path("x.pkl").read_bytes() == b"1"


class Logs(TaskOnKart[int]):
    """A task with each kind of log file."""

    def run(self) -> None:
        logging.getLogger("logs").warning("a line")
        for step in range(3):
            self.log_metric("loss", 1 / (step + 1), step=step)
        self.dump(1)


def test_readers_take_log_files_and_run_files_that_are_cut_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    task = Logs()
    build(task)
    paths = [path for path in Path("resources/log").rglob("*") if path.is_file()]
    assert {path.parent.name for path in paths} >= {"runs", "series", "lines", *LOG_FILES}
    cuts = 0
    for path in paths:
        data = path.read_bytes()
        for length in range(0, len(data), 1 if path.parent.name in LOG_FILES and len(data) < 300 else len(data) // 4):
            path.write_bytes(data[:length])
            cuts += 1
            if path.parent.name == "runs":
                forget_records()
                with suppress(KartError):
                    history = History("resources")
                    history.rows("attempts")
                    history.rows("metrics")
                assert task.complete()
            elif path.parent.name in LOG_FILES:
                value = task._log_files().read(path.parent.name)
                assert value is None or path.suffix == ".txt"
            else:
                past = History("resources").task("Logs")
                assert past.log in data.decode() if path.parent.name == "lines" else len(past.series("loss")) <= 3
        path.write_bytes(data)
    assert cuts > 150


# -- services --------------------------------------------------------------------------------------------------------


class Large(TaskOnKart[bytes]):
    """A value that is uploaded in parts."""

    def run(self) -> None:
        self.dump(b"x" * 12_000_000)


def uploads(bucket: Any) -> int:
    return len(boto3.client("s3").list_multipart_uploads(Bucket=bucket.name).get("Uploads", ()))


@pytest.mark.parametrize("known", [True, False], ids=["by its id", "by its key"])
def test_the_next_build_aborts_the_upload_of_a_killed_one(
    s3_bucket: Any, known: bool, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{s3_bucket.name}/ws/x.pkl"
    service = boto3.client("s3")
    own = service.create_multipart_upload(Bucket=s3_bucket.name, Key="ws/x.pkl")["UploadId"]
    living = service.create_multipart_upload(Bucket=s3_bucket.name, Key="ws/x.pkl")["UploadId"]
    foreign = service.create_multipart_upload(Bucket=s3_bucket.name, Key="ws/y.pkl")["UploadId"]
    store = store_for(s3_bucket.url)[0]
    Note("upload", store, key).add(id=living)
    pid = os.fork()
    if not pid:
        note = Note("upload", store, key)
        if known:
            note.add(id=own)
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(list(temporary_folder.iterdir())) == 2
    build(Other())
    left = [one["UploadId"] for one in service.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads", ())]
    assert sorted(left) == sorted([living, foreign])
    assert len(list(temporary_folder.iterdir())) == 1, "the note of the living process"


def test_an_upload_leaves_no_note_and_asks_for_nothing_more(s3_bucket: Any, temporary_folder: Path) -> None:
    s3_bucket.proxy.reset()
    build(Large(workspace_directory=s3_bucket.url), return_value=False)
    assert list(temporary_folder.iterdir()) == []
    assert uploads(s3_bucket) == 0
    asked = s3_bucket.proxy.count()
    assert asked["list"] == 3, "two folders and, by this test, the uploads"


@pytest.fixture(params=["s3", "gs"])
def any_bucket(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{'gcs' if request.param == 'gs' else 's3'}_bucket")


GENERATION = 0


class Made(TaskOnKart[int]):
    """A value that differs each time."""

    def run(self) -> None:
        self.dump(GENERATION)


class Uses(TaskOnKart[int]):
    n: Any = luigi.IntParameter(default=0)

    def requires(self) -> Any:
        return Made(workspace_directory=self.workspace_directory)

    def run(self) -> None:
        self.dump(self.load())


def test_an_object_that_was_replaced_and_not_recorded_is_made_again(
    any_bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = any_bucket.url
    monkeypatch.setattr(f"{__name__}.GENERATION", 1)
    assert build(Uses(workspace_directory=url)) == 1
    monkeypatch.setattr(f"{__name__}.GENERATION", 2)
    with monkeypatch.context() as patch:  # as if the process had died: nothing of this run is recorded
        patch.setattr("kart_runtime.history.ledger._Objects.flush", lambda *_: None)
        assert build(Made(workspace_directory=url, rerun=True)) == 2
    forget_records()
    monkeypatch.setattr(f"{__name__}.GENERATION", 3)
    assert build(Uses(workspace_directory=url, n=1)) == 3
    forget_records()
    assert build(Uses(workspace_directory=url, n=1)) == 3


# -- real kills ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the moments are measured with Linux in mind")
def test_after_kills_and_one_more_build_nothing_is_left() -> None:
    found = kills.measure("model", 4, seed=3)
    assert found["kills inside a build"] == 4
    assert found["wrong outputs"] == found["wrong outputs after one more build"] == 0, found
    assert found["unreadable log files right after a kill"] == 0
    left = found["after one more build"]
    assert left.pop("lock files") <= 1, "one for all tasks, of which the system releases the locks"
    assert not any(left.values()), found


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_the_control_leaves_something() -> None:
    found = []
    for seed in (3, 4, 5):  # a kill may come when no model is being packed
        found.append(kills.measure("model", 4, seed=seed, broken=True))
        assert found[-1]["kills inside a build"] == 4
        if found[-1]["after one more build"]["temporary bytes"] > 0:
            return
    pytest.fail(str(found))
