"""Executors: where attempts run, chosen by name.

`choice` has `Executors`, the ones of a build; `base` the interface that the scheduler uses. An executor that runs calls
in another process pickles them (`pickling`), sends the program's state first (`program_state`), and turns the answers
into the results of futures (`calls`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kart_runtime.execution.executors.choice import KINDS, Executors, make_executor, requested_executor
from kart_runtime.execution.executors.serial import SerialExecutor
from kart_runtime.execution.executors.threads import ThreadExecutor

if TYPE_CHECKING:
    from kart_runtime.execution.executors.dask.executor import DaskExecutor
    from kart_runtime.execution.executors.processes.idle_workers import shutdown_idle_workers
    from kart_runtime.execution.executors.processes.pool import ProcessExecutor

__all__ = [
    "KINDS",
    "DaskExecutor",
    "Executors",
    "ProcessExecutor",
    "SerialExecutor",
    "ThreadExecutor",
    "make_executor",
    "requested_executor",
    "shutdown_idle_workers",
]

_HOMES = {
    "DaskExecutor": "dask.executor",
    "ProcessExecutor": "processes.pool",
    "shutdown_idle_workers": "processes.idle_workers",
}
"""Loaded when first used, since most builds need no other process."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
