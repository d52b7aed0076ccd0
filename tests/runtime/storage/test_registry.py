"""Suffixes and schemes find their code; what is unknown is said with what is known."""

from __future__ import annotations

import sys

import luigi
import pytest

from kart_runtime import TaskOnKart, build, make_target
from kart_runtime.errors import UnknownFormat, UnknownScheme
from kart_runtime.storage.registry import (
    CODECS,
    STORES,
    codec_for,
    register_codec,
    register_store,
    split_url,
    store_for,
)


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
    known = STORES.copy(), CODECS.copy()
    yield
    for table, entries in zip((STORES, CODECS), known, strict=True):
        table.clear()
        table.update(entries)


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


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *[(suffix, "m:C") for suffix in ("svm", "", ".", ".a b", ".a.b.c", ".pkl", ".PKL")],
        *[(".svm", path) for path in ("m.C", ":C", "")],
    ],
)
def test_a_codec_that_cannot_be_right_is_refused(suffix, codec):
    with pytest.raises(ValueError, match=r"cannot be|not the import path"):
        register_codec(suffix, codec)


CODEC = """\
class Upper:
    def dump(self, value, file):
        file.write(value.upper().encode())
    def load(self, file, as_type=None):
        return file.read().decode()
"""


@pytest.fixture
def upper(tmp_path, monkeypatch, registered):
    (tmp_path / "upper_codec.py").write_text(CODEC)
    monkeypatch.syspath_prepend(tmp_path)
    yield "upper_codec:Upper"
    sys.modules.pop("upper_codec", None)


class Shouted(TaskOnKart[str]):
    i = luigi.IntParameter()

    def output(self):
        return self.make_target("a.shout")

    def run(self):
        self.dump(f"text {self.i}")


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_registered_codec_serves_tasks_also_in_worker_processes(tmp_path, upper, executor):
    register_codec(".Shout", upper)
    workspace = f"{tmp_path}/{executor}/"
    tasks = [Shouted(i=i, workspace_directory=workspace) for i in range(2)]
    assert build(tasks, workers=1 if executor == "serial" else 2, executor=executor) == ["TEXT 0", "TEXT 1"]
    assert sorted(path.read_text() for path in (tmp_path / executor).glob("a_*.shout")) == ["TEXT 0", "TEXT 1"]


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".tar.xz", "x_ID.tar.xz"), (".shout", "x_ID.shout"), (".csv", "x_ID.csv"), (".zst", "x_ID.zst")],
)
def test_a_suffix_may_have_two_parts_or_be_one_of_karts_own(tmp_path, upper, suffix, name):
    register_codec(suffix, upper)
    target = make_target(f"{tmp_path}/x{suffix}", "ID")
    assert target.path() == f"{tmp_path}/{name}"
    target.dump("a")
    assert target.load() == "A"


def test_a_registered_codec_can_be_compressed(tmp_path, upper):
    register_codec(".shout", upper)
    for suffix in ("gz", "zst"):
        target = make_target(f"{tmp_path}/x.shout.{suffix}", "ID")
        assert target.path() == f"{tmp_path}/x_ID.shout.{suffix}"
        target.dump("a")
        assert target.load() == "A"


def test_a_registered_class_that_is_not_there_is_named(upper):
    register_codec(".shout", "upper_codec:Lower")
    with pytest.raises(ImportError, match=r"upper_codec has no class Lower"):
        codec_for("x.shout")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x.csv.gz", "x_ID.csv.gz"),
        ("x.yaml.zst", "x_ID.yaml.zst"),
        ("a.b/x.gz", "a.b/x_ID.gz"),
        ("x.unknown.zst", "x.unknown_ID.zst"),
        ("x.v1.csv", "x.v1_ID.csv"),
        ("x.v1.csv.zst", "x.v1_ID.csv.zst"),
        (".txt", ".txt_ID"),
    ],
)
def test_the_id_is_before_the_suffixes_of_the_format(path, name):
    if path == ".txt":
        with pytest.raises(UnknownFormat):
            make_target(path, "ID")
    else:
        assert make_target(path, "ID").url == name


class Misspelled(TaskOnKart[str]):
    def output(self):
        return self.make_target("tables/a.parqet")


def test_an_unknown_suffix_names_the_task_and_three_ways_out():
    with pytest.raises(
        UnknownFormat, match=r"'tables/a.parqet', an output of Misspelled\[.*\. Did you mean '.parquet'"
    ) as told:
        build(Misspelled())
    assert all(way in str(told.value) for way in ("Use a known suffix", "processor=", "register_codec('.parqet', "))
