"""Runs, attempts and metrics as flat dictionaries: rows of frames, of CSV and of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kart_runtime.history.index import RunRow
from kart_runtime.history.runs import RunRecord
from kart_runtime.history.tables import iso

COUNTS = ("ran", "failed", "complete", "not_needed", "missing", "not_started")


def run_row(run: RunRow) -> dict[str, Any]:
    """Return a run as a row."""
    return {
        "run": run.id,
        "started": iso(run.started),
        "seconds": round(run.seconds, 3),
        "state": run.state,
        **{name: run.counts.get(name) for name in COUNTS},
        "tasks": run.tasks,
        "roots": list(run.root_names),
        "label": run.label,
        "env": run.env,
        "host": run.host,
        "git": run.git.get("commit", ""),
        "git_dirty": run.git.get("dirty"),
        "overrides": dict(run.overrides),
        "settings": dict(run.settings),
    }


def attempt_row(record: RunRecord) -> dict[str, Any]:
    """Return an attempt as a row."""
    return {
        "run": record.run_id,
        "task": record.task,
        "module": record.module,
        "unique_id": record.unique_id,
        "state": record.state,
        "started": record.started,
        "ended": record.ended,
        "seconds": record.seconds,
        "cpu": record.cpu,
        "waited": record.waited,
        "peak_mb": record.peak_mb,
        "worker": record.worker,
        "seed": record.seed,
        "reason": record.reason,
        "error": record.error,
        "code": record.code,
        "params": dict(record.params),
        "metrics": dict(record.metrics),
        "outputs": [output.url for output in record.outputs],
        "timeout": record.timeout,
    }


def metric_rows(records: Iterable[RunRecord]) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric of each attempt."""
    for record in records:
        for name, value in record.metrics.items():
            yield {
                "task": record.task,
                "unique_id": record.unique_id,
                "run": record.run_id,
                "started": record.started,
                "metric": name,
                "value": float(value),  # "nan", "inf" and "-inf" as well
            }


def flat(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with a column for each entry of a map, `params.max_depth`, and lists as text; all have the same."""
    flattened = [dict(_flat(row)) for row in rows]
    names = dict.fromkeys(name for row in flattened for name in row)
    return [{name: row.get(name) for name in names} for row in flattened]


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", each) for key, each in value.items())
        else:
            yield name, " ".join(map(str, value)) if isinstance(value, list | tuple) else value
