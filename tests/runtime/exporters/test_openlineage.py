"""OpenLineage gets events that its specification allows: what it requires is there, and runs and files have one name.

Marquez, which stores them, needs Java and PostgreSQL, and is not tried here.
"""

from __future__ import annotations

import uuid
from datetime import datetime

import pytest

from kart_runtime.exporters.openlineage import OpenLineageExporter, dataset
from tests.runtime.exporters.pipeline import Compare, Rows, Train, run, send
from tests.runtime.exporters.receivers import receiver


@pytest.fixture
def marquez(monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        yield server


def of(task, events):
    return [event for event in events if event["job"]["name"] == f"{type(task).__module__}.{type(task).__name__}"]


def check(event):
    """Check what the specification requires of an event (OpenLineage.json: RunEvent, Run, Job, Dataset, facets)."""
    assert event["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert event["producer"] == "urn:x-kart:kart-runtime"
    assert event["schemaURL"].startswith("https://openlineage.io/spec/")
    assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
    assert event["job"]["namespace"]
    assert event["job"]["name"]
    for one in (*event["inputs"], *event["outputs"]):
        assert one["namespace"]
        assert one["name"]
    for facet in (*event["run"]["facets"].values(), *event["job"].get("facets", {}).values()):
        assert facet["_producer"].startswith("https://")
        assert facet["_schemaURL"].startswith("https://")


@pytest.mark.parametrize("is_live", [True, False])
def test_each_attempt_starts_and_ends_with_its_files(marquez, is_live):
    recorded = run(*(["openlineage"] if is_live else []))
    if not is_live:
        assert send(OpenLineageExporter()) == f"10 events to {marquez.url}"
    events = marquez.bodies
    assert {path for path, _, _ in marquez.requests} == {"/api/v1/lineage"}
    for event in events:
        check(event)
    whole = [event for event in events if event["job"]["name"] == "kart.run"]
    assert [event["eventType"] for event in whole] == ["START", "COMPLETE"]
    trains = of(Train(), events)
    assert [event["eventType"] for event in trains] == ["START", "COMPLETE"] * 2
    assert len({event["run"]["runId"] for event in trains}) == 2
    begin, end = trains[:2]
    assert begin["run"]["runId"] == end["run"]["runId"]
    assert begin["eventTime"] <= end["eventTime"]
    assert end["run"]["facets"]["parent"]["run"]["runId"] == whole[0]["run"]["runId"]
    (stored,) = of(Rows(), events)[1]["outputs"]
    assert stored["namespace"] == "file"
    assert stored["name"] == f"{recorded.header['folder']}/{Rows().output().path()}".replace("/./", "/")
    assert [(each["namespace"], each["name"]) for each in end["inputs"]] == [("file", stored["name"])]


def test_a_failure_has_its_message_and_traceback(marquez):
    run("openlineage", fails=True)
    _, end = of(Compare(), marquez.bodies)
    check(end)
    assert end["eventType"] == "FAIL"
    facet = end["run"]["facets"]["errorMessage"]
    assert facet["message"] == "ValueError: no <winner> & no loser"
    assert facet["programmingLanguage"] == "python"
    assert "Traceback" in facet["stackTrace"]
    assert marquez.bodies[-1]["eventType"] == "FAIL"


def test_sent_again_they_are_the_same_runs(marquez):
    run("openlineage")
    first = marquez.bodies
    marquez.requests.clear()
    send(OpenLineageExporter())
    assert marquez.bodies == first


def test_a_run_with_nothing_to_do_is_no_event(marquez):
    run()
    run("openlineage")
    assert marquez.requests == []


@pytest.mark.parametrize(
    ("url", "folder", "expected"),
    [
        ("outputs/a/T_1.pkl", "/srv/p", ("file", "/srv/p/outputs/a/T_1.pkl")),
        ("./outputs/../T_1.pkl", "/srv/p", ("file", "/srv/p/T_1.pkl")),
        ("/data/x.csv", "/srv/p", ("file", "/data/x.csv")),
        ("file:///data/x.csv", "/srv/p", ("file", "/data/x.csv")),
        ("s3://bucket/ws/T_1.pkl", "/srv/p", ("s3://bucket", "ws/T_1.pkl")),
        ("gs://bucket/T_1.pkl", "/srv/p", ("gs://bucket", "T_1.pkl")),
        ("postgresql://me:pw@db:5432/shop", "/srv/p", ("postgresql://db:5432", "shop")),
        ("outputs\\T_1.pkl", "C:\\p", ("file", "C:/p/outputs/T_1.pkl")),
    ],
)
def test_files_are_named_as_openlineage_names_them(url, folder, expected):
    assert dataset(url, folder) == expected
