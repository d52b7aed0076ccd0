"""Sending of a run that has ended, from its file: what an exporter would have received while it ran."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from kart_runtime.exporters.base import ATTEMPTS, Exporter
from kart_runtime.exporters.libraries import silent_libraries
from kart_runtime.exporters.record_values import without_secrets
from kart_runtime.history.runs import Run, RunRecord


def replay(run: Run, workspace: str, exporter: Exporter, on_progress: Callable[[int, int], None]) -> int:
    """Send a run to an exporter, and return the number of attempts; it is told of each, with how many there are.

    A run without an end has died, or goes on: it is sent as interrupted.
    """
    records = [record for record in run.records if record.state in ATTEMPTS]
    header = {"run": run.id, "started": _iso(run.started), "workspace": workspace, **run.header}
    header.pop("previous", None)  # it is known only when the first task has run
    end = run.end or {"state": "interrupted", "end": _iso(run.written)}
    with silent_libraries():
        exporter.begin(without_secrets(header))
        for number, record in enumerate(records, 1):
            exporter.task(without_secrets(record_as_json(record) | {"workspace": workspace}))
            on_progress(number, len(records))
        exporter.end(without_secrets({name: value for name, value in end.items() if name != "lines"}))  # of the file
    return len(records)


def record_as_json(record: RunRecord) -> dict[str, Any]:
    """Return a record as its line in the file of the run has it."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return plain | {"outputs": [output._asdict() for output in record.outputs]}


def _iso(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds or 0.0, UTC).isoformat(timespec="milliseconds")
