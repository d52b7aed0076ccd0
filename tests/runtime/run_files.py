"""Files of runs, written for tests: by the ledger that builds use, or as they should not be."""

from __future__ import annotations

import json

from kart_runtime.history.ledger import Ledger
from kart_runtime.history.runs import RunRecord
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import OutputRecord

RECORD = RunRecord(
    "Task",
    "module",
    "id",
    "done",
    "2026-01-01T00:00:00+00:00",
    0.5,
    7,
    {"a": "1"},
    (OutputRecord("u", 1, "c"),),
    ("l",),
)
AS_JSON = {**vars(RECORD), "outputs": [{"url": "u", "size": 1, "checksum": "c"}]}


def write(workspace, *records, run_id=None):
    with Ledger(run_id) as ledger:
        for record in records:
            ledger.append(str(workspace), vars(record))
    return ledger.run_id


def put(workspace, name, text):
    store, key = store_for(f"{workspace}/log/runs/{name}")
    with store.write(key) as file:
        file.write(text.encode() if isinstance(text, str) else text)


def put_cut_and_foreign(workspace):
    """Write a run with a cut line, one with lines that nobody can decode, and an empty file; two records are whole."""
    line = json.dumps(AS_JSON)
    records = [{**AS_JSON, field: 5} for field in ("task", "module", "unique_id", "outputs", "log_files")]
    records += [{"unique_id": 1}, {**AS_JSON, "seconds": "long"}, {**AS_JSON, "outputs": [{"url": 5}, "u"]}]
    foreign = "\n".join(["[1]", '"unique_id"', "7", *map(json.dumps, records), ""])
    put(workspace, "20260101T000000Z-a.jsonl", f"{foreign}{line}\n{line[:-20]}")
    put(workspace, "20260102T000000Z-a.jsonl", b"\xff\n" + b"[" * 100_000 + b"\n" + line.encode())
    put(workspace, "other.jsonl", "")
