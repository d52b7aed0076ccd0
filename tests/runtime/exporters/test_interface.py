"""What programs build on does not change: names may be added to events and records, and none goes or changes."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass

import luigi
import pytest

import kart_runtime
from kart_runtime import TaskOnKart, build
from kart_runtime.exporters import replay
from kart_runtime.history.runs import list_runs, read_runs
from kart_runtime.schedule.events import Summary
from tests.runtime.exporters.test_sending import Listening, own

EVENTS = {
    "PlanMade": ["plan"],
    "TaskStarted": ["task", "attempt", "tries", "at"],
    "TaskProgress": ["task", "done", "text", "at"],
    "TaskFinished": ["task", "outcome", "attempt", "tries", "is_retried", "at"],
    "BuildFinished": ["summary"],
}
OUTCOME = [
    "state",
    "started",
    "seconds",
    "seed",
    "stored",
    "error",
    "trace",
    "peak_mb",
    "began",
    "ended",
    "cpu",
    "worker",
    "metrics",
    "series",
    "logged",
]
SUMMARY = [
    "total",
    "ran",
    "complete",
    "not_needed",
    "failed",
    "not_started",
    "missing",
    "seconds",
    "interrupted",
    "tries",
    "published",
    "unpublished",
    "metrics",
    "run_id",
    "ok",
]

HEADER = {
    "run": str,
    "format": int,
    "started": str,
    "host": str,
    "pid": int,
    "command": list,
    "versions": dict,
    "workspace": str,
    "folder": str,
    "env": str,
    "roots": list,
    "label": str,
    "overrides": dict,
    "settings": dict,
}
RECORD = {
    "task": str,
    "module": str,
    "unique_id": str,
    "state": str,
    "started": str,
    "ended": str,
    "seconds": float,
    "waited": float,
    "cpu": float,
    "worker": str,
    "seed": int,
    "params": dict,
    "outputs": list,
    "inputs": dict,
    "log_files": list,
    "error": str,
    "reason": str,
    "origin": str,
    "code": str,
    "run_id": str,
    "requires": list,
    "workspace": str,
    "metrics": dict,
}
END = {
    "run_id": str,
    "end": str,
    "state": str,
    "seconds": float,
    "total": int,
    "ran": int,
    "complete": int,
    "not_needed": int,
    "failed": int,
    "missing": int,
    "not_started": int,
}


class Data(TaskOnKart[int]):
    def run(self):
        self.dump(1)


class Model(TaskOnKart[int]):
    depth: int = luigi.IntParameter(default=2)

    def requires(self):
        return Data()

    def run(self):
        self.log_metric("auc", self.load() / 2)
        self.dump(self.depth)


@pytest.mark.parametrize("name", EVENTS)
def test_events_have_their_fields_in_their_order(name):
    cls = getattr(kart_runtime, name)
    assert is_dataclass(cls)
    assert [each.name for each in fields(cls)][: len(EVENTS[name])] == EVENTS[name]
    added = fields(cls)[len(EVENTS[name]) :]
    assert all(each.default is not MISSING or each.default_factory is not MISSING for each in added)


def test_events_come_in_order_and_say_how_it_ended():
    events = []
    build(Model(), on_event=events.append)
    assert [type(event).__name__ for event in events] == [
        "PlanMade",
        *["TaskStarted", "TaskFinished"] * 2,
        "BuildFinished",
    ]
    assert list(events[0].plan.tasks) == [Data(), Model()]
    outcome, summary = events[4].outcome, events[-1].summary
    assert [name for name in OUTCOME if not hasattr(outcome, name)] == []
    assert (outcome.state, dict(outcome.metrics)) == ("done", {"auc": 0.5})
    assert [name for name in SUMMARY if not hasattr(summary, name)] == []
    assert isinstance(summary, Summary)
    assert summary.metrics[Model()] == {"auc": 0.5}


def test_exporters_get_plain_values_with_their_keys_live_and_afterwards():
    Listening.got = []
    build(Model(), export=[own(Listening)])
    live, Listening.got = Listening.got, []
    (run,) = read_runs("resources/", list_runs("resources/"))
    replay.replay(run, "./resources/", Listening(), lambda number, total: None)
    for got in (live, Listening.got):
        assert [kind for kind, _ in got] == ["begin", "task", "task", "end"]
        for (_, values), expected in zip(got, [HEADER, {**RECORD, "metrics": dict}, RECORD, END], strict=True):
            kinds = {key: type(values.get(key)) for key in expected if key in values or key != "metrics"}
            assert kinds == {key: expected[key] for key in kinds}
        assert got[2][1]["requires"] == [Data().make_unique_id()]
        assert got[2][1]["params"] == {"depth": "2"}
        assert set(got[2][1]["outputs"][0]) == {"url", "size", "checksum", "version"}
    assert live[0] == Listening.got[0]
    assert live[3] == Listening.got[3]
    for (_, first), (_, second) in zip(live[1:3], Listening.got[1:3], strict=True):
        assert {key: second[key] for key in first} == first
