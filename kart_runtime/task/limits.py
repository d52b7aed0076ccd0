"""Limits that a task class states as plain attributes, as `executor`: time, tries, the pause between them, memory.

A parameter of such a name is the user's own, as programs written for gokart may have one, and says nothing here. A
property may work the number out from the parameters of a task.
"""

from __future__ import annotations

import math
from typing import Any

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.task.base import TaskOnKart

NO_LIMIT = 0
"""What `timeout` says for no limit, as luigi's `worker_timeout` does."""


def timeout_of(task: luigi.Task, default: float | None = None) -> float | None:
    """Return the seconds that one try may take, None without a limit; raise `ConfigError` for what is no time.

    What the class says comes first: `timeout`, then luigi's `worker_timeout`; then the default.
    """
    stated, name = _stated(task, "timeout", None), "timeout"
    if stated is None and type(task).worker_timeout is not TaskOnKart.worker_timeout:
        stated, name = task.worker_timeout, "worker_timeout"
    stated = default if stated is None else stated
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated >= 0:
        raise ConfigError(
            f"'{name}' is {stated!r}",
            key=f"{task.get_task_family()}.{name}",
            expected="a number of seconds above 0, or 0 for no limit",
        )
    return None if stated == NO_LIMIT or math.isinf(stated) else stated


def may_have_timeout(cls: type[luigi.Task]) -> bool:
    """Return whether a class says anything about the time of its tasks."""
    others = (None, TaskOnKart.worker_timeout)
    return getattr(cls, "timeout", None) is not None or cls.worker_timeout not in others


def retries_of(task: luigi.Task, default: int = 0) -> int:
    """Return how many times a task is tried again after a failure; raise `ConfigError` for what is no such number."""
    retries = _stated(task, "retries", None)
    if retries is None:
        return default
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ConfigError(
            f"'retries' is {retries!r}",
            key=f"{task.get_task_family()}.retries",
            expected="a whole number of at least 0",
        )
    return retries


def retry_delay_of(task: luigi.Task, default: float = 0.0) -> float:
    """Return the seconds between a failed try and the next one; raise `ConfigError` for what is no time."""
    delay = _stated(task, "retry_delay", None)
    if delay is None:
        return default
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < math.inf:
        raise ConfigError(
            f"'retry_delay' is {delay!r}",
            key=f"{task.get_task_family()}.retry_delay",
            expected="a number of seconds of at least 0",
        )
    return delay


def memory_gb_of(task: luigi.Task) -> float | None:
    """Return the limit of a task's memory; raise `ConfigError` for what is no amount."""
    amount = _stated(task, "memory_gb", None)
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int | float) or not amount > 0):
        raise ConfigError(
            f"'memory_gb' is {amount!r}",
            key=f"{task.get_task_family()}.memory_gb",
            expected="a number of gigabytes above 0, or None",
        )
    return amount


def _stated(task: luigi.Task, name: str, default: Any) -> Any:
    """Return the attribute of a task's class, or its own if that is a property; `default` for a parameter."""
    value = getattr(type(task), name, default)
    if value is default or value is None or not isinstance(task, TaskOnKart):
        return default
    if isinstance(value, luigi.Parameter) or callable(value):
        return default
    return getattr(task, name) if hasattr(value, "__get__") else value
