"""`kart clean`: what it deletes, and above all what it does not."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli.deletion import size_text
from kart_runtime.storage.registry import store_for
from tests.runtime.servers import environment, make_bucket, s3_server


def outputs(root):
    files = {path for path in (root / "outputs").rglob("*") if path.is_file()}
    return files - {root / "outputs/log/locks/tasks.lock"}  # which stays, and is empty


def test_clean_deletes_nothing_until_told(small_project, kart):
    root = small_project()
    kart("run")
    before = outputs(root)
    typed = kart("clean")
    assert typed.code == 0
    assert outputs(root) == before
    assert [line.split()[0] for line in typed.lines[:-1]] == ["Numbers", "Total", "RunAll"]
    assert re.fullmatch(r"Dry run: would delete 18 files \(\d+\.\d kB\)\. Pass --yes to delete them\.", typed.lines[-1])


def test_clean_deletes_what_the_records_name_and_nothing_else(small_project, kart):
    root = small_project()
    kart("run")
    kart("run", "Total.weight=3")
    mine = root / "outputs" / "notes.txt"
    mine.write_text("mine")
    typed = kart("clean", "--yes")
    assert typed.code == 0
    assert typed.lines[-1].startswith("Deleted 30 files (")
    left = {path for path in outputs(root) if path.suffix != ".jsonl"}
    assert left == {mine}
    assert kart("plan").lines[-1] == "3 tasks: 3 to run, 0 complete"
    assert kart("clean").lines == ["Nothing to delete."]


def test_clean_deletes_log_records_and_series(small_project, kart):
    talks = """
        import logging
        from kart_runtime import TaskOnKart


        class Talks(TaskOnKart[int]):
            def run(self):
                logging.getLogger("mine").warning("line")
                self.log_metric("loss", 0.5, step=1)
                self.dump(1)
    """
    root = small_project({"src/PKG/tasks/talks.py": talks})
    kart("run", "Talks")
    folders = {path.parent.name for path in outputs(root)}
    assert {"lines", "series"} < folders
    assert kart("clean", "--yes").code == 0
    assert {path.parent.name for path in outputs(root)} == {"runs"}


def test_clean_of_one_task_leaves_the_others(small_project, kart):
    small_project()
    kart("run")
    assert kart("clean", "Total", "--yes").lines[-1].startswith("Deleted 6 files")
    assert kart("plan").lines[-1] == "3 tasks: 0 to run, 2 complete, 1 not needed"
    assert kart("clean", "Totl").code == 2


def test_clean_never_leaves_the_workspace(small_project, kart, tmp_path_factory):
    root = small_project()
    kart("run")
    outside = tmp_path_factory.mktemp("outside")
    precious = [root / "conf/base/run.yaml", outside / "a.pkl", outside / "b.pkl", root / "outputs2" / "c.pkl"]
    for path in precious[1:]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    (root / "outputs" / "link").symlink_to(outside)
    urls = ["outputs/../conf/base/run.yaml", str(outside / "a.pkl"), "outputs/link/b.pkl", "outputs2/c.pkl", "outputs"]
    record = {"task": "Numbers", "module": "x", "unique_id": "0", "state": "done", "started": "", "seconds": 0.0}
    record["outputs"] = [{"url": url, "size": 1, "checksum": ""} for url in urls]
    (root / "outputs/log/runs/9.jsonl").write_text(json.dumps(record) + "\n")
    assert kart("clean", "--yes").lines[-1].startswith("Deleted 18 files")
    assert all(path.exists() for path in precious)


def test_clean_deletes_a_link_and_not_what_it_leads_to(small_project, kart, tmp_path_factory):
    root = small_project()
    kart("run")
    precious = tmp_path_factory.mktemp("outside") / "a.pkl"
    precious.write_text("precious")
    output = next(path for path in outputs(root) if "Numbers" in path.name and "tasks" in path.parts)
    output.unlink()
    output.symlink_to(precious)
    assert kart("clean", "--yes").code == 0
    assert precious.exists()
    assert not output.is_symlink()


def test_clean_goes_on_when_a_file_cannot_be_deleted(small_project, kart, monkeypatch):
    root = small_project()
    kart("run")
    unlink = Path.unlink

    def guarded(self, missing_ok=False):
        if self.name.startswith("Numbers_") and "tasks" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", guarded)
    typed = kart("clean", "--yes")
    assert typed.code == 1
    assert typed.lines[-1] == "Deleted 17 of 18 files."
    assert "Permission denied" in typed.err
    assert len([path for path in outputs(root) if path.suffix != ".jsonl"]) == 1


def test_clean_without_runs_has_nothing_to_do(small_project, kart):
    small_project()
    assert kart("clean").lines == ["Nothing to delete."]


@pytest.fixture
def s3(tmp_path, monkeypatch):
    """Run a server with a bucket, which the client finds."""
    with s3_server() as proxy:
        make_bucket(proxy, "bucket")
        for name, value in environment(proxy).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "cache"))
        yield proxy


def keys(workspace):
    store, key = store_for(workspace)
    return {stat.key for stat in store.list(key)}


def put(url, text):
    store, key = store_for(url)
    with store.write(key) as file:
        file.write(text.encode())
    return key


@pytest.mark.parametrize("workspace", ["s3://bucket/w/", "memory://of_clean"])
def test_clean_deletes_what_records_name_in_a_remote_workspace(small_project, kart, workspace, request):
    if workspace.startswith("s3:"):
        request.getfixturevalue("s3")
    small_project({"conf/base/run.yaml": f"task: RunAll\nworkspace: {workspace}\n"})
    kart("run")
    kart("run", "Total.weight=3")
    base = workspace.rstrip("/")
    outside = [f"{base}2/x.pkl", f"{base}/../x.pkl", f"{base}/a//x.pkl", f"{base}/./x.pkl", f"{base}/log/runs/x.pkl"]
    precious = {put(url, "precious") for url in outside}
    mine = put(f"{base}/mine.pkl", "mine")
    record = {"task": "Numbers", "module": "x", "unique_id": "0", "state": "done", "started": "", "seconds": 0.0}
    record["outputs"] = [{"url": url, "size": 1, "checksum": ""} for url in outside]
    put(f"{base}/log/runs/9.jsonl", json.dumps(record))
    before = keys(base)
    typed = kart("clean")
    assert typed.lines[-1].startswith("Dry run: would delete 30 files (")
    assert {line.split()[0] for line in typed.lines[:-1]} == {"Numbers", "Total", "RunAll"}
    assert keys(base) == before
    assert kart("clean", "Numbers", "--yes").lines[-1].startswith("Deleted 6 files (")
    assert kart("clean", "--yes").lines[-1].startswith("Deleted 24 files (")
    runs = {key for key in keys(base) if key.endswith(".jsonl")}
    assert len(runs) == 5  # a run is written in parts there: when it is planned, and when it ends
    assert keys(base) == runs | {mine} | {key for key in precious if key in before}
    assert all(store_for(url)[0].stat(store_for(url)[1]) is not None for url in outside)
    assert kart("clean").lines == ["Nothing to delete."]


def test_clean_deletes_nothing_if_a_run_cannot_be_read(small_project, kart):
    root = small_project()
    kart("run")
    (root / "outputs/log/runs/20260101T000000Z-a.jsonl").symlink_to("nowhere")
    before = outputs(root)
    typed = kart("clean", "--yes")
    assert typed.code != 0
    assert "Nothing was deleted" in typed.err
    assert "20260101T000000Z-a.jsonl" in typed.err  # that run may go on, and use what would be deleted
    assert outputs(root) == before


def test_clean_works_from_any_folder_of_the_project(small_project, kart, monkeypatch):
    root = small_project()
    kart("run")
    monkeypatch.chdir(root / "src")
    assert kart("clean", "--yes").lines[-1].startswith("Deleted 18 files")
    assert len(outputs(root)) == 1


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**13, "10.0 TB")]
)
def test_sizes_are_for_people(size, text):
    assert size_text(size) == text


def test_clean_can_include_what_depends_on_a_task(small_project, kart):
    root = small_project()
    kart("run")
    typed = kart("clean", "Numbers", "--yes")
    assert "What depends on Numbers was not deleted: RunAll, Total." in typed.out
    line = next(line for line in kart("plan").lines if " Numbers" in line)
    assert "its output was deleted and is not needed: its result is used by Total, RunAll" in line
    assert "Numbers: its output was deleted and is not needed" in kart("run").out
    assert kart("clean", "Numbers", "--downstream", "--yes").code == 0
    assert {path.suffix for path in outputs(root)} <= {".jsonl"}


def test_clean_takes_names_of_tasks_that_are_gone(small_project, kart, monkeypatch):
    root = small_project()
    package = next((root / "src").iterdir()).name
    kart("run")
    kart("rename-task", "Total", "AddUp")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("Total", "numbers.Total", "tasks.numbers.Total", f"{package}.tasks.numbers.Total"):
        typed = kart("clean", name)
        assert typed.code == 0
        assert [line.split()[0] for line in typed.lines[:-1]] == ["Total"]
    refused = kart("clean", "Total", "--downstream")
    assert refused.code == 2
    assert "Total is no longer in the code, so kart cannot tell what depends on it. Leave out" in refused.err
    assert "did you mean 'Total'?" in kart("clean", "Totl").err
    assert "did you mean 'AddUp'?" in kart("clean", "AdUp").err
    assert kart("clean", "Total", "--yes").lines[-1].startswith("Deleted 6 files")
    assert kart("clean", "Total").lines == ["Nothing to delete."]
