"""Tasks that succeeded and failed in a run of luigi's worker."""

from __future__ import annotations

import os
from collections.abc import Iterable

import luigi

from kart_runtime.errors.secrets import masked
from kart_runtime.task.base import TaskOnKart


class EventAggregator:
    """Collector of the tasks that succeeded and failed, from luigi's events.

    A context manager: it registers its handlers on entry (or by `set_handlers`) and removes them at the end.
    """

    def __init__(self) -> None:
        self._succeeded: dict[str, None] = {}
        self._failed: dict[str, str] = {}
        self._handlers = ((luigi.Event.SUCCESS, self._on_success), (luigi.Event.FAILURE, self._on_failure))

    def set_handlers(self) -> None:
        """Register the handlers."""
        for event, handler in self._handlers:
            luigi.Task.event_handler(event)(handler)

    def remove_handlers(self) -> None:
        """Remove the handlers; the collected tasks stay."""
        for event, handler in self._handlers:
            luigi.Task._event_callbacks.get(luigi.Task, {}).get(event, set()).discard(handler)

    def __enter__(self) -> EventAggregator:
        self.set_handlers()
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove_handlers()

    def add(self, succeeded: Iterable[luigi.Task] = (), failed: Iterable[luigi.Task] = ()) -> None:
        """Add tasks that ran in other processes, whose events do not arrive here.

        Parameters
        ----------
        succeeded, failed
            The tasks; those already collected are ignored.
        """
        for task in succeeded:
            self._on_success(task)
        for task in failed:
            self._failed.setdefault(_name(task), "see the log")

    def get_summary(self) -> str:
        """Return the number of succeeded and failed tasks in one line."""
        return f"Success: {len(self._succeeded)}; Failure: {len(self._failed)}"

    def get_event_list(self) -> str:
        """Return the tasks, failures first with their exceptions."""
        parts = []
        if self._failed:
            lines = [f"Task: {name}; Exception: {error}" for name, error in self._failed.items()]
            parts += ["---- Failure Tasks ----", *lines]
        if self._succeeded:
            parts += ["---- Success Tasks ----", *self._succeeded]
        return os.linesep.join(parts) or "Tasks were not executed."

    def _on_success(self, task: luigi.Task) -> None:
        self._failed.pop(_name(task), None)  # a retry
        self._succeeded[_name(task)] = None

    def _on_failure(self, task: luigi.Task, error: BaseException) -> None:
        self._failed[_name(task)] = masked(str(error))


def _name(task: luigi.Task) -> str:
    unique_id = task.make_unique_id() if isinstance(task, TaskOnKart) else task.task_id
    return f"{type(task).__name__}:[{unique_id}]"
