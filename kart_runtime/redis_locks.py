"""Whose turn is it, when several machines share a workspace? A redis server says; a turn ends unless it is renewed.

Called by `attempt` for tasks whose `redis_host` and `redis_port` are set. Needs the redis client, an optional extra.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from kart_runtime.errors import ConfigError, LockTimeout

CONNECT_SECONDS = 10.0
"""How long the server may take to answer."""


class RedisLocks:
    """Locks on a redis server.

    Parameters
    ----------
    host, port
        The server.
    timeout
        Seconds after which a lock ends that nobody renews, because its holder has died.
    prefix
        What the keys begin with: the workspace, so that equal tasks of two workspaces do not wait for one another.
    """

    shared = True

    def __init__(self, host: str, port: int, timeout: float, prefix: str) -> None:
        self.host, self.port, self.timeout, self.prefix = host, port, timeout, prefix

    @contextlib.contextmanager
    def hold(self, name: str, wait: float) -> Iterator[None]:
        """Hold a name, renewing it until the block ends; wait for it for at most `wait` seconds."""
        client, key = _client(self.host, self.port), f"kart:{self.prefix}:{name}"
        lock = client.lock(key, timeout=self.timeout, thread_local=False)
        began = time.monotonic()
        if not self._acquired(lock, wait):
            holder = client.get(key)
            told = holder.decode(errors="replace").partition("#")[0] if holder else "another process"
            raise LockTimeout(name, time.monotonic() - began, told)
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(lock, done), name="kart-lock", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()
            with contextlib.suppress(_redis().exceptions.RedisError):  # it has ended by itself, or the server is away
                lock.release()

    def _acquired(self, lock: Any, wait: float) -> bool:
        token = f"{socket.gethostname()}, process {os.getpid()}, since {time.strftime('%Y-%m-%dT%H:%M:%S%z')}"
        try:
            return bool(lock.acquire(blocking=wait > 0, blocking_timeout=wait or None, token=f"{token}#{uuid.uuid4()}"))
        except _redis().exceptions.RedisError as error:
            raise ConfigError(
                f"the redis server {self.host}:{self.port} cannot be used: {error}", key="redis_host"
            ) from error

    def _renew(self, lock: Any, done: threading.Event) -> None:
        while not done.wait(self.timeout / 3):
            with contextlib.suppress(_redis().exceptions.RedisError):
                lock.extend(self.timeout, replace_ttl=True)


def _redis() -> Any:
    try:
        import redis
    except ImportError as error:
        raise ImportError("locks on a redis server need its client: pip install 'kart-runtime[redis]'") from error
    return redis


@lru_cache(maxsize=16)
def _client(host: str, port: int) -> Any:
    return _redis().Redis(host=host, port=port, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS)


def redis_locks_of(task: Any) -> RedisLocks | None:
    """Return the locks that a task's parameters ask for; None when they ask for none.

    Parameters
    ----------
    task
        A kart task.

    Raises
    ------
    ConfigError
        When host or port is missing, or the time-out is not positive: a task is never silently left unlocked.
    """
    host, port = task.redis_host, task.redis_port
    if host is None and port is None and not task.should_lock_run:
        return None
    family = task.get_task_family()
    if host is None or port is None:
        missing = "redis_host" if host is None else "redis_port"
        raise ConfigError("locking needs redis_host and redis_port", key=f"{family}.{missing}", expected="both")
    if task.redis_timeout <= 0:
        raise ConfigError("a lock has to last", key=f"{family}.redis_timeout", expected="seconds above 0")
    return RedisLocks(host, port, task.redis_timeout, task.workspace_directory)
