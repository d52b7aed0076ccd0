"""Test run of a pipeline: every task runs once more and stores nothing, for ``--test-run-pandas``."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import luigi

from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart

_log = logging.getLogger(__name__)

# pytest collects by name; these names are part of luigi's command line.
__test__ = False


class test_run(TaskOnKart[Any]):  # noqa: N801 - luigi's command line makes --test-run-pandas of it
    """Options of the test run: ``--test-run-pandas`` and ``--test-run-namespace``."""

    __test__ = False

    pandas = luigi.BoolParameter(default=False, description="Run every task once more, storing nothing.")
    namespace = luigi.OptionalStrParameter(
        default=None, description='Only tasks of this namespace; "__not_user_specified" for those without one.'
    )


@dataclass(frozen=True)
class TaskCheck:
    """Result of one task: `error` is what it raised, or None."""

    task: TaskOnKart[Any]
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Return whether the task finished."""
        return self.error is None

    def format(self) -> str:
        """Return the result in one line."""
        task = self.task
        line = (
            f"status={'OK' if self.ok else 'NG'}; namespace={task.task_namespace}; "
            f"name={type(task).__name__}; id={task.make_unique_id()};"
        )
        return line if self.error is None else f"{line} message={type(self.error)}: {self.error}"


def check_tasks(root: luigi.Task, namespace: str | None = None) -> list[TaskCheck]:
    """Run a task and its upstream once each, without storing, and log the results; None is every namespace."""
    tasks = [task for task in _tasks(root) if namespace is None or task.task_namespace == namespace]
    checks = [TaskCheck(task, _error_of(task)) for task in tasks]
    _log.info("Results of the test run:\n%s", "\n".join(check.format() for check in checks))
    return checks


def _tasks(root: luigi.Task) -> Iterator[TaskOnKart[Any]]:
    queue, seen = deque([root]), {root}
    while queue:
        task = queue.popleft()
        if isinstance(task, TaskOnKart) and callable(task.run):
            yield task
        for upstream in identity.dependencies(task):
            if upstream not in seen:
                seen.add(upstream)
                queue.append(upstream)


def _error_of(task: TaskOnKart[Any]) -> Exception | None:
    try:
        with _storing_nothing(task):
            _run_to_end(task)
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its result
        return error
    return None


@contextmanager
def _storing_nothing(task: TaskOnKart[Any]) -> Iterator[None]:
    vars(task)["dump"] = _ignore
    try:
        yield
    finally:
        del vars(task)["dump"]


def _ignore(*_args: Any, **_kwargs: Any) -> None:
    """Replace `dump`."""


def _run_to_end(task: TaskOnKart[Any]) -> None:
    running: Any = task.run()
    if not isinstance(running, Generator):
        return
    send = None
    while True:
        try:
            yielded = running.send(send)
        except StopIteration:
            return
        send = yielded.paths if isinstance(yielded, luigi.DynamicRequirements) else luigi.task.getpaths(yielded)
