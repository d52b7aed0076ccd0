"""Recorder of what the attempts of a build wrote, and from what: for the history, and for the next plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import luigi

from kart_runtime.errors import described
from kart_runtime.errors.secrets import masked, note_secret
from kart_runtime.execution.attempt import AttemptState, Outcome, iso_time
from kart_runtime.history.ledger import Ledger
from kart_runtime.history.losses import tell
from kart_runtime.history.records import REPLACING
from kart_runtime.history.task_record import TaskRecord
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Decision
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.identity import dependencies
from kart_runtime.task.run_metadata import recorded_params

_LONGEST_TRACE = 16_384
"""Characters of a traceback that are recorded, from its end."""


class Recorder:
    """Writes the records of one build, and adds them to those that its tasks are compared with."""

    def __init__(self, ledger: Ledger, changes: Changes) -> None:
        self._ledger = ledger
        self._changes = changes

    def record(self, task: luigi.Task, outcome: Outcome, decision: Decision | None, ready_at: float = 0.0) -> None:
        """Write how an attempt ended, of a task that was ready at a time; one of luigi's has no workspace for it."""
        if outcome.secrets:
            note_secret(outcome.secrets)
        for loss in outcome.losses:
            tell(loss)
        error, kart = outcome.error, kart_task(task)
        if kart is None:
            return
        record = {
            "task": type(kart).__name__,
            "module": type(kart).__module__,
            "unique_id": kart.make_unique_id(),
            "state": outcome.state,
            "started": outcome.started,
            "ended": iso_time(outcome.ended) if outcome.ended else "",
            "waited": outcome.began - ready_at if 0.0 < ready_at < outcome.began else 0.0,
            "seconds": outcome.seconds,
            "cpu": outcome.cpu,
            "worker": outcome.worker,
            "seed": outcome.seed,
            "params": recorded_params(kart),
            "outputs": outcome.stored,
            "inputs": outcome.inputs,
            "log_files": outcome.log_files,
            "peak_mb": outcome.peak_mb,
            "metrics": dict(outcome.metrics) if outcome.metrics else None,
            "series": outcome.series,
            "logged": outcome.logged,
            "timeout": outcome.timeout,
            "trace": masked(outcome.trace)[-_LONGEST_TRACE:] if outcome.trace else "",
            "error": described(error) if error is not None else "",
            "reason": decision.text if decision is not None else "",
            "origin": self._changes.origin(type(kart)),
            "code": self._changes.code(type(kart)).fingerprint,
        }
        if self._ledger.listeners:
            record["requires"] = [each.make_unique_id() for each in map(kart_task, dependencies(kart)) if each]
        self._ledger.append(kart.workspace_directory, record)
        if outcome.state is AttemptState.DONE:
            self._index(kart, outcome, record)
        else:
            interrupted = self._changes.records(kart.workspace_directory).interrupted
            interrupted.discard((record["unique_id"], record["module"]))

    def announce(self, task: luigi.Task) -> bool:
        """Record that the recorded outputs of a task are being replaced: this process may die before it says how.

        Return whether there are any.
        """
        before, kart = self._changes.record(task), kart_task(task)
        if before is None or kart is None:
            return False
        values = {"state": REPLACING, "started": "", "seconds": 0.0, "seed": None, "params": {}, "log_files": ()}
        rest = {"outputs": (), "inputs": (), "error": "", "reason": ""}
        self._ledger.append(kart.workspace_directory, before._asdict() | values | rest)
        self._changes.records(kart.workspace_directory).interrupted.add((before.unique_id, before.module))
        return True

    def _index(self, task: TaskOnKart[Any], outcome: Outcome, record: Mapping[str, Any]) -> None:
        """Add what an attempt has written to the records that tasks are compared with."""
        ledger, changes, code = self._ledger, self._changes, record["code"]
        records = changes.records(task.workspace_directory)
        if records.add_definitions(code, changes.code(type(task)).definitions):
            ledger.append_definitions(task.workspace_directory, code, records.definitions(code))
        names = (record["unique_id"], record["module"], record["task"], record["origin"])
        times = (outcome.started, record["ended"])
        records.add(TaskRecord(*names, code, ledger.run_id, outcome.stored, dict(outcome.inputs), *times))
