"""A file is whole or absent, whoever writes it and whatever happens meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import random
from pathlib import Path

import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import temporary_name

store = LocalStore()


class One(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def put(key, data):
    with store.write(str(key)) as file:
        file.write(data)


def test_what_is_written_is_read(tmp_path):
    key = tmp_path / "new" / "folders" / "x.bin"
    put(key, b"abc")
    with store.open(str(key)) as file:
        assert file.read() == b"abc"
    found = store.stat(str(key))
    assert (found.key, found.size) == (str(key), 3)
    assert found.modified == pytest.approx(key.stat().st_mtime)


def test_nothing_is_seen_before_the_end(tmp_path):
    key = tmp_path / "x"
    with store.write(str(key)) as file:
        file.write(b"half")
        file.flush()
        assert store.stat(str(key)) is None
        assert list(store.list(str(tmp_path))) == []
    assert store.stat(str(key)).size == 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_what_was_there_and_no_rubbish(tmp_path, error):
    key = tmp_path / "x"
    put(key, b"old")
    with pytest.raises(error), store.write(str(key)) as file:
        file.write(b"new")
        raise error
    assert key.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    key = tmp_path / "x"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"), store.write(str(key)) as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == []


def test_missing_objects(tmp_path):
    with pytest.raises(ObjectMissing, match=r"nothing\.pkl does not exist"):
        store.open(str(tmp_path / "nothing.pkl"))
    assert store.stat(str(tmp_path / "nothing.pkl")) is None
    (tmp_path / "file").write_text("")
    assert store.stat(str(tmp_path / "file" / "below")) is None
    assert store.delete(str(tmp_path / "nothing.pkl")) is False


def test_delete_and_list(tmp_path):
    for name in ("b/2", "a/1", "c"):
        put(tmp_path / name, b"x")
    assert [Path(found.key).relative_to(tmp_path).as_posix() for found in store.list(str(tmp_path))] == [
        "c",
        "a/1",
        "b/2",
    ]
    assert store.delete(str(tmp_path / "c")) is True
    assert len(list(store.list(str(tmp_path)))) == 2
    assert list(store.list(str(tmp_path / "nowhere"))) == []


def test_a_very_long_name_can_be_written(tmp_path):
    key = tmp_path / ("x" * 250)
    put(key, b"x")
    assert key.read_bytes() == b"x"


def _write_many(key, letter):
    random.seed(1)  # seeded alike: temporary names must not come from here
    for _ in range(200):
        put(key, letter * 100_000)


def test_processes_that_write_one_file_never_mix(tmp_path):
    key = tmp_path / "x"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(key, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if key.exists():
            seen.add(key.read_bytes())
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {b"a" * 100_000, b"b" * 100_000}
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    with store.open(str(tmp_path / "pipe.pkl")) as file:
        assert file.read() == b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_in_place_of_a_marker_keeps_no_build_waiting(tmp_path):
    (tmp_path / "log").mkdir()
    pid = os.fork()
    if not pid:
        os.mkfifo(tmp_path / "log" / f"{temporary_name()}.build")
        os._exit(0)
    os.waitpid(pid, 0)
    assert build(One(workspace_directory=str(tmp_path))) == 1
