"""Trials of a search in the files of runs: each is a line of its own, by which a search resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kart_runtime.history.index import Index
from kart_runtime.history.runs import Run, runs_folder, text_of

_BEGINNING = '{"trial":'


@dataclass(frozen=True)
class KnownTrial:
    """Trial of an earlier run.

    Attributes
    ----------
    values
        Full key to value, as text.
    task
        Unique id of its task.
    state
        "done" or "failed".
    metrics
        What the task measured.
    """

    values: Mapping[str, str]
    task: str
    state: str
    metrics: Mapping[str, float | str] = field(default_factory=dict)


def trial_line(values: Mapping[str, str], task: str, state: str, metrics: Mapping[str, float | str]) -> dict[str, Any]:
    """Return the line of a trial that has ended."""
    return {"trial": dict(values), "task_id": task, "state": state, "metrics": dict(metrics)}


def known_trials(index: Index, workspace: str, label: str) -> list[KnownTrial]:
    """Return the trials of the runs with a label, oldest first."""
    rows = index.runs(label=label)
    return [trial for row in reversed(rows) for trial in _trials(index.run(row.id), workspace)]


def _trials(run: Run, workspace: str) -> Iterator[KnownTrial]:
    store, _ = runs_folder(workspace)
    for stat in run.files:
        for line in text_of(store, stat.key).splitlines():
            if line.startswith(_BEGINNING):
                yield from _trial(line)


def _trial(line: str) -> Iterator[KnownTrial]:
    """Yield the trial of a line, unless it is cut or malformed."""
    try:
        values = json.loads(line)
        texts = {str(key): str(text) for key, text in values["trial"].items()}
        yield KnownTrial(texts, values["task_id"], values["state"], dict(values.get("metrics", {})))
    except (ValueError, KeyError, TypeError, AttributeError):
        return
