"""Metrics of the tasks of a run: those of this run, or, of a task that was complete, those of its newest record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import luigi

from kart_runtime.history.runs import list_runs, read_runs, runs_folder
from kart_runtime.plan.decisions import Action, Plan
from kart_runtime.schedule.events import Summary
from kart_runtime.schedule.results import Metrics
from kart_runtime.storage.stores import is_remote
from kart_runtime.task.base import TaskOnKart, kart_task

if TYPE_CHECKING:
    from kart_runtime.history.index import Index

_MOST_RUNS = 3
"""Runs to read from a remote store; what a task has measured is not worth more."""


class RecordedMetrics:
    """Metrics of tasks after a run that went well; what cannot be read is left out."""

    def __init__(self, plan: Plan, summary: Summary) -> None:
        self._plan, self._summary = plan, summary
        self._opened = ExitStack()
        self._indexes: dict[str, Index] = {}
        self._runs: dict[tuple[str, str], Mapping[tuple[str, str], Metrics]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def __call__(self, task: luigi.Task) -> Metrics:
        """Return the metrics of a task."""
        kart, decision = kart_task(task), self._plan.decision_by_task.get(task)
        if task in self._summary.metrics or kart is None or decision is None or decision.action is Action.RUN:
            return self._summary.metrics.get(task, {})
        workspace = kart.workspace_directory
        try:
            return (self._in_run if is_remote(runs_folder(workspace)[0]) else self._in_index)(kart, workspace)
        except Exception:  # noqa: BLE001 - all has gone well, and this only tells; sqlite's errors are no OSError
            return {}

    def _in_index(self, task: TaskOnKart[Any], workspace: str) -> Metrics:
        if workspace not in self._indexes:
            from kart_runtime.history.index import open_index  # with sqlite, which other runs do not need

            self._indexes[workspace] = self._opened.enter_context(open_index(workspace))
        record = self._indexes[workspace].newest(task.make_unique_id(), type(task).__module__)
        return {} if record is None else record.metrics

    def _in_run(self, task: TaskOnKart[Any], workspace: str) -> Metrics:
        """Return what the run has recorded that made the output: its index may have to read all runs first."""
        newest = self._plan.changes.record(task)
        key = (workspace, newest.run_id if newest is not None else "")
        if not key[1] or (key not in self._runs and len(self._runs) >= _MOST_RUNS):
            return {}
        if key not in self._runs:
            files = [each for each in list_runs(workspace) if each.id == key[1]]
            self._runs[key] = {
                (each.unique_id, each.module): each.metrics
                for run in read_runs(workspace, files)
                for each in run.records
            }
        return self._runs[key].get((task.make_unique_id(), type(task).__module__), {})
