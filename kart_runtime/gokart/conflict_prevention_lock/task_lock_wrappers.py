"""Functions that run inside one of gokart's locks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from kart_runtime.gokart.conflict_prevention_lock.task_lock import TaskLockParams, set_lock_scheduler, set_task_lock

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["wrap_dump_with_lock", "wrap_load_with_lock", "wrap_remove_with_lock", "wrap_run_with_lock"]


@contextmanager
def _held(params: TaskLockParams) -> Iterator[None]:
    lock = set_task_lock(params)
    renewal = set_lock_scheduler(lock, params)
    try:
        yield
    finally:
        renewal.shutdown()
        lock.release()


def wrap_dump_with_lock(
    func: Callable[P, R], task_lock_params: TaskLockParams, exist_check: Callable[..., bool]
) -> Callable[P, R | None]:
    """Return a function that stores a value under a lock, unless it exists by then.

    Parameters
    ----------
    func
        The function.
    task_lock_params
        The lock; without one, the function itself is returned.
    exist_check
        Called under the lock; the function is not called if it returns True.
    """
    if not task_lock_params.should_task_lock:
        return func

    @functools.wraps(func, updated=())
    def locked(*args: P.args, **kwargs: P.kwargs) -> R | None:
        with _held(task_lock_params):
            return None if exist_check() else func(*args, **kwargs)

    return locked


def wrap_load_with_lock(func: Callable[P, R], task_lock_params: TaskLockParams) -> Callable[P, R]:
    """Return a function that reads a value after whoever holds the lock has released it.

    Parameters
    ----------
    func, task_lock_params
        As for `wrap_dump_with_lock`.
    """
    if not task_lock_params.should_task_lock:
        return func

    @functools.wraps(func, updated=())
    def after_lock(*args: P.args, **kwargs: P.kwargs) -> R:
        with _held(task_lock_params):
            pass
        return func(*args, **kwargs)

    return after_lock


def wrap_remove_with_lock(func: Callable[P, R], task_lock_params: TaskLockParams) -> Callable[P, R]:
    """Return a function that runs under a lock.

    Parameters
    ----------
    func, task_lock_params
        As for `wrap_dump_with_lock`.
    """
    return wrap_run_with_lock(func, task_lock_params) if task_lock_params.should_task_lock else func


def wrap_run_with_lock(run_func: Callable[P, R], task_lock_params: TaskLockParams) -> Callable[P, R]:
    """Return a function that runs under a lock.

    Parameters
    ----------
    run_func
        The function.
    task_lock_params
        The lock.
    """

    @functools.wraps(run_func, updated=())
    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        with _held(task_lock_params):
            return run_func(*args, **kwargs)

    return locked
