"""Records come back, and a cut or foreign line takes nothing with it."""

from __future__ import annotations

import json
from pathlib import Path

from kart_runtime.ledger import Ledger, RunRecord, module_versions, new_run_id, read_records
from kart_runtime.targets import Stored

RECORD = RunRecord(
    "Task", "module", "id", "done", "2026-01-01T00:00:00+00:00", 0.5, 7, {"a": "1"}, (Stored("u", 1, "c"),), ("l",)
)


def write(workspace, *records):
    ledger = Ledger()
    for record in records:
        ledger.append(str(workspace), record)
    ledger.close()
    return ledger.run_id


def test_records_come_back(tmp_path):
    run_id = write(tmp_path, RECORD, RECORD)
    found = list(read_records(str(tmp_path)))
    assert [record.run_id for record in found] == [run_id, run_id]
    assert found[0].outputs == RECORD.outputs
    assert found[0].log_files == ("l",)


def test_a_run_starts_with_versions_host_and_command(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run", "Task.password=hunter2", "--env=prod"])
    run_id = write(tmp_path, RECORD)
    text = (tmp_path / "log" / "runs" / f"{run_id}.jsonl").read_text()
    header = json.loads(text.splitlines()[0])
    assert header["versions"]["luigi"]
    assert header["command"] == ["run", "Task.password=...", "--env=..."]
    assert "hunter2" not in text


def test_what_is_cut_or_foreign_is_passed_over(tmp_path):
    run_id = write(tmp_path, RECORD, RECORD)
    path = Path(tmp_path, "log", "runs", f"{run_id}.jsonl")
    path.write_bytes(b'\xff\n[1]\n{"unique_id": 1}\n' + path.read_bytes()[:-20])
    (path.parent / "other.jsonl").write_text("")
    assert len(list(read_records(str(tmp_path)))) == 1


def test_a_later_version_may_add_fields(tmp_path):
    run_id = write(tmp_path, RECORD)
    path = Path(tmp_path, "log", "runs", f"{run_id}.jsonl")
    path.write_text(path.read_text().replace('"seed"', '"novelty": 1, "seed"'))
    assert len(list(read_records(str(tmp_path)))) == 1


def test_no_records(tmp_path):
    assert list(read_records(str(tmp_path / "nowhere"))) == []


def test_a_run_that_does_nothing_leaves_nothing(tmp_path):
    Ledger().close()
    assert list(tmp_path.iterdir()) == []


def test_run_ids_sort_by_time_and_differ():
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [name[:16] for name in ids] == sorted(name[:16] for name in ids)


def test_versions_are_those_of_the_imported_libraries():
    import luigi

    assert module_versions()["luigi"] == luigi.__version__
    assert "json" not in module_versions()
