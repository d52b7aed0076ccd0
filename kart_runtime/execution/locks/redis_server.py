"""Locks on a redis server, for machines that share a workspace anywhere.

A build uses them, and so does a task whose `redis_host` and `redis_port` are set.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from kart_runtime.errors import ConfigError, LockSettingsIncomplete, LockTimeout, require_extra
from kart_runtime.execution.locks.base import Locks
from kart_runtime.execution.locks.lease import Instant, Lease, LeaseRenewer, holder_id
from kart_runtime.storage.workspace import Workspace

CONNECT_SECONDS = 10.0
"""How long the server may take to answer."""

LOCK_TIMEOUT = 180.0
"""Seconds after which a lock expires that nobody renews, unless a task sets its `redis_timeout`."""

FORM = "redis://HOST:PORT"
"""The form of a server's url."""

_renewals = LeaseRenewer("kart-redis-locks")


class RedisLocks(Locks):
    """Locks on a redis server. Keys contain the workspace, so equal tasks of two workspaces do not wait for each other.

    The lock of a holder that has died expires after `timeout` seconds (default: `LOCK_TIMEOUT`). `key` is the setting
    or parameter that names the server, for errors.
    """

    def __init__(self, url: str, workspace: str, timeout: float | None = None, key: str = "run.locks") -> None:
        self.url, self.workspace, self.key = url, workspace, key
        self.timeout = LOCK_TIMEOUT if timeout is None else timeout

    def __repr__(self) -> str:
        return f"RedisLocks({without_password(self.url)!r})"

    def check(self) -> None:
        """Raise `ConfigError` if the server does not answer."""
        with self._connecting():
            _client(self.url).ping()

    def acquire(self, name: str, workspace: str | None, wait: float) -> Lease:
        """Lock a name, and renew it until it is released; wait for it for at most `wait` seconds."""
        key = f"kart:{Workspace(workspace or self.workspace).normalized}:{name}"
        with self._connecting():
            lock = _client(self.url).lock(key, timeout=self.timeout, thread_local=False)
            self._acquire(lock, name, wait)

        def release() -> None:
            _renewals.remove(lease)
            lease.end()
            with contextlib.suppress(_redis().exceptions.RedisError):  # it has expired, or the server is away
                lock.release()

        # Each check asks the server: that costs little, and only the server knows when the lock has expired.
        lease = Lease(name, self.timeout, lambda: _renew(lock), Instant.now(), release=release)
        _renewals.add(lease)
        return lease

    def _acquire(self, lock: Any, name: str, wait: float) -> None:
        began = time.monotonic()
        token = f"{holder_id()}#{uuid.uuid4()}"
        if lock.acquire(blocking=wait > 0, blocking_timeout=wait or None, token=token):
            return
        value = lock.redis.get(lock.name)
        holder = value.decode(errors="replace") if value else "another process"
        if holder == token:  # the answer was lost, and the client sent it again
            lock.local.token = token.encode()
            return
        raise LockTimeout(name, time.monotonic() - began, holder.partition("#")[0])

    @contextlib.contextmanager
    def _connecting(self) -> Iterator[None]:
        try:
            yield
        except _redis().exceptions.RedisError as error:
            server = without_password(self.url).partition("://")[2]
            reason = str(error).rstrip(".")
            message = f"cannot connect to redis at {server}: {reason}. Start the server, or correct {self.key}."
            raise ConfigError(message, key=self.key) from error


def _renew(lock: Any) -> bool:
    try:
        lock.reacquire()
    except _redis().exceptions.LockError:
        return False
    return True


def _redis() -> Any:
    with require_extra("locks on a redis server need the redis client", "redis"):
        import redis
    return redis


@lru_cache(maxsize=16)
def _client(url: str) -> Any:
    redis = _redis()
    # One immediate retry, for a connection that had gone stale. The client would draw its own pauses between retries
    # from the global random generator, which belongs to the task that runs.
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS, retry=retry
    )


def require_client() -> None:
    """Raise `ExtraMissing` if the redis client is not installed."""
    _redis()


def checked_url(url: str) -> str:
    """Return the url of a server; raise `ValueError`, without showing a password, if it is not one.

    Before the host there may be ``:PASSWORD@`` or ``USER:PASSWORD@``, after the port ``/NUMBER`` of a database;
    ``rediss://`` is for an encrypted connection.
    """
    try:
        problem = _problem(urlsplit(url))
    except ValueError:
        problem = "which is not a url"
    if problem:
        raise ValueError(f"expected {FORM}, got '{without_password(url)}', {problem}")
    return url


def _problem(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        return "whose port is not a number from 1 to 65535"
    if not parts.hostname:
        return "which has no host"
    if not port:
        return "which has no port"
    database = parts.path.removeprefix("/")
    if parts.query or parts.fragment or (database and not (database.isascii() and database.isdigit())):
        return "with something other than the number of a database after the port"
    return ""


def without_password(url: str) -> str:
    """Return a url with its password hidden, for messages."""
    scheme, separator, rest = url.partition("://")
    _, at, server = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{server}"


def redis_locks_of(task: Any, of_build: Any = None) -> RedisLocks | None:
    """Return the locks that a task's parameters request, None if they request none.

    The locks of the build are enough for a task that only sets `should_lock_run`; those on a redis server get the
    task's `redis_timeout`. A missing host or port, or a time-out that is not positive, is a `ConfigError`: no task is
    silently left unlocked.
    """
    url, key = (of_build.url, of_build.key) if isinstance(of_build, RedisLocks) else (None, "")
    if task.redis_host is not None or task.redis_port is not None:
        url, key = _url_of(task), f"{task.get_task_family()}.redis_host"
    if url is None:
        is_locked = getattr(of_build, "shared", False) and not getattr(of_build, "optional", False)
        if task.should_lock_run and not is_locked:
            _url_of(task)  # raises: one of both is missing
        return None
    if task.redis_timeout <= 0:
        key = f"{task.get_task_family()}.redis_timeout"
        raise ConfigError("a lock needs a positive time-out", key=key, expected="seconds above 0")
    return RedisLocks(url, task.workspace_directory, task.redis_timeout, key)


def _url_of(task: Any) -> str:
    host, port = task.redis_host, task.redis_port
    if host is None or port is None:
        missing = "redis_host" if host is None else "redis_port"
        key = f"{task.get_task_family()}.{missing}"
        raise LockSettingsIncomplete("locking needs redis_host and redis_port; set both", key=key)
    server = f"[{host}]" if ":" in host else quote(host)
    return f"redis://{server}:{port}"
