"""How long tasks take is learnt from the newest runs, of any store, at a bounded price, and never fails."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from kart_runtime.history.durations import estimate_durations
from kart_runtime.history.runs import RunRecord
from tests.runtime.run_files import RECORD, put_cut_and_foreign, write
from tests.runtime.servers import put_many


def test_how_long_tasks_take_is_what_the_newest_run_says(workspace):
    write(workspace, RunRecord("B", "module", "id", "done", "2025", 1.5), run_id="20250101T000000Z-a")
    for run_id, seconds in (("20260101T000000Z-a", 9.0), ("20260102T000000Z-a", 2.0)):
        attempts = [("done", seconds), ("done", seconds + 2), ("failed", 100.0)]
        write(workspace, *(RunRecord("A", "module", "id", state, "", took) for state, took in attempts), run_id=run_id)
    assert estimate_durations(workspace) == {("module", "A"): 3.0, ("module", "B"): 1.5}
    assert estimate_durations(f"{workspace}/nowhere") == {}


def test_what_is_cut_or_foreign_is_passed_over(workspace):
    put_cut_and_foreign(workspace)
    assert estimate_durations(workspace) == {("module", "Task"): 0.5}


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_workspace_ends_in_a_slash_or_not(workspace, slash):
    write(workspace, RECORD)
    assert estimate_durations(workspace + slash) == {("module", "Task"): 0.5}


def test_no_runs(workspace):
    assert estimate_durations(workspace) == {}


def test_a_file_that_cannot_be_read_is_no_reason_to_fail(tmp_path):
    write(tmp_path, RECORD)
    Path(tmp_path, "log", "runs", "20990103T000000Z-a.jsonl").symlink_to("gone")
    assert estimate_durations(str(tmp_path)) == {("module", "Task"): 0.5}


def test_a_long_history_on_a_remote_store_costs_one_list_and_three_reads(s3):
    workspace = f"s3://bucket/long{os.getpid()}"
    for day in range(1, 8):
        record = RunRecord("A", "module", "id", "done", "", float(day))
        write(
            workspace, record, RunRecord(f"Of{day}", "module", "id", "done", "", 1.0), run_id=f"2026010{day}T000000Z-a"
        )
    s3.reset()
    found = estimate_durations(workspace)
    assert s3.count() == Counter(list=1, get=3)
    assert found == {("module", name): took for name, took in (("A", 7.0), ("Of7", 1.0), ("Of6", 1.0), ("Of5", 1.0))}


def test_of_more_runs_than_a_page_holds_the_newest_count(s3):
    name = f"runs-of-pages{os.getpid()}"
    put_many(s3, "bucket", [f"{name}/log/runs/20250101T{number:06}Z-a.jsonl" for number in range(1001)])
    write(f"s3://bucket/{name}", RunRecord("A", "module", "id", "done", "", 5.0))  # now
    s3.reset()
    assert estimate_durations(f"s3://bucket/{name}") == {("module", "A"): 5.0}
    assert s3.count() == Counter(list=2, get=3)


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_no_reason_to_fail():
    assert estimate_durations("s3://nowhere/x") == {}
