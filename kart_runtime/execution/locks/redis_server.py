"""Whose turn is it, when several machines share a workspace? A redis server says; a turn ends unless it is renewed.

Called by `locks` for a build, and by `attempt` for tasks whose `redis_host` and `redis_port` are set. Needs the redis
client, an optional extra.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from kart_runtime.errors import ConfigError, LockTimeout, require_extra
from kart_runtime.execution.locks.lease import Instant, Lease, LeaseRenewer, holder_id
from kart_runtime.storage.workspace import Workspace

CONNECT_SECONDS = 10.0
"""How long the server may take to answer."""

LOCK_TIMEOUT = 180.0
"""Seconds after which a lock that nobody renews ends, where no task says otherwise by its `redis_timeout`."""

FORM = "redis://HOST:PORT"
"""How a server is written."""

_renewals = LeaseRenewer("kart-redis-locks")


class RedisLocks:
    """Locks on a redis server.

    Parameters
    ----------
    url
        The server, as `checked_url` takes it.
    workspace
        The workspace of tasks that have none of their own. Keys hold the workspace, so that equal tasks of two
        workspaces do not wait for one another.
    timeout
        Seconds after which a lock ends that nobody renews, because its holder has died. None: `LOCK_TIMEOUT`.
    key
        The setting or parameter that names the server, for errors.
    """

    shared = True

    def __init__(self, url: str, workspace: str, timeout: float | None = None, key: str = "run.locks") -> None:
        self.url, self.workspace, self.key = url, workspace, key
        self.timeout = LOCK_TIMEOUT if timeout is None else timeout

    def __repr__(self) -> str:
        return f"RedisLocks({without_password(self.url)!r})"

    def check(self) -> None:
        """Find out, before anything runs, that the server answers.

        Raises
        ------
        ConfigError
            When it does not.
        """
        with self._usable():
            _client(self.url).ping()

    @contextlib.contextmanager
    def hold(self, name: str, workspace: str | None, wait: float) -> Iterator[Lease]:
        """Hold a name, renewing it until the block ends; wait for it for at most `wait` seconds.

        Raises
        ------
        LockTimeout
            When somebody else holds it all that time.
        ConfigError
            When the server cannot be used.
        """
        key = f"kart:{Workspace(workspace or self.workspace).normalized}:{name}"
        with self._usable():
            lock = _client(self.url).lock(key, timeout=self.timeout, thread_local=False)
            self._acquire(lock, name, wait)
        # The server is asked by each check: it costs little, and the server alone knows when the lock has ended.
        lease = Lease(name, self.timeout, lambda: _renewed(lock), Instant.now())
        _renewals.add(lease)
        try:
            yield lease
        finally:
            _renewals.remove(lease)
            lease.end()
            with contextlib.suppress(_redis().exceptions.RedisError):  # it has ended by itself, or the server is away
                lock.release()

    def _acquire(self, lock: Any, name: str, wait: float) -> None:
        began = time.monotonic()
        token = f"{holder_id()}#{uuid.uuid4()}"
        if lock.acquire(blocking=wait > 0, blocking_timeout=wait or None, token=token):
            return
        found = lock.redis.get(lock.name)
        holder = found.decode(errors="replace") if found else "another process"
        if holder == token:  # the answer was lost, and the client asked again
            lock.local.token = token.encode()
            return
        raise LockTimeout(name, time.monotonic() - began, holder.partition("#")[0])

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except _redis().exceptions.RedisError as error:
            server = without_password(self.url).partition("://")[2]
            message = f"the redis server {server} cannot be used: {str(error).rstrip('.')}"
            raise ConfigError(message, key=self.key, expected="a server that runs and answers there") from error


def _renewed(lock: Any) -> bool:
    try:
        lock.reacquire()
    except _redis().exceptions.LockError:
        return False
    return True


def _redis() -> Any:
    with require_extra("locks on a redis server need its client", "redis"):
        import redis
    return redis


@lru_cache(maxsize=16)
def _client(url: str) -> Any:
    redis = _redis()
    # One more try, at once, for a connection that had gone stale. The client's own pauses between tries would be drawn
    # from the global random generator, which belongs to the task that runs.
    again = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS, retry=again
    )


def require_client() -> None:
    """Raise `ExtraMissing` when the redis client is not installed."""
    _redis()


def checked_url(url: str) -> str:
    """Return the url of a server.

    Parameters
    ----------
    url
        ``redis://HOST:PORT``, with ``:PASSWORD@`` or ``USER:PASSWORD@`` before the host and ``/NUMBER`` of a database
        after the port; ``rediss://`` for an encrypted connection.

    Raises
    ------
    ValueError
        When it is anything else. The message does not hold the password.
    """
    try:
        wrong = _wrong(urlsplit(url))
    except ValueError:
        wrong = "which is no url"
    if wrong:
        raise ValueError(f"expected {FORM}, got '{without_password(url)}', {wrong}")
    return url


def _wrong(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        return "whose port is no number from 1 to 65535"
    if not parts.hostname:
        return "which names no host"
    if not port:
        return "which names no port"
    database = parts.path.removeprefix("/")
    if parts.query or parts.fragment or (database and not (database.isascii() and database.isdigit())):
        return "with something else than the number of a database after the port"
    return ""


def without_password(url: str) -> str:
    """Return a url for messages.

    Parameters
    ----------
    url
        Any text.
    """
    scheme, separator, rest = url.partition("://")
    _, at, server = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{server}"


def redis_locks_of(task: Any, of_build: Any = None) -> RedisLocks | None:
    """Return the locks that a task's parameters ask for; None when they ask for none.

    Parameters
    ----------
    task
        A kart task.
    of_build
        The locks of the build. They are enough for a task that only sets `should_lock_run`, and those on a redis server
        last as long as the task's `redis_timeout` says.

    Raises
    ------
    ConfigError
        When host or port is missing, or the time-out is not positive: a task is never silently left unlocked.
    """
    family = task.get_task_family()
    url, named_by = (of_build.url, of_build.key) if isinstance(of_build, RedisLocks) else (None, "")
    if task.redis_host is not None or task.redis_port is not None:
        url, named_by = _url_of(task), f"{family}.redis_host"
    if url is None:
        if task.should_lock_run and not getattr(of_build, "shared", False):
            _url_of(task)  # says what is missing
        return None
    if task.redis_timeout <= 0:
        raise ConfigError("a lock has to last", key=f"{family}.redis_timeout", expected="seconds above 0")
    return RedisLocks(url, task.workspace_directory, task.redis_timeout, named_by)


def _url_of(task: Any) -> str:
    host, port = task.redis_host, task.redis_port
    if host is None or port is None:
        missing = "redis_host" if host is None else "redis_port"
        key = f"{task.get_task_family()}.{missing}"
        raise ConfigError("locking needs redis_host and redis_port", key=key, expected="both")
    server = f"[{host}]" if ":" in host else quote(host)
    return f"redis://{server}:{port}"
