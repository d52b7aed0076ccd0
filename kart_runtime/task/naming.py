"""Names of tasks in messages, locks and tables."""

from __future__ import annotations

import luigi

from kart_runtime.task.base import TaskOnKart


def display_name(task: luigi.Task) -> str:
    """Return the name of a task for messages: family and the beginning of its id."""
    return f"{task.get_task_family()}[{short_id(task)}]"


def short_id(task: luigi.Task) -> str:
    """Return the beginning of a task's unique id, or the hash at the end of a plain luigi task's id."""
    return task.make_unique_id()[:8] if isinstance(task, TaskOnKart) else str(task.task_id[-8:])


def lock_name(task: luigi.Task) -> str:
    """Return what a task's lock is called."""
    unique = task.make_unique_id() if isinstance(task, TaskOnKart) else task.task_id
    return f"{type(task).__name__}_{unique}"


def name_of(task: luigi.Task) -> str:
    """Return what a task is called: its class name, or the family of a plain luigi task."""
    return type(task).__name__ if isinstance(task, TaskOnKart) else str(task.get_task_family())


def id_of(task: luigi.Task) -> str:
    """Return the unique id of a task, or the task id of a plain luigi task."""
    return task.make_unique_id() if isinstance(task, TaskOnKart) else str(task.task_id)
