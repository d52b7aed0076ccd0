"""Limits of single attempts, as far as their executor can keep them, and what is said where it cannot."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import luigi

from kart_runtime.errors import warn
from kart_runtime.execution.executors.base import CallLimits, TaskExecutor
from kart_runtime.execution.executors.serial import SerialExecutor
from kart_runtime.execution.memory import can_measure
from kart_runtime.task.limits import memory_gb_of
from kart_runtime.task.naming import display_name

logger = logging.getLogger(__name__)


class CallLimiter:
    """Maker of the limits of the attempts of one build. What cannot be kept is said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def of(
        self, task: luigi.Task, gpus: Sequence[str], executor: TaskExecutor, timeout: float | None = None
    ) -> CallLimits | None:
        """Return the limits of an attempt that an executor is given; None if there are none."""
        memory_gb = memory_gb_of(task)
        if memory_gb is None and not gpus and timeout is None:
            return None
        if not executor.has_own_processes:
            self._report(task, memory_gb, gpus, executor)
            return None if timeout is None else CallLimits(display_name(task), timeout=timeout)
        if memory_gb is not None and not can_measure():
            self._say(
                "memory_gb of %s is not enforced: on this system that needs psutil, which is not installed.", task
            )
            memory_gb = None
        return CallLimits(display_name(task), memory_gb, ",".join(gpus) or None, timeout=timeout)

    def _report(self, task: luigi.Task, memory_gb: float | None, gpus: Sequence[str], executor: TaskExecutor) -> None:
        kind = type(executor).__name__.removesuffix("Executor").lower()
        if memory_gb is not None:
            self._say(
                "memory_gb of %s is not enforced with executor '%s', only with 'processes' (a class can say so: "
                "executor = 'processes').",
                task,
                {"thread": "threads"}.get(kind, kind),
            )
        if gpus and not isinstance(executor, SerialExecutor):
            self._say(
                "%s sees all GPUs: tasks in threads share one environment. Use executor 'processes' to give each task "
                "GPUs of its own.",
                task,
            )

    def _say(self, text: str, task: luigi.Task, *details: str) -> None:
        if text not in self._said:
            self._said.add(text)
            warn(logger, text, task.get_task_family(), *details)
