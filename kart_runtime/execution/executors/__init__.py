"""Where do attempts run? In a `concurrent.futures.Executor`, chosen by name.

The loop of `schedule` needs only `submit` and a callback when a future is done, so the standard library's protocol is
enough. From the choice down to the other process::

    choice         Executors, make_executor      which one
    serial         SerialExecutor                in this thread
    dask_cluster   DaskExecutor                  on other machines
    processes      ProcessExecutor               the queue, and who runs what
    work           Work                          one call, and what becomes of its future
    kept           forget_kept_workers           workers that wait for the next build
    process        Worker                        one of them, seen from here
    worker         serve                         the same, seen from inside
    program_state  Settings, Choices             what it is told of this program
    wire           Vocabulary, loads             how anything gets there and back
    by_name        importable                    what need not be sent because it can be imported

and, where the other process is on a cluster, from `dask_cluster` to `dask_worker`, which draws that way itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kart_runtime.execution.executors.choice import KINDS, Executors, ThreadExecutor, make_executor, requested_executor
from kart_runtime.execution.executors.serial import SerialExecutor

if TYPE_CHECKING:
    from kart_runtime.execution.executors.dask.executor import DaskExecutor
    from kart_runtime.execution.executors.processes.idle_workers import forget_kept_workers
    from kart_runtime.execution.executors.processes.pool import ProcessExecutor

__all__ = [
    "KINDS",
    "DaskExecutor",
    "Executors",
    "ProcessExecutor",
    "SerialExecutor",
    "ThreadExecutor",
    "forget_kept_workers",
    "make_executor",
    "requested_executor",
]

_HOMES = {
    "DaskExecutor": "dask.executor",
    "ProcessExecutor": "processes.pool",
    "forget_kept_workers": "processes.idle_workers",
}
"""What is loaded when it is first used, since most builds need no other process."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
