"""Where do attempts run? In a `concurrent.futures.Executor`, chosen by name.

The loop of `schedule` needs only `submit` and a callback when a future is done, so the standard library's protocol is
enough.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from kart_runtime.errors import ConfigError, nearest

P = ParamSpec("P")
R = TypeVar("R")

KINDS = ("serial", "threads", "processes")


class SerialExecutor(Executor):
    """Runs what is submitted at once, in the thread of the caller."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function and return its finished future; Ctrl-C goes through to the caller."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            future.set_exception(error)
        return future


def make_executor(kind: str | None, workers: int = 1) -> Executor:
    """Return the executor of a kind.

    Parameters
    ----------
    kind
        "serial", "threads" or "processes". None: serial for one worker, processes for more, as gokart's users expect.
    workers
        How many attempts run at once.

    Raises
    ------
    ConfigError
        For another kind, and for a number of workers that the kind cannot have.
    """
    kind = kind or ("serial" if workers == 1 else "processes")
    if kind not in KINDS:
        raise ConfigError(
            f"unknown executor '{kind}'", key="run.executor", expected=", ".join(KINDS), nearest=nearest(kind, KINDS)
        )
    if workers < 1 or (kind == "serial" and workers != 1):
        expected = "1" if kind == "serial" else "at least 1"
        raise ConfigError(f"the {kind} executor cannot have {workers} workers", key="run.workers", expected=expected)
    if kind == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="kart")
    if kind == "processes":
        # Forked, so that tasks of a script or notebook exist in the workers, too.
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))
    return SerialExecutor()
