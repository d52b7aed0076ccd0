"""Locks on a redis server, for machines that share a workspace anywhere.

A build uses them, and so does a task whose `redis_host` and `redis_port` are set.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

from kart_runtime.errors import ConfigError, LockSettingsIncomplete, require_extra
from kart_runtime.execution.locks.base import Locks
from kart_runtime.execution.locks.lease import Lease, LeaseRenewer, granted, holder_id
from kart_runtime.storage.processes import is_alive, this_process
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_SECONDS = 5.0
"""How long the server may take to answer one request."""

DEADLINE = 60.0
"""How long a server that does not answer is asked, in seconds."""

_TRIES, _FIRST_RETRY = 9, 0.02
"""Number of tries within that time, and the first pause between two, which doubles."""

_FAIL_FAST_SECONDS = 10.0
"""Seconds after such a failure in which the server is not asked again."""

_PAUSES = 0.1, 0.5
"""Seconds between two tries at a lock that another process holds."""

_MARGIN = 1.0
"""Seconds by which the age of a server may be wrong, which reports whole seconds."""

LOCK_TIMEOUT = 180.0
"""Seconds after which a lock expires that nobody renews, unless a task sets its `redis_timeout`."""

FORM = "redis://HOST:PORT"
"""The form of a server's url."""

_NEEDS_PASSWORD = ("NOAUTH", "WRONGPASS", "HELLO must be called", "Authentication required")
"""Beginnings of refusals for want of a password."""

_renewals = LeaseRenewer("kart-redis-locks")
_random = random.SystemRandom()  # the global generator belongs to the task that runs


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
        self._asked(lambda: _client(self.url).ping())

    def acquire(self, name: str, workspace: str | None, wait: float) -> Lease:
        """Lock a name, and renew it until it is released; wait for it for at most `wait` seconds."""
        key = f"kart:{Workspace(workspace or self.workspace).normalized}:{name}"
        lock = _client(self.url).lock(key, timeout=self.timeout, thread_local=False)
        token = f"{holder_id()}#{this_process()}#{uuid.uuid4()}"
        began = granted(name, wait, lambda: self._asked(lambda: _holder(lock, token)), _PAUSES)

        def release() -> None:
            _renewals.remove(lease)
            lease.end()
            if not lease.is_silent:  # else it would be asked in vain: the lock expires
                with contextlib.suppress(_redis().exceptions.RedisError):
                    lock.release()

        # Each check asks the server: that costs little, and only the server knows when the lock has expired.
        lease = Lease(name, self.timeout, lambda: _renew(lock, lease), began, release=release)
        _renewals.add(lease)
        return lease

    def _asked(self, ask: Callable[[], T]) -> T:
        """Return the server's answer; ask again for a while, and raise `ConfigError` if there is none."""
        errors = _redis().exceptions
        failed = _failures.get(self.url)
        if failed is not None and time.monotonic() - failed[0] < _FAIL_FAST_SECONDS:
            raise self._unreachable(failed[1])
        deadline, pause = time.monotonic() + DEADLINE, _FIRST_RETRY
        for number in range(1, _TRIES + 1):
            try:
                return ask()
            except errors.AuthenticationError as error:
                raise self._unreachable(error) from error
            except (errors.ConnectionError, errors.TimeoutError) as error:
                if number == _TRIES or time.monotonic() + pause > deadline:
                    _failures[self.url] = time.monotonic(), error
                    raise self._unreachable(error) from error
            except errors.RedisError as error:
                raise self._unreachable(error) from error
            time.sleep(pause * _random.uniform(0.5, 1.0))
            pause *= 2
        raise AssertionError

    def _unreachable(self, error: Exception) -> ConfigError:
        server = without_password(self.url).partition("://")[2]
        reason = str(error).rstrip(".")
        errors = _redis().exceptions
        if isinstance(error, errors.AuthenticationError) or reason.startswith(_NEEDS_PASSWORD):
            advice = "Set run.locks to redis://:PASSWORD@HOST:PORT, or with USER:PASSWORD before the @"
            advice += "." if self.key == "run.locks" else f", instead of {self.key}."
            message = f"redis at {server} wants a password, or another one: {reason}. {advice}"
        elif isinstance(error, errors.ResponseError | errors.ReadOnlyError | errors.BusyLoadingError):
            message = f"redis at {server} refuses: {reason}. Change that there, or correct {self.key}."
        else:
            message = f"cannot connect to redis at {server}: {reason}. Start the server, or correct {self.key}."
        return ConfigError(message, key=self.key)


_failures: dict[str, tuple[float, Exception]] = {}
"""When a server was last asked in vain until the deadline: the tasks of a build need not wait for it one by one."""


def _holder(lock: Any, token: str) -> str | None:
    """Acquire a lock that is free, or whose holder has ended, and return None; otherwise return who holds it."""
    if lock.acquire(blocking=False, token=token):
        return None
    value = lock.redis.get(lock.name)
    text = value.decode(errors="replace") if value else "another process"
    if text == token:  # the answer was lost, and the client sent it again
        lock.local.token = token.encode()
        return None
    holder, _, rest = text.partition("#")
    if is_alive(rest.partition("#")[0]) is False and _drop(lock, value):
        logger.warning("Taking over the lock %s: %s has ended.", lock.name, holder)
        return None if lock.acquire(blocking=False, token=token) else "another process"
    return holder


def _drop(lock: Any, value: bytes) -> bool:
    """Delete the lock of a process of this machine that has ended, if it is still that one."""
    left = lock.redis.lock(lock.name, timeout=lock.timeout, thread_local=False)
    left.local.token = value
    try:
        left.release()
    except _redis().exceptions.LockError:
        return False
    return True


def _renew(lock: Any, lease: Lease) -> bool:
    try:
        lock.reacquire()
    except _redis().exceptions.LockError:
        return _is_taken_back(lock, lease)
    return True


def _is_taken_back(lock: Any, lease: Lease) -> bool:
    """Take a lock again that a server has forgotten because it was restarted without its data."""
    age = lease.timeout - _MARGIN - lease.seconds_left
    if lease.seconds_left <= 0 or lock.redis.info("server")["uptime_in_seconds"] > age + _MARGIN:
        return False
    token = lock.local.token.decode()
    if not lock.redis.set(lock.name, token, nx=True, px=int(lock.timeout * 1000)):
        return False
    logger.warning("The redis server was restarted without the lock on %s, which nobody else has taken.", lease.name)
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
    return redis.Redis.from_url(url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=ANSWER_SECONDS, retry=retry)


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
