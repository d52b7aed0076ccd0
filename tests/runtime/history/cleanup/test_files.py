"""A url of a record counts only where it surely lies in the workspace; what is deleted is what was named."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kart_runtime.history.cleanup.files import files_of
from kart_runtime.history.cleanup.recorded import named_urls
from kart_runtime.history.runs import RunRecord
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import OutputRecord

_numbers = itertools.count()


@pytest.fixture(params=["memory", "s3"])
def workspace(request):
    """Return an empty workspace of each kind of store that is not a folder."""
    name = f"w{os.getpid()}_{next(_numbers)}"
    if request.param == "memory":
        return f"memory://{name}"
    request.getfixturevalue("s3")
    return f"s3://bucket/{name}"


def put(*urls):
    for url in urls:
        store, key = store_for(url)
        with store.write(key) as file:
            file.write(b"data")


def exists(url):
    store, key = store_for(url)
    return store.stat(key) is not None


OUTSIDE = [
    "{w}2/x.pkl",
    "{w}/../other/x.pkl",
    "{w}/a/../../other/x.pkl",
    "{w}/./x.pkl",
    "{w}/a//x.pkl",
    "{w}//x.pkl",
    "{w}/x/",
    "{w}/",
    "{w}",
    "",
    "x.pkl",
    "/etc/passwd",
    "gs://bucket/x.pkl",
    "{w}/log/runs/20260101T000000Z-a.jsonl",
    "{w}/\udcff.pkl",
    "https://{w}/x.pkl",
]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("url", OUTSIDE)
def test_a_url_that_may_be_outside_has_no_place(url, slash):
    for workspace in ("s3://bucket/w", "memory://w", "memory://a/../w"):
        assert files_of(workspace + slash, Path.cwd()).place(url.replace("{w}", workspace)) is None


def test_a_url_inside_has_one():
    for workspace in ("s3://bucket/w", "s3://bucket", "memory://w", "memory://a/../w"):
        for slash in ("", "/"):
            url = f"{workspace}/a/..b/x y.pkl"
            assert files_of(workspace + slash, Path.cwd()).place(url) == url.partition("://")[2]


def test_objects_are_found_and_deleted(workspace):
    files = files_of(workspace, Path.cwd())
    urls = [f"{workspace}/a/{name}.pkl" for name in "xyz"]
    put(*urls, f"{workspace}/mine.pkl")
    places = [files.place(url) for url in urls]
    found = files.stats([*places, files.place(f"{workspace}/gone.pkl")])
    assert {place: stat.size for place, stat in found.items()} == dict.fromkeys(places, 4)
    assert files.delete([*places[:2], files.place(f"{workspace}/gone.pkl")]) == {}
    assert [exists(url) for url in urls] == [False, False, True]
    assert exists(f"{workspace}/mine.pkl")
    assert files.url(places[0]) == urls[0]


def test_many_objects_are_listed_and_deleted_in_few_requests(s3):
    workspace = f"s3://bucket/many{os.getpid()}"
    files = files_of(workspace, Path.cwd())
    urls = [f"{workspace}/a/{number}.pkl" for number in range(100)]
    put(*urls, f"{workspace}2/x.pkl", f"{workspace}/mine.pkl")
    s3.reset()
    found = files.stats([files.place(url) for url in urls])
    assert len(found) == 100
    assert files.delete(list(found)) == {}
    assert s3.count() == Counter(list=1, delete=1)
    assert exists(f"{workspace}2/x.pkl")
    assert exists(f"{workspace}/mine.pkl")


def test_what_a_service_refuses_to_delete_is_told(s3):
    (kept,) = files_of("s3://nowhere/w", Path.cwd()).delete(["nowhere/w/x.pkl"]).items()
    assert kept[0] == "nowhere/w/x.pkl"
    assert "NoSuchBucket" in kept[1]


def test_what_a_store_refuses_to_delete_is_told(monkeypatch):
    put("memory://refused/x.pkl", "memory://refused/y.pkl")
    store, _ = store_for("memory://")
    delete = type(store).delete

    def refuse(self, key):
        if key.endswith("x.pkl"):
            raise PermissionError("not yours")
        return delete(self, key)

    monkeypatch.setattr(type(store), "delete", refuse)
    files = files_of("memory://refused", Path.cwd())
    assert files.delete(["refused/x.pkl", "refused/y.pkl"]) == {"refused/x.pkl": "not yours"}
    assert not exists("memory://refused/y.pkl")


# -- folders of this machine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workspace", ["w", "w/", "./w", "x/../w", "file://w", "{here}/w", "file://{here}/w"])
@pytest.mark.parametrize("url", ["w/a/x.pkl", "./w/a/x.pkl", "w/a/../a/x.pkl", "{here}/w/a//x.pkl", "file://w/a/x.pkl"])
def test_a_file_has_a_place_however_it_is_written(tmp_path, workspace, url, monkeypatch):
    put("w/a/x.pkl")
    Path("x").mkdir()
    monkeypatch.chdir("x")  # paths are relative to the project and not to where one stands
    files = files_of(workspace.replace("{here}", str(tmp_path)), tmp_path)
    place = files.place(url.replace("{here}", str(tmp_path)))
    assert place == str(tmp_path / "w" / "a" / "x.pkl")
    assert files.stats([place])[place].size == 4


def test_a_file_outside_has_none(tmp_path):
    put("w/x.pkl", "w2/x.pkl", "other/x.pkl", "w/log/runs/x.jsonl", "w/a/b.pkl")
    Path("w/out").symlink_to("../other")
    Path("w/circle").symlink_to("circle")
    files = files_of("w", tmp_path)
    outside = ["w2/x.pkl", "w/../other/x.pkl", "w/out/x.pkl", "w/log/runs/x.jsonl", "w/a/../log/runs/x.jsonl", "w"]
    outside += [
        "w/..",
        "w/.",
        "w/a/",
        "",
        "/etc/passwd",
        "s3://w/x.pkl",
        "memory://w/x.pkl",
        "w/\0/x.pkl",
        "w/circle/x",
    ]
    assert [url for url in outside if files.place(url) is not None] == []


def test_of_a_link_the_link_is_meant_and_a_folder_is_no_file(tmp_path):
    put("precious.pkl", "w/a/b.pkl", "w/plain")
    Path("w/link.pkl").symlink_to("../precious.pkl")
    files = files_of("w", tmp_path)
    urls = ["w/link.pkl", "w/a", "w/gone.pkl", "w/a/b.pkl/x", "w/nul\0.pkl", "w/\udcff\ud800.pkl"]
    places = [place for url in urls if (place := files.place(url)) is not None]
    found = files.stats(places)
    assert list(found) == [str(tmp_path / "w" / "link.pkl")]
    assert files.delete([*found, str(tmp_path / "w" / "gone.pkl")]) == {}
    assert Path("precious.pkl").exists()
    assert not Path("w/link.pkl").is_symlink()


def test_a_file_that_cannot_be_deleted_is_told(tmp_path):
    put("w/a/b.pkl", "w/x.pkl")
    folder, file = str(tmp_path / "w" / "a"), str(tmp_path / "w" / "x.pkl")
    assert list(files_of("w", tmp_path).delete([folder, file])) == [folder]
    assert not Path(file).exists()


@pytest.mark.parametrize("link", ["log", "log/runs"])
def test_the_runs_are_not_a_task_s_files_when_they_are_kept_elsewhere_in_the_workspace_either(tmp_path, link):
    put("w/kept/runs/1.jsonl", "w/kept/1.jsonl")
    Path("w", link).parent.mkdir(exist_ok=True)
    Path("w", link).symlink_to(tmp_path / "w" / "kept")
    files = files_of("w", tmp_path)
    real = "w/kept/runs/1.jsonl" if link == "log" else "w/kept/1.jsonl"
    assert [url for url in ("w/log/runs", "w/log", "w/log/runs/1.jsonl", real) if files.place(url) is not None] == []


@settings(deadline=None)
@example(["log", "runs"])
@given(st.lists(st.sampled_from(["..", ".", "", "a", "in", "out", "log", "runs", "x.pkl", "/"]), max_size=7))
def test_no_path_leads_out(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("any")
    (root / "w" / "a").mkdir(parents=True)
    (root / "elsewhere").mkdir()
    (root / "w" / "out").symlink_to(root / "elsewhere")
    (root / "w" / "in").symlink_to("a")
    place = files_of("w", root).place("/".join(["w", *parts]))
    if place is not None:
        assert Path(place).parent.resolve().is_relative_to((root / "w").resolve())
        assert not Path(place).resolve().is_relative_to((root / "w" / "log" / "runs").resolve())


def test_what_a_record_names():
    stored = (OutputRecord("w/x.pkl", 1, ""), OutputRecord("w/y.pkl", 1, ""))
    record = RunRecord("Task", "module", "id", "done", "", 1.0, outputs=stored, log_files=("task_log", "new_kind"))
    assert list(named_urls("w/", record)) == ["w/x.pkl", "w/y.pkl", "w/log/task_log/Task_id.pkl"]


def test_a_workspace_on_this_machine_is_made_absolute(tmp_path):
    for workspace in ("w/", "file://w"):
        assert files_of(workspace, tmp_path).workspace == str(tmp_path / "w")
    assert files_of("/w", tmp_path).workspace == "/w"
    assert files_of("s3://bucket/w", tmp_path).workspace == "s3://bucket/w"
