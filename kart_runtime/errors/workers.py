"""Errors of worker processes."""

from __future__ import annotations

import signal

from kart_runtime.errors.base import KartError


class ExecutorError(KartError):
    """Base class of failures of worker processes; the task itself is not at fault."""


class WorkerDied(ExecutorError, RuntimeError):
    """A worker process died while running a task.

    Parameters
    ----------
    pid
        Its process id.
    exit_code
        Exit code as in `subprocess`: negative for the signal that killed it. None if unknown.
    task
        The task, as text.
    """

    def __init__(self, pid: int, exit_code: int | None, task: str = "") -> None:
        self.pid, self.exit_code, self.task = pid, exit_code, task
        running = f" while running {task}" if task else ""
        super().__init__(f"Worker process {pid} {_ending(exit_code)}{running}.")

    def running(self, task: str) -> WorkerDied:
        """Return this error with the name of the task in its message."""
        return WorkerDied(self.pid, self.exit_code, task)


_HINTS = {"SIGKILL": " (possibly out of memory)", "SIGSEGV": " (a fault in compiled code)"}
"""By name, because Windows has no SIGKILL."""


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "closed its connection"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-exit_code}"
    return f"was killed by {name}{_HINTS.get(name, '')}"


class WorkersKilled(ExecutorError, RuntimeError):
    """Several workers of a Dask cluster died running one task, so it is not retried.

    Parameters
    ----------
    workers
        Number of workers.
    last
        Address of the last one.
    task
        The task, as text.
    """

    def __init__(self, workers: int, last: str, task: str = "a task") -> None:
        self.workers, self.last, self.task = workers, last, task
        super().__init__(
            f"Gave up on {task}: {workers} Dask worker{'s' if workers > 1 else ''} died running it, most recently "
            f"{last}. Check their logs; usually the task needs more memory than a worker has."
        )

    def running(self, task: str) -> WorkersKilled:
        """Return this error with the name of the task in its message."""
        return WorkersKilled(self.workers, self.last, task)


class CannotSend(ExecutorError, TypeError):
    """A value cannot be sent to or from a worker process, because it cannot be pickled.

    Parameters
    ----------
    what
        The value, as text.
    found
        Its type, or the type inside it that cannot be pickled.
    why
        Message of the pickler.
    """

    def __init__(self, what: str, found: str, why: str) -> None:
        self.what, self.found, self.why = what, found, why
        super().__init__(
            f"{what} ({found}) cannot be pickled for a worker process: {why}. Create it inside run(), or use executor "
            "'threads' or 'serial'."
        )


class NotImportable(ExecutorError, ImportError):
    """A worker process cannot import a module that its task needs.

    Parameters
    ----------
    module
        The module, and the name in it if known.
    why
        Message of the import.
    worker
        Address of the Dask worker; empty for a worker process of this program.
    """

    def __init__(self, module: str, why: str, worker: str = "") -> None:
        self.module, self.why, self.worker = module, why, worker
        if worker:
            who = f"The Dask worker {worker}"
            advice = (
                "Install it on the machines of the workers: kart sends them the program's own packages, not installed "
                "ones."
            )
        else:
            who = "A worker process"
            advice = (
                "Workers are new interpreters: install the module, or put its folder on sys.path (or PYTHONPATH) "
                "before the build starts."
            )
        super().__init__(f"{who} cannot import {module}: {why}. {advice}")
