"""Parameters of a lock in gokart's form, and the lock itself. The keys are gokart's, without the workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from kart_runtime.errors import KartError, LockSettingsIncomplete, LockTimeout, require_extra
from kart_runtime.execution.locks.lease import Instant, Lease, LeaseRenewer

_renewals = LeaseRenewer("gokart-task-locks")


class TaskLockParams(NamedTuple):
    """Parameters of a lock.

    Attributes
    ----------
    redis_host, redis_port
        The server.
    redis_timeout
        Seconds after which the lock ends unless it is renewed; None: never.
    redis_key
        Name of the lock.
    should_task_lock
        Whether to lock at all.
    raise_task_lock_exception_on_collision
        Whether to raise `TaskLockException` if another process holds the lock, instead of waiting.
    lock_extend_seconds
        gokart's interval of renewals; kart renews each third of `redis_timeout`.
    """

    redis_host: str | None
    redis_port: int | None
    redis_timeout: int | None
    redis_key: str
    should_task_lock: bool
    raise_task_lock_exception_on_collision: bool
    lock_extend_seconds: int


class TaskLockException(LockTimeout):
    """Another process holds the lock.

    Parameters
    ----------
    message
        Text of the error.
    """

    def __init__(self, message: str = "Another process holds the lock of this task.") -> None:
        self.name, self.waited, self.holder = "", 0.0, "unknown"
        KartError.__init__(self, message)


def __getattr__(name: str) -> Any:
    """Return the package redis, which is slow to import; tests patch this attribute."""
    if name == "redis":
        return _redis()
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _redis() -> Any:
    with require_extra("locks on a redis server need the redis client", "redis"):
        import redis
    return redis


@cache
def _client(host: str | None, port: int | None) -> Any:
    return _redis().Redis(host=host or "localhost", port=port or 6379)


@dataclass(frozen=True)
class RedisClient:
    """Client of a redis server, of which a process has one for each server.

    Attributes
    ----------
    host, port
        The server (default: localhost, 6379).
    """

    host: str | None
    port: int | None

    def get_redis_client(self) -> Any:
        """Return the client of the package redis."""
        return _client(self.host, self.port)


def set_task_lock(task_lock_params: TaskLockParams) -> Any:
    """Return a lock that this process has just acquired.

    Parameters
    ----------
    task_lock_params
        The lock.

    Raises
    ------
    TaskLockException
        Another process holds it, and the parameters say not to wait.
    """
    params = task_lock_params
    client = RedisClient(host=params.redis_host, port=params.redis_port).get_redis_client()
    lock = _redis().lock.Lock(client, params.redis_key, timeout=params.redis_timeout, thread_local=False)
    if not lock.acquire(blocking=not params.raise_task_lock_exception_on_collision):
        raise TaskLockException(f"Another process holds the lock {params.redis_key}.")
    return lock


class _Renewal:
    """Renewal of a lock in the background until `shutdown`."""

    def __init__(self, lock: Any, params: TaskLockParams) -> None:
        self._lease: Lease | None = None
        timeout = params.redis_timeout
        if timeout is not None:
            renew = lambda: bool(lock.extend(additional_time=timeout, replace_ttl=True))  # noqa: E731
            self._lease = Lease(params.redis_key, timeout, renew, Instant.now())
            _renewals.add(self._lease)

    def shutdown(self, wait: bool = True) -> None:  # noqa: ARG002 - the form of gokart's scheduler
        """End the renewal."""
        if self._lease is not None:
            _renewals.remove(self._lease)
            self._lease.end()


def set_lock_scheduler(task_lock: Any, task_lock_params: TaskLockParams) -> _Renewal:
    """Renew a lock in the background; return an object with the method `shutdown`, which ends that.

    Parameters
    ----------
    task_lock
        What `set_task_lock` returned.
    task_lock_params
        Its parameters.
    """
    return _Renewal(task_lock, task_lock_params)


def make_task_lock_key(file_path: str, unique_id: str | None) -> str:
    """Return the name of the lock of a file: its name without folder and suffix, and the unique id.

    Parameters
    ----------
    file_path
        Path or url.
    unique_id
        Id of the task.
    """
    name, _ = os.path.splitext(os.path.basename(file_path))  # noqa: PTH119, PTH122 - it may be a url
    return f"{name}_{unique_id}"


def make_task_lock_params(  # noqa: PLR0917 - gokart's form
    file_path: str,
    unique_id: str | None,
    redis_host: str | None = None,
    redis_port: int | None = None,
    redis_timeout: int | None = None,
    raise_task_lock_exception_on_collision: bool = False,
    lock_extend_seconds: int = 10,
) -> TaskLockParams:
    """Return the parameters of the lock of a file, which locks if host and port are given.

    Parameters
    ----------
    file_path, unique_id
        As for `make_task_lock_key`.
    redis_host, redis_port, redis_timeout, raise_task_lock_exception_on_collision, lock_extend_seconds
        As for `TaskLockParams`.

    Raises
    ------
    LockSettingsIncomplete
        `redis_timeout` is not greater than `lock_extend_seconds`.
    """
    if redis_timeout is not None and redis_timeout <= lock_extend_seconds:
        raise LockSettingsIncomplete(
            "the lock would end before it is renewed", key="redis_timeout", expected=f"more than {lock_extend_seconds}"
        )
    return TaskLockParams(
        redis_host=redis_host,
        redis_port=redis_port,
        redis_timeout=redis_timeout,
        redis_key=make_task_lock_key(file_path, unique_id),
        should_task_lock=redis_host is not None and redis_port is not None,
        raise_task_lock_exception_on_collision=raise_task_lock_exception_on_collision,
        lock_extend_seconds=lock_extend_seconds,
    )


def make_task_lock_params_for_run(task_self: Any, lock_extend_seconds: int = 10) -> TaskLockParams:
    """Return the parameters of the lock of a task's `run()` in gokart.

    Parameters
    ----------
    task_self
        The task.
    lock_extend_seconds
        As for `TaskLockParams`.
    """
    return TaskLockParams(
        redis_host=task_self.redis_host,
        redis_port=task_self.redis_port,
        redis_timeout=task_self.redis_timeout,
        redis_key=make_task_lock_key(type(task_self).__name__, f"{task_self.make_unique_id()}-run"),
        should_task_lock=task_self.redis_host is not None and task_self.redis_port is not None,
        raise_task_lock_exception_on_collision=True,
        lock_extend_seconds=lock_extend_seconds,
    )


__all__ = [
    "RedisClient",
    "TaskLockException",
    "TaskLockParams",
    "make_task_lock_key",
    "make_task_lock_params",
    "make_task_lock_params_for_run",
    "set_lock_scheduler",
    "set_task_lock",
]
