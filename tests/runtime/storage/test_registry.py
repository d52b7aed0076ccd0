"""Suffixes and schemes find their code; what is unknown is said with what is known."""

from __future__ import annotations

import sys

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import UnknownFormat, UnknownScheme
from kart_runtime.storage.registry import CODECS, STORES, codec_for, register_store, split_url, store_for


@pytest.mark.parametrize("suffix", CODECS)
def test_every_format_of_the_table_is_there(suffix):
    codec = codec_for(f"some.folder/name{suffix.upper()}")
    assert callable(codec.dump)
    assert callable(codec.load)


@pytest.mark.parametrize("path", ["a.xyz", "noformat", "folder.pkl/noformat", ""])
def test_an_unknown_format_names_the_known_ones(path):
    with pytest.raises(UnknownFormat, match=r"\.parquet"):
        codec_for(path)


@pytest.mark.parametrize("scheme", STORES)
def test_every_store_of_the_table_is_there(scheme):
    store, key = store_for(f"{scheme}://a/b" if scheme else "a/b")
    assert key == "a/b"
    assert {"stat", "open", "write", "delete", "list"} <= set(dir(store))


@pytest.mark.parametrize("url", ["hdfs://folder/x.pkl", "ftp://x"])
def test_an_unknown_store_names_the_known_ones(url):
    with pytest.raises(UnknownScheme, match="a path"):
        store_for(url)


def test_a_path_may_hold_a_colon():
    assert split_url("C:/x") == ("", "C:/x")
    assert split_url("file:///tmp/x") == ("file", "/tmp/x")


@pytest.fixture
def registered():
    known = STORES.copy()
    yield
    STORES.clear()
    STORES.update(known)


@pytest.mark.parametrize(("scheme", "store"), [("a b", "m:C"), ("", "m:C"), ("file", "m:C"), ("x", "m.C"), ("x", ":C")])
def test_a_store_that_cannot_be_right_is_refused(scheme, store):
    with pytest.raises(ValueError, match=r"cannot be|not the import path"):
        register_store(scheme, store)


STORE = """\
from kart_runtime.storage.stores.local import LocalStore

class Below(LocalStore):
    def stat(self, key):
        return super().stat(f"below/{key}")
    def open(self, key):
        return super().open(f"below/{key}")
    def write(self, key):
        return super().write(f"below/{key}")
"""


class Made(TaskOnKart[int]):
    i = luigi.IntParameter()

    def run(self):
        self.dump(self.i)


def test_a_registered_store_serves_tasks_also_in_worker_processes(tmp_path, monkeypatch, registered):
    (tmp_path / "below_store.py").write_text(STORE)
    monkeypatch.syspath_prepend(tmp_path)
    register_store("below", "below_store:Below")
    tasks = [Made(i=i, workspace_directory="below://w/") for i in range(3)]
    try:
        assert build(tasks, workers=2, executor="processes") == [0, 1, 2]
    finally:
        sys.modules.pop("below_store", None)
    assert len(list((tmp_path / "below" / "w").rglob("Made_*.pkl"))) == 3
