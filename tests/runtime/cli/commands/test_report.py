"""`kart report`, and `kart run --report`."""

from __future__ import annotations

import base64
import gzip
import json
import re
import webbrowser
from pathlib import Path

import pytest

FAILING = """
    import luigi
    from kart_runtime import TaskOnKart
    from PKG.tasks.numbers import Numbers


    class Fails(TaskOnKart[int]):
        def requires(self):
            return Numbers()

        def run(self):
            raise ValueError("no such column")
"""


def extras(page):
    packed = re.search(r'id="extras">(.*?)</script>', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_last_run_or_another_one_is_written(small_project, kart):
    small_project()
    kart("run", "Numbers")
    kart("run", "Total")
    typed = kart("report")
    assert typed.code == 0
    assert re.fullmatch(r"\d{8}T\d{6}Z-\w+ -> report\.html\n", typed.out)
    assert "<h1>Total</h1>" in Path("report.html").read_text()
    assert kart("report", "last~1", "-o", "before.html").code == 0
    assert "<h1>Numbers</h1>" in Path("before.html").read_text()


def test_values_of_pickles_are_shown_unless_previews_are_off(small_project, kart):
    small_project()
    kart("run", "Total")
    kart("report")
    shown = [preview for own in extras(Path("report.html").read_text())["previews"].values() for preview in own]
    assert shown
    assert all(kind != "note" for _, kind, _, _ in shown)
    kart("report", "--no-previews")
    assert extras(Path("report.html").read_text())["previews"] == {}


def test_without_a_run_it_says_how_to_make_one(small_project, kart):
    small_project()
    typed = kart("report")
    assert typed.code == 0
    assert typed.out.startswith("no run yet in ")
    assert not Path("report.html").exists()


def test_what_cannot_be_done_is_refused(small_project, kart):
    small_project()
    kart("run", "Numbers")
    Path("notes.html").write_text("mine")
    for words, said in (
        (["nosuch"], "no run is called 'nosuch'"),
        (["last", "last~1"], "too many arguments: last~1"),
        (["-o", "missing/x.html"], "there is no folder missing"),
        (["-o", "notes.html"], "is no report of kart"),
        (["-o", "."], "is a folder"),
    ):
        typed = kart("report", *words)
        assert typed.code == 2, words
        assert said in typed.err
    assert Path("notes.html").read_text() == "mine"
    assert kart("report", "-o", "notes.html", "--force").code == 0


def test_it_opens_in_the_browser(small_project, kart, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    small_project()
    kart("run", "Numbers")
    kart("report", "--open")
    assert opened == [Path("report.html").resolve().as_uri()]


def test_a_run_writes_its_report_also_if_it_fails(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    typed = kart("run", "Fails", "--report")
    assert typed.code == 1
    assert typed.lines[-1] == "report -> report.html"
    page = Path("report.html").read_text()
    assert "✗ failed: 1 ran, 1 failed" in page
    assert "ValueError: no such column" in page
    assert "failing.py" in page  # the trace
    assert kart("run", "Numbers", "--report", "--quiet").code == 0
    assert "✓ done: 1 complete" in Path("report.html").read_text()


def test_a_place_that_cannot_be_written_is_told_before_the_run(small_project, kart):
    small_project()
    Path("report.html").write_text("mine")
    typed = kart("run", "Numbers", "--report")
    assert typed.code == 2
    assert "is no report of kart" in typed.err
    assert not Path("resources", "log").exists()


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_it_shows_the_workers_of_each_executor(small_project, kart, executor):
    small_project()
    kart("run", "Total", "--executor", executor)
    kart("report")
    page = Path("report.html").read_text()
    packed = re.search(r'id="data">(.*?)</script>', page)[1]
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert all(re.fullmatch(r".+:\d+:.+", lane) for lane in data["lanes"])
    assert len(data["bars"]["task"]) == len(data["path"]) == 2
