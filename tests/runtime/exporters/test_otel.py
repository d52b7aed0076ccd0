"""OpenTelemetry gets a trace a run: a span an attempt, linked to those upstream, the same however often it is sent."""

from __future__ import annotations

import hashlib

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kart_runtime.exporters import otel
from kart_runtime.exporters.otel import OtelExporter
from kart_runtime.history.run_header import RunInfo
from tests.runtime.exporters.pipeline import Compare, Rows, Train, run, send
from tests.runtime.exporters.receivers import receiver


@pytest.fixture
def collector(monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server


def spans(server):
    """Return the received spans: those of the tasks by unique id, that of the run by ""."""
    found = {}
    for path, headers, body in server.requests:
        assert (path, headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            assert values(resource.resource)["service.name"] == "kart"
            for scope in resource.scope_spans:
                found |= {values(span).get("kart.unique_id", ""): span for span in scope.spans}
    return found


def values(span):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.mark.parametrize("is_live", [True, False])
def test_a_span_for_each_attempt_with_links_upstream(collector, is_live):
    recorded = run(*(["otel"] if is_live else []), info=RunInfo(env="dev", overrides={"a.Train.depth": "3"}))
    if not is_live:
        assert send(OtelExporter()).startswith("5 spans of the trace ")
    found = spans(collector)
    ids = {task: task.make_unique_id() for task in (Rows(), Train(depth=2), Train(depth=3), Compare())}
    assert set(found) == {"", *ids.values()}
    root = found[""]
    assert root.parent_span_id == b""
    assert root.name == "kart run"
    assert values(root) | {
        "kart.run_id": recorded.id,
        "kart.env": "dev",
        "kart.overrides.a.Train.depth": "3",
        "kart.state": "done",
        "kart.ran": 4,
    } == values(root)
    for unique_id in ids.values():
        span = found[unique_id]
        assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
        assert span.status.code == span.status.STATUS_CODE_OK
    links = {task: {link.span_id for link in found[unique_id].links} for task, unique_id in ids.items()}
    assert links[Rows()] == set()
    assert links[Train(depth=2)] == {found[ids[Rows()]].span_id}
    assert links[Compare()] == {found[ids[Train(depth=depth)]].span_id for depth in (2, 3)}
    train = values(found[ids[Train(depth=3)]])
    assert (train["kart.params.depth"], train["kart.metrics.auc"], train["kart.state"]) == ("3", 0.8, "done")


def test_a_failure_is_an_error_with_its_traceback(collector):
    run("otel", fails=True)
    found = spans(collector)
    span = found[Compare(fails=True).make_unique_id()]
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert span.status.message == "ValueError: no <winner> & no loser"
    (event,) = span.events
    assert values(event)["exception.type"] == "ValueError"
    assert "Traceback" in values(event)["exception.stacktrace"]
    assert (found[""].status.code, values(found[""])["kart.failed"]) == (span.status.STATUS_CODE_ERROR, 1)


def test_sent_again_it_is_the_same_trace(collector):
    run("otel")
    first = spans(collector)
    collector.requests.clear()
    send(OtelExporter())
    assert {key: span.SerializeToString(deterministic=True) for key, span in spans(collector).items()} == {
        key: span.SerializeToString(deterministic=True) for key, span in first.items()
    }


def test_many_spans_are_few_requests(collector, monkeypatch):
    monkeypatch.setattr(otel, "_BATCH", 2)
    run("otel")
    assert len(collector.requests) == 3
    assert len(spans(collector)) == 5


def test_the_tracing_of_the_program_stays_its_own(collector):
    before = trace.get_tracer_provider()
    run("otel")
    assert trace.get_tracer_provider() is before


def test_a_run_with_nothing_to_do_is_no_trace(collector):
    run()
    run("otel")
    assert collector.requests == []
    assert send(OtelExporter()) == "nothing to otel, because no task of this run has run"


def test_a_large_run_is_sent_in_seconds(collector):
    """1,000 attempts: two requests, and little time."""
    exporter = OtelExporter()
    exporter.begin({"run": "20261126T233340Z-d388f480", "started": "2026-11-26T23:33:40+00:00"})
    ids = [hashlib.md5(str(number).encode()).hexdigest() for number in range(1000)]
    for number, unique_id in enumerate(ids):
        exporter.task(
            {
                "task": "Part",
                "module": "a.b",
                "unique_id": unique_id,
                "state": "done",
                "started": "2026-11-26T23:33:41+00:00",
                "seconds": 1.5,  # as records of earlier versions, without an end
                "requires": ids[max(number - 3, 0) : number],
            }
        )
    exporter.end({"state": "done", "end": "2026-11-26T23:34:00+00:00"})
    assert len(collector.requests) == 2
    assert len(spans(collector)) == 1001
