"""Exporter to OpenTelemetry: a trace for the run, with a span for each attempt, linked to those directly upstream."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from kart_runtime.exporters.libraries import check_receiver, silent_libraries
from kart_runtime.exporters.record_values import milliseconds, start_and_end

_BATCH = 512
"""Spans of one request."""

_LONGEST = 4000
"""Characters of an attribute."""

_FIELDS = ("module", "state", "reason", "worker", "waited", "cpu", "peak_mb", "seed", "code")


class OtelExporter:
    """Sender of a run as a trace by OTLP over HTTP to `$OTEL_EXPORTER_OTLP_ENDPOINT`.

    It has a provider of its own, so the program's own tracing stays as it is. The ids of the trace and of its spans
    follow from the run, so what is sent twice is the same trace.
    """

    def __init__(self) -> None:
        traces = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        self._url = traces or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
        self._tracer: Any = None
        self._exporter: Any = None
        self._ids: Any = None
        self.begin({})

    def begin(self, run: Mapping[str, Any]) -> None:
        """Keep the header of the run, whose span begins with its first attempt."""
        self._run = run
        self._root: Any = None
        self._contexts: dict[str, Any] = {}
        self._ended: list[Any] = []
        self._number = 0

    def task(self, record: Mapping[str, Any]) -> None:
        """Add the span of an attempt; a full batch is sent."""
        self._begin_trace()
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context

        begin, end = start_and_end(record)
        upstream = [self._contexts[each] for each in record.get("requires") or () if each in self._contexts]
        self._ids.name = f"{record['unique_id']} {record['started']}"
        span = self._tracer.start_span(
            record["task"],
            set_span_in_context(self._root),
            SpanKind.INTERNAL,
            _attributes(record),
            [Link(context) for context in upstream],
            begin * 1_000_000,
        )
        if record["state"] == "failed":
            error = str(record.get("error", ""))
            kind, _, message = error.partition(": ")
            details = {
                "exception.type": kind,
                "exception.message": message,
                "exception.stacktrace": record.get("trace", ""),
            }
            span.add_event("exception", details, end * 1_000_000)
            span.set_status(Status(StatusCode.ERROR, error[:_LONGEST]))
        else:
            span.set_status(Status(StatusCode.OK))
            self._contexts[record["unique_id"]] = span.get_span_context()
        span.end(end * 1_000_000)
        if len(self._ended) >= _BATCH:
            self._flush()

    def end(self, end: Mapping[str, Any]) -> None:
        """End the span of the run, and send what is left."""
        if self._root is None and end.get("state") == "done":
            return  # nothing was to run
        root = self._begin_trace()
        from opentelemetry.trace import Status, StatusCode

        state = str(end.get("state", ""))
        counts = {key: end[key] for key in ("ran", "complete", "failed", "missing", "not_started") if key in end}
        git = {f"git.{key}": value for key, value in (end.get("git") or {}).items()}
        root.set_attributes({f"kart.{key}": value for key, value in {"state": state, **counts, **git}.items()})
        root.set_status(
            Status(StatusCode.OK if state == "done" else StatusCode.ERROR, None if state == "done" else state)
        )
        finished = milliseconds(end.get("end"))
        root.end(finished * 1_000_000 if finished else None)
        self._flush()

    def sent(self) -> str:
        """Return what was sent."""
        if self._root is None:
            return "nothing to otel, because no task of this run has run"
        trace = f"{self._root.get_span_context().trace_id:032x}"
        return f"{self._number} spans of the trace {trace} to {self._url}"

    def _begin_trace(self) -> Any:
        """Return the span of the run; begin it first."""
        if self._root is not None:
            return self._root
        tracer = self._tracer or self._make_tracer()
        from opentelemetry.context import Context

        run = self._run
        begin = milliseconds(run.get("started"))
        self._ids.run, self._ids.name = str(run["run"]), ""
        texts = {f"kart.{key}": str(run[key]) for key in ("env", "label", "workspace", "folder") if run.get(key)}
        texts |= {"kart.run_id": str(run["run"]), "kart.host": str(run.get("host", ""))}
        texts |= {"kart.command": " ".join(map(str, run.get("command") or ()))[:_LONGEST]}
        texts |= {f"kart.overrides.{key}": str(value)[:_LONGEST] for key, value in (run.get("overrides") or {}).items()}
        started = begin * 1_000_000 if begin else None
        self._root = tracer.start_span("kart run", Context(), attributes=texts, start_time=started)
        return self._root

    def _make_tracer(self) -> Any:
        """Make a provider whose spans are gathered here: a batch is sent from this thread, by nobody else."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        class Ids(IdGenerator):
            """Ids that follow from the run and the attempt."""

            run = name = ""

            def generate_trace_id(self) -> int:
                return _id_of(self.run, 16)

            def generate_span_id(self) -> int:
                return _id_of(f"{self.run} {self.name}", 8)

        ended = self._ended

        class Gathering(SpanProcessor):
            """Processor that keeps the spans that have ended."""

            def on_end(self, span: ReadableSpan) -> None:
                ended.append(span)

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "kart"}
        provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False, id_generator=Ids())
        provider.add_span_processor(Gathering())
        self._ids, self._tracer = provider.id_generator, provider.get_tracer("kart_runtime")
        self._exporter = OTLPSpanExporter()
        return self._tracer

    def _flush(self) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        check_receiver(self._url)
        while self._ended:
            batch = self._ended[:_BATCH]
            with silent_libraries() as said:
                result = self._exporter.export(batch)
            if result is not SpanExportResult.SUCCESS:
                why = f": {said[-1]}" if said else ""
                raise ConnectionError(f"{self._url} did not take {len(batch)} spans{why}")
            self._number += len(batch)
            del self._ended[: len(batch)]


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    values = {f"kart.{key}": record[key] for key in _FIELDS if record.get(key) not in (None, "")}
    values |= {"kart.task": record["task"], "kart.unique_id": record["unique_id"]}
    values |= {f"kart.params.{key}": value for key, value in (record.get("params") or {}).items()}
    values |= {f"kart.metrics.{key}": value for key, value in (record.get("metrics") or {}).items()}
    values["kart.outputs"] = [output["url"] for output in record.get("outputs") or ()]
    return {key: value[:_LONGEST] if isinstance(value, str) else value for key, value in values.items()}


def _id_of(text: str, size: int) -> int:
    """Return an id of some bytes that follows from a text, and is not 0."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1
