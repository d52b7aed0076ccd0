"""What earlier runs have written is read from every store, and what is cut, foreign or gone takes nothing with it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.run_header import RunInfo
from kart_runtime.history.runs import RunFiles, TaskName, list_runs, read_records, read_runs
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Stat
from kart_runtime.storage.target import OutputRecord
from tests.runtime.run_files import AS_JSON, RECORD, put, put_cut_and_foreign, write

NEVER = {"run_id": "r", "tasks": {"module": {"Task": ["other", "id"], "Never": ["x"]}}}


def read(workspace):
    return list(read_runs(workspace, list_runs(workspace)))


def test_a_run_comes_back_with_its_records_and_the_tasks_that_it_refers_to(workspace):
    with Ledger() as ledger:
        ledger.append(workspace, vars(RECORD))
        ledger.record_tasks(workspace, RunTasks({"module": {"Task": ["id", "other"], "Never": ["x"]}}))
    (run,) = read(workspace)
    assert (run.id, run.has_references, run.unread, run.cut) == (ledger.run_id, True, "", "")
    assert [record.outputs for record in run.records] == [RECORD.outputs]
    assert run.tasks == {
        TaskName("module", "Task", "id"),
        TaskName("module", "Task", "other"),
        ("module", "Never", "x"),
    }
    assert run.started is not None
    assert abs(run.written - run.started) < 60
    assert list(read_records(workspace)) == list(run.records)


def test_runs_come_oldest_first_and_one_in_several_parts_is_one(workspace):
    line = json.dumps(AS_JSON) + "\n"
    ids = [f"202601{day:02}T000000Z-a" for day in (3, 1, 2)]
    for run in ids:
        put(workspace, f"{run}.jsonl", json.dumps({"run": run}) + "\n" + line)
    put(workspace, f"{ids[0]}.part0001.jsonl", line * 2)
    put(workspace, f"{ids[0]}.part0002.jsonl", json.dumps(NEVER))
    put(workspace, "deeper/20260105T000000Z-a.jsonl", line)
    put(workspace, "notes.txt", "mine")
    found = read(workspace)
    assert [(run.id, len(run.files), len(run.records)) for run in found] == [
        (ids[1], 1, 1),
        (ids[2], 1, 1),
        (ids[0], 3, 3),
    ]
    assert [run.has_references for run in found] == [False, False, True]
    assert found[2].tasks == {("module", "Task", "id"), ("module", "Task", "other"), ("module", "Never", "x")}
    assert found[0].tasks == {("module", "Task", "id")}
    assert len(list(read_records(workspace))) == 5


def test_a_file_that_is_not_named_like_a_run_has_no_time(workspace):
    for name in ("notes.jsonl", "20261399T000000Z-a.jsonl"):
        put(workspace, name, json.dumps(AS_JSON))
    assert [(run.started, len(run.records)) for run in read(workspace)] == [(None, 1), (None, 1)]


def test_what_is_cut_or_foreign_is_passed_over(workspace):
    put_cut_and_foreign(workspace)
    found = read(workspace)
    assert [len(run.records) for run in found] == [1, 1, 0]
    assert [bool(run.cut) for run in found] == [False, True, False]  # a cut attempt hides no task of the graph
    assert list(read_records(workspace)) == [*found[0].records, *found[1].records]


@pytest.mark.parametrize(
    "tasks", ["x", [1], {"module": ["Task"]}, {"module": {"Task": 5}}, {"module": {"T": [{}]}}, None]
)
def test_a_line_that_should_name_tasks_and_does_not_is_told(tmp_path, tasks):
    put(str(tmp_path), "20260101T000000Z-a.jsonl", json.dumps({"run_id": "x", "tasks": tasks}))
    (run,) = read(str(tmp_path))
    assert "should name tasks" in run.cut
    assert not run.has_references


def test_a_later_version_may_add_fields(workspace):
    line = {**AS_JSON, "novelty": 1, "outputs": [{"url": "u", "size": 1, "checksum": "c", "novelty": 2}]}
    put(workspace, "20260101T000000Z-a.jsonl", json.dumps({"novelty": 1}) + "\n" + json.dumps(line))
    assert [record.outputs for record in read_records(workspace)] == [RECORD.outputs]


def test_a_record_without_the_name_of_its_algorithm_holds_a_sha256(workspace):
    outputs = [{"url": "u", "size": 1, "sha256": "c"}, {"url": "v", "size": 2, "sha256": ""}]
    put(workspace, "20260101T000000Z-a.jsonl", json.dumps({**AS_JSON, "outputs": outputs}))
    (record,) = read_records(workspace)
    assert record.outputs == (OutputRecord("u", 1, "sha256:c"), OutputRecord("v", 2, ""))


def test_no_runs(workspace):
    assert list_runs(workspace) == []
    assert list(read_records(workspace)) == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_workspace_ends_in_a_slash_or_not(workspace, slash):
    run_id = write(workspace, RECORD)
    assert [run.id for run in list_runs(workspace + slash)] == [run_id]


def test_a_file_that_cannot_be_read_is_told(tmp_path, caplog):
    readable = write(tmp_path, RECORD)
    for day in (1, 2):
        Path(tmp_path, "log", "runs", f"2026010{day}T000000Z-a.jsonl").symlink_to("gone")
    Path(tmp_path, "log", "runs", "20260103T000000Z-a.jsonl").mkdir()  # kart has not made it
    with caplog.at_level(logging.WARNING, "kart_runtime.history.runs"):
        found = read(str(tmp_path))
    assert [bool(run.unread) for run in found] == [True, True, False]
    assert "20260101T000000Z-a.jsonl" in found[0].unread
    assert len([text for text in caplog.messages if "cannot be read" in text]) == 2
    assert [record.run_id for record in read_records(str(tmp_path))] == [readable]


def test_a_file_that_vanishes_is_told(workspace):
    write(workspace, RECORD)
    gone = write(workspace, RECORD)
    listed = list_runs(workspace)
    store, key = store_for(f"{workspace}/log/runs/{gone}.jsonl")
    store.delete(key)
    assert sorted(bool(run.unread) for run in read_runs(workspace, listed)) == [False, True]


@pytest.mark.usefixtures("s3")
def test_one_that_a_service_refuses_is_told():
    listed = RunFiles("20260101T000000Z-a", (Stat("nowhere/w/log/runs/20260101T000000Z-a.jsonl", 1, 0.0),))
    (run,) = read_runs("s3://nowhere/w", [listed])
    assert "NoSuchBucket" in run.unread
    assert "s3://nowhere/w/log/runs/20260101T000000Z-a.jsonl" in run.unread


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_can_be_read(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("any")
    put(str(folder), "20260101T000000Z-a.jsonl", b"\n".join(lines))
    assert len(read(str(folder))) == 1


def test_a_run_of_an_earlier_version_has_neither_edges_nor_an_end(workspace):
    lines = [
        {"run": "20260101T000000Z-a", "started": "2026", "host": "h", "pid": 1, "command": ["kart"], "versions": {}},
        {"run_id": "20260101T000000Z-a", "tasks": {"module": {"Task": ["id", "other"]}}},
        AS_JSON,
    ]
    put(workspace, "20260101T000000Z-a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    (run,) = read(workspace)
    assert (run.header["host"], run.end, run.graph, run.definitions) == ("h", None, None, {})
    (record,) = run.records
    assert (record.metrics, record.series, record.requires, record.cpu, record.worker) == ({}, (), (), None, "")
    assert len(run.tasks) == 2


def test_a_run_says_how_it_was_asked_and_how_it_ended(workspace):
    tasks = RunTasks({"module": {"Task": ["id", "other"]}}, [[1, "elsewhere"], []], "rs")
    with Ledger(info=RunInfo(env="ci", label="l", settings={"run.seed": "1"})) as ledger:
        ledger.record_tasks(workspace, tasks)
        ledger.append(workspace, {**vars(RECORD), "metrics": {"auc": 0.5, "loss": "nan"}, "logged": 3})
        ledger.append_definitions(workspace, "0a", {"lib.py: f": "1"})
        ledger.record_tasks(workspace, RunTasks({"module": {"Late": ["x"]}}, [[]], "r", {"0": [2]}))
        ledger.finish("done", {"ran": 1})
    (run,) = read(workspace)
    assert (run.header["env"], run.header["label"], run.header["settings"]) == ("ci", "l", {"run.seed": "1"})
    assert run.header["workspace"].rstrip("/") == workspace
    assert (run.end["state"], run.end["ran"]) == ("done", 1)
    assert run.definitions == {"0a": {"lib.py: f": "1"}}
    assert (run.graph.requires, run.graph.verdicts) == (((1, "elsewhere", 2), (), ()), "rsr")
    (record,) = run.records
    assert record.requires == ("other", "elsewhere", "x")
    assert (record.metrics, record.logged) == ({"auc": 0.5, "loss": "nan"}, 3)


@pytest.mark.parametrize(
    "values",
    [
        {"requires": 5, "verdicts": "r"},
        {"requires": [[0], [1]], "verdicts": "r"},
        {"requires": [[7, -1, True, None, {}]], "verdicts": "r"},
        {"requires": [5], "verdicts": "r", "yielded": {"9": [0], "x": [0], "0": 3}},
        {"requires": [[]], "verdicts": "r", "yielded": [1]},
    ],
)
def test_damaged_edges_are_left_out(tmp_path, values):
    line = {"run_id": "r", "tasks": {"module": {"Task": ["id"]}}, **values}
    put(str(tmp_path), "20260101T000000Z-a.jsonl", json.dumps(line) + "\n" + json.dumps(AS_JSON))
    (run,) = read(str(tmp_path))
    assert run.graph is None or run.graph.requires == ((),)
    assert run.records[0].requires == ()
