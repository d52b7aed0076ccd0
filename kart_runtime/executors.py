"""Where do attempts run? In a `concurrent.futures.Executor`, chosen by name.

The loop of `schedule` needs only `submit` and a callback when a future is done, so the standard library's protocol is
enough.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from kart_runtime.errors import ConfigError, nearest

P = ParamSpec("P")
R = TypeVar("R")

KINDS = ("serial",)


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


def make_executor(kind: str, workers: int = 1) -> Executor:
    """Return the executor of a kind.

    Parameters
    ----------
    kind
        "serial".
    workers
        How many attempts run at once.

    Raises
    ------
    ConfigError
        For another kind, and for a number of workers that the kind cannot have.
    """
    options: dict[str, Any] = {"serial": SerialExecutor}
    if kind not in options:
        raise ConfigError(
            f"unknown executor '{kind}'", key="run.executor", expected=", ".join(KINDS), nearest=nearest(kind, KINDS)
        )
    if workers != 1:
        raise ConfigError(f"the serial executor has one worker, not {workers}", key="run.workers", expected="1")
    executor: Executor = options[kind]()
    return executor
