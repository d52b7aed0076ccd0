"""Limits that a task class states in plain attributes: `retries` and `memory_gb`.

A parameter of such a name is the user's own, as programs written for gokart may have one, and says nothing here. A
property may work the number out from the parameters of a task.
"""

from __future__ import annotations

from typing import Any

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.task.base import TaskOnKart


def retries_of(task: luigi.Task) -> int:
    """Return how many times a task is tried again after a failure; raise `ConfigError` for what is no such number."""
    retries = _stated(task, "retries", 0)
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ConfigError(
            f"'retries' is {retries!r}",
            key=f"{task.get_task_family()}.retries",
            expected="a whole number of at least 0",
        )
    return retries


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
