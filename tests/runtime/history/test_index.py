from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.history.index import open_index
from kart_runtime.history.index_schema import index_path
from kart_runtime.history.runs import list_runs, read_runs
from tests.runtime.history import past

UID = [past.uid(str(number)) for number in range(4)]


def known(index):
    """Return what an index answers, but for what an id requires: that is known of other runs, too."""
    attempts = [replace(record, requires=()) for record in index.attempts()]
    return sorted(map(repr, attempts)), [(run.id, run.label, run.tasks) for run in index.runs()]


def read_again(workspace):
    runs = list(read_runs(str(workspace), list_runs(str(workspace))))
    records = [replace(record, requires=(), run_id=run.id) for run in runs for record in run.records]
    shown = [run for run in runs if run.header or run.records or run.tasks]
    return sorted(map(repr, records)), sorted((run.id, run.header.get("label", "")) for run in shown)


LINES = st.sampled_from(["header", "tasks", "attempt", "failed", "end", "foreign", "cut"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), LINES),
        st.tuples(st.just("truncate"), st.integers(0, 3), st.integers(0, 3000)),
        st.tuples(st.just("delete"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("refresh"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


def line_of(run, kind, number):
    task = f"T{number % 2}"
    return {
        "header": json.dumps(past.header(run, label=f"label {number}")) + "\n",
        "tasks": past.text(past.tasks(run, [("T0", UID[0], []), ("T1", UID[1], [UID[0]])])),
        "attempt": past.text(past.attempt(run, task, UID[number % 4], seconds=number / 7, metrics={"auc": number / 3})),
        "failed": past.text(past.attempt(run, task, UID[number % 4], state="failed", error='ä "quoted" \ud800 \x00')),
        "end": past.text(past.end(run)),
        "foreign": '[1, 2]\n{"unique_id": 5}\n{"task": 1, "unique_id": "x"}\nnonsense\n',
        "cut": past.text(past.attempt(run, task, UID[0]))[: 40 + number * 9],
    }[kind]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_an_index_knows_what_reading_all_files_again_gives(steps):
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "log", "runs")
        runs.mkdir(parents=True)
        with open_index(folder) as index:
            for number, (step, run, what) in enumerate(steps):
                path = runs / f"{past.run_id(run)}.jsonl"
                if step == "add":
                    with path.open("ab") as file:
                        file.write(line_of(past.run_id(run), what, number).encode())
                elif step == "truncate" and path.exists():
                    os.truncate(path, min(what, path.stat().st_size))
                elif step == "delete":
                    path.unlink(missing_ok=True)
                elif step == "refresh":
                    index.refresh()
            index.refresh()
            records, labels = read_again(folder)
            assert known(index)[0] == records
            assert sorted((run.id, run.label) for run in index.runs()) == labels
            refreshed = known(index)
            index_path(folder).unlink()
        with open_index(folder) as anew:
            assert known(anew) == refreshed


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "outputs")


def test_what_is_upstream_is_known_for_an_id(folder):
    run = past.put(
        folder,
        past.run_id(0),
        past.header(past.run_id(0)),
        past.tasks(past.run_id(0), [("A", UID[0], []), ("B", UID[1], [UID[0]])]),
    )
    with open_index(folder) as index:
        assert index.upstream(UID[1]) == (UID[0],)
        assert index.upstream(UID[0]) == index.upstream("unknown") == ()
        path = Path(folder, "log", "runs", f"{run}.jsonl")
        yielded = {
            "run_id": run,
            "tasks": {"p.tasks": {"C": [UID[2]]}},
            "requires": [[]],
            "verdicts": "r",
            "yielded": {"1": [2]},
        }
        with path.open("a") as file:
            file.write(past.text(yielded, past.attempt(run, "B", UID[1])))
        index.refresh()
        assert index.upstream(UID[1]) == (UID[0], UID[2])
        assert index.attempts(unique_id=UID[1])[0].requires == (UID[0], UID[2])
        assert index.run(run).graph.requires[1] == (0, 2)


def test_a_run_is_done_failed_running_or_dead(folder):
    ids = [past.run_id(number) for number in range(5)]
    past.put(folder, ids[0], past.header(ids[0]), past.attempt(ids[0], "A", UID[0]), past.end(ids[0]))
    past.put(folder, ids[1], past.header(ids[1]), past.end(ids[1], state="failed", failed=1, not_started=2))
    past.put(folder, ids[2], past.header(ids[2]), past.attempt(ids[2], "A", UID[0]))
    past.put(folder, ids[3], past.header(ids[3]), past.attempt(ids[3], "A", UID[0]))
    old = {name: value for name, value in past.header(ids[4]).items() if name != "format"}
    past.put(folder, ids[4], old, past.attempt(ids[4], "A", UID[0]))
    os.utime(Path(folder, "log", "runs", f"{ids[3]}.jsonl"), (0, 10_000))
    before = time.time()
    os.utime(Path(folder, "log", "runs", f"{ids[2]}.jsonl"), (before - 300, before - 300))
    with open_index(folder) as index:
        assert index.run_row(ids[2]).seconds >= before - index.run_row(ids[2]).started  # not up to the last write
        states = {run.id: run.state for run in index.runs()}
        assert [states[run] for run in ids] == ["done", "failed", "running", "died?", "done"]
        assert index.run_row(ids[1]).counts == {
            "ran": 1,
            "failed": 1,
            "complete": 0,
            "not_needed": 0,
            "missing": 0,
            "not_started": 2,
        }
        assert index.run_row(ids[2]).counts == {"ran": 1, "failed": 0, "complete": 0}
        assert [run.id for run in index.runs(failed=True)] == [ids[3], ids[1]]


def test_the_newest_record_of_each_id_is_a_candidate(folder):
    for number in range(6):
        run = past.run_id(number)
        past.put(
            folder,
            run,
            past.header(run),
            past.attempt(run, "A", UID[number % 2]),
            past.attempt(run, "A", UID[2], state="failed"),
        )
    with open_index(folder) as index:
        assert [(record.unique_id, record.run_id) for record in index.candidates("A")] == [
            (UID[1], past.run_id(5)),
            (UID[0], past.run_id(4)),
        ]
        assert [record.unique_id for record in index.candidates("A", 1)] == [UID[1]]
        assert index.newest(UID[0]).run_id == past.run_id(4)
        assert index.newest(UID[2]) is None
        assert index.newest(UID[0], "another.module") is None
        assert set(index.newest_of([*UID, "unknown"])) == set(UID[:3])


def test_what_kart_accept_writes_is_no_run(folder):
    run = past.run_id(0)
    past.put(folder, run, past.header(run), past.attempt(run, "A", UID[0], state="accepted"))
    past.put(folder, "other", [1], name="other.jsonl")
    with open_index(folder) as index:
        assert index.runs() == []
        assert len(index.attempts()) == 1


@pytest.mark.parametrize("content", [b"no database at all " * 100, b""])
def test_a_damaged_index_is_built_anew(folder, content, caplog):
    past.variants(folder)
    with open_index(folder) as index:
        expected = known(index)
    path = index_path(folder)
    path.write_bytes(content)
    with caplog.at_level(logging.INFO), open_index(folder) as index:
        assert known(index) == expected
    assert len(caplog.records) == bool(content)


def test_an_index_that_is_damaged_in_the_middle_is_built_anew(folder):
    past.variants(folder, range(1, 60))
    with open_index(folder) as index:
        expected = known(index)
    path = index_path(folder)
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with open_index(folder) as index:
        assert known(index) == expected


@pytest.mark.parametrize("version", [1, 2**31 - 1])
def test_an_index_of_another_version_is_built_anew(folder, version, caplog):
    past.variants(folder)
    with open_index(folder) as index:
        expected = known(index)
    connection = sqlite3.connect(index_path(folder))
    connection.executescript(f"DROP TABLE attempts; CREATE TABLE attempts (x); PRAGMA user_version={version}")
    connection.close()
    with caplog.at_level(logging.INFO), open_index(folder) as index:
        assert known(index) == expected
    assert [record.levelno for record in caplog.records] == [logging.INFO]


@pytest.mark.parametrize("damage", ["DROP TABLE attempts", "DROP TABLE files"])
def test_an_index_that_lacks_a_table_is_built_anew(folder, damage):
    past.variants(folder)
    with open_index(folder) as index:
        expected = known(index)
    connection = sqlite3.connect(index_path(folder))
    connection.execute(damage)
    connection.close()
    with open_index(folder) as index:
        assert known(index) == expected


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_an_index_that_cannot_be_written_is_in_memory(folder, tmp_path, monkeypatch, caplog):
    past.variants(folder)
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("KART_CACHE", str(cache))
    with open_index(folder) as index:
        assert len(index.runs()) == 3
    assert "in memory" in caplog.text


def test_a_cache_folder_that_is_a_file_leaves_the_index_in_memory(folder, tmp_path, monkeypatch, caplog):
    past.variants(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "file"))
    with open_index(folder) as index:
        assert len(index.runs()) == 3
    assert "in memory" in caplog.text


def test_the_cache_lies_where_the_variables_say(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("KART_CACHE", raising=False)
    monkeypatch.delenv("KART_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index_path(folder).parent == tmp_path / "xdg" / "kart" / "history"
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "own"))
    assert index_path(folder).parent == tmp_path / "own" / "history"
    assert index_path(folder) == index_path(f"{folder}/")
    assert index_path("memory://w") is None


def test_two_processes_may_build_an_index_at_once(folder):
    past.variants(folder, range(1, 120))
    code = (
        "import sys; from kart_runtime.history.index import open_index; print(len(open_index(sys.argv[1]).attempts()))"
    )
    command = [sys.executable, "-c", code, folder]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [str(3 * 119 + 1)] * 3
    with open_index(folder) as index:
        assert len(index.attempts()) == 3 * 119 + 1


def test_a_second_index_sees_what_a_run_in_progress_writes(folder):
    run = past.put(folder, past.run_id(0), past.header(past.run_id(0)))
    path = Path(folder, "log", "runs", f"{run}.jsonl")
    with open_index(folder) as one, open_index(folder) as other, path.open("ab", buffering=0) as file:
        for number in range(1, 5):
            line = past.text(past.attempt(run, "A", UID[number % 4])).encode()
            file.write(line[:50])
            one.refresh()
            file.write(line[50:])
            other.refresh()
            one.refresh()
            assert len(one.attempts()) == len(other.attempts()) == number


def test_files_of_a_bucket_are_read_once(bucket):
    past.variants(bucket.url)
    bucket.proxy.reset()
    with open_index(bucket.url) as index:
        assert len(index.runs()) == 3
    assert bucket.proxy.count() == {"list": 1, "get": 3}
    bucket.proxy.reset()
    with open_index(bucket.url) as index:
        assert len(index.runs()) == 3
        assert len(index.attempts()) == 10
    assert bucket.proxy.count() == {"list": 1}
    past.put(bucket.url, past.run_id(9), past.header(past.run_id(9)), past.end(past.run_id(9)))
    bucket.proxy.reset()
    with open_index(bucket.url) as index:
        assert index.runs()[0].id == past.run_id(9)
    assert bucket.proxy.count() == {"list": 1, "get": 1}


def test_parts_of_a_long_run_in_a_bucket_are_one_run(bucket):
    run = past.run_id(0)
    graph = [("A", UID[0], []), ("B", UID[1], [UID[0]])]
    past.put(bucket.url, run, past.header(run, roots=[UID[1]]), past.tasks(run, graph))
    with open_index(bucket.url) as index:
        past.put(bucket.url, run, past.attempt(run, "A", UID[0]), name=f"{run}.part0001.jsonl")
        last = {
            "run_id": run,
            "tasks": {"p.tasks": {"C": [UID[2]]}},
            "requires": [[]],
            "verdicts": "r",
            "yielded": {"1": [2]},
        }
        past.put(bucket.url, run, last, past.attempt(run, "B", UID[1]), past.end(run), name=f"{run}.part0002.jsonl")
        index.refresh()
        (found,) = index.runs()
        assert (found.id, found.tasks, found.root_names, found.state) == (run, 3, ("B",), "done")
        assert index.upstream(UID[1]) == (UID[0], UID[2])
        assert [record.task for record in index.attempts(run_id=run)] == ["A", "B"]


def test_what_is_deleted_from_a_bucket_goes_with_the_list_of_the_next_day(bucket, monkeypatch):
    past.variants(bucket.url)
    with open_index(bucket.url) as index:
        from kart_runtime.storage.registry import store_for

        store, key = store_for(f"{bucket.url}/log/runs/{past.run_id(0)}.jsonl")
        store.delete(key)
        from kart_runtime.history import index_files

        monkeypatch.setattr(index_files, "_DAY", 0.0)
        index.refresh()
        assert [run.id for run in index.runs()] == [past.run_id(2), past.run_id(1)]


def test_a_store_that_does_not_answer_leaves_what_is_known(s3_bucket, caplog, monkeypatch):
    past.variants(s3_bucket.url)
    with open_index(s3_bucket.url) as index:
        from kart_runtime.history import index_files

        def away(*_args, **_options):
            raise ConnectionError("away")

        monkeypatch.setattr(index_files, "_requested_stats", away)
        index.refresh()
        assert len(index.runs()) == 3
    assert "away" in caplog.text


def test_a_workspace_in_memory_has_its_index_there(request):
    workspace = f"memory://{request.node.name}"
    past.variants(workspace)
    with open_index(workspace) as index:
        assert len(index.runs()) == 3
        past.put(workspace, past.run_id(7), past.header(past.run_id(7)))
        index.refresh()
        assert len(index.runs()) == 4
