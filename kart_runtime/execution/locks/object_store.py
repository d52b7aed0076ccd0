"""Locks in an object store, for machines that share a workspace there.

A lock is the object ``log/locks/<name>.lock`` of the workspace, written conditionally: only if it does not exist, or is
still as it was read. Its holder rewrites it while it works; a lock older than the time-out, by the store's own clock
(which reports whole seconds), or whose holder was a process of this machine that has ended, may be taken over.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
from typing import Any

from kart_runtime.errors import ConfigError
from kart_runtime.execution.locks.base import Locks
from kart_runtime.execution.locks.lease import Lease, LeaseRenewer, granted, holder_text, now_text
from kart_runtime.storage.processes import is_alive, this_process
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Conditional, Versioned
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 60.0
"""Seconds after which a lock that nobody renews may be taken over."""

_PAUSES = 0.2, 1.0
"""Seconds between two tries at a lock that is held; each is one or two requests."""

_renewals = LeaseRenewer("kart-store-locks")


class StoreLocks(Locks):
    """Locks in the object store of a workspace; tasks that have a workspace of their own are locked there.

    The lock of a holder that has died expires after `timeout` seconds (default: `LOCK_TIMEOUT`).
    """

    def __init__(self, workspace: str, timeout: float | None = None) -> None:
        self.workspace = workspace
        self.timeout = LOCK_TIMEOUT if timeout is None else timeout

    def check(self) -> None:
        """Raise `ConfigError` if the store does not honor conditions, so that it would lock nothing."""
        prove_conditions(self.workspace)

    def acquire(self, name: str, workspace: str | None, wait: float) -> Lease:
        """Lock a name, and renew it until it is released; wait for it for at most `wait` seconds."""
        claim = _Claim(*conditional_store(Workspace(workspace or self.workspace).lock(name)))
        began = granted(name, wait, lambda: claim.acquire(self.timeout), _PAUSES)

        def release() -> None:
            _renewals.remove(lease)
            is_certain = lease.end()
            with contextlib.suppress(Exception):  # the service is away: the lock expires
                if is_certain or claim.renew():
                    claim.release()

        # Half of the time-out is left for the write that follows a check, and for clocks that differ.
        lease = Lease(name, self.timeout, claim.renew, began, trusted=self.timeout / 2, release=release)
        _renewals.add(lease)
        return lease


def conditional_store(url: str) -> tuple[Conditional, str]:
    """Return the store of a url and the key in it; raise `ConfigError` if the store has no conditional writes."""
    store, key = store_for(url)
    if not isinstance(store, Conditional):
        raise ConfigError(
            f"the store of {url} has no conditional writes, so it cannot hold locks. Set run.locks to redis://HOST:PORT.",
            key="run.locks",
            expected="redis://HOST:PORT",
        )
    return store, key


def prove_conditions(workspace: str) -> None:
    """Raise `ConfigError` unless the store of a workspace refuses to create an object that exists.

    Services that do not know the condition of a request ignore it, and store: then two processes hold one lock.
    """
    store, key = conditional_store(Workspace(workspace).lock(f"proof-{secrets.token_hex(8)}"))
    try:
        first = store.create(key, b"{}")
        second = store.create(key, b"[]")
        current = store.read(key)
        is_kept = current is not None and current.data == b"{}"
        is_honest = first is not None and second is None and is_kept
        is_honest = is_honest and store.replace(key, b"[]", "0" * 32) is None
    finally:
        with contextlib.suppress(Exception):
            store.delete(key)  # type: ignore[attr-defined]
    if not is_honest:
        raise ConfigError(
            f"the server of {workspace} ignores conditional writes: it created the same object twice, so it cannot "
            "hold locks. Set run.locks to redis://HOST:PORT, or use a server that honors If-None-Match and If-Match.",
            key="run.locks",
            expected="redis://HOST:PORT",
        )


class _Claim:
    """One lock object, as its holder, or somebody who wants to hold it, knows it.

    Its content differs with each write: S3 derives versions from the content, so a process that read the lock long ago
    could otherwise take over one that has just been renewed.
    """

    def __init__(self, store: Conditional, key: str) -> None:
        self._store, self._key = store, key
        self._content: dict[str, Any] = {
            "token": secrets.token_hex(16),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": this_process(),
            "since": now_text(),
            "writes": 0,
        }
        self._version = ""

    def acquire(self, timeout: float) -> str | None:
        """Acquire the lock if it is free or expired and return None; otherwise return who holds it."""
        self._content["since"] = now_text()
        version = self._store.create(self._key, self._data())
        if version is not None:
            self._version = version
            return None
        current = self._store.read(self._key)
        if current is None:
            return "another process, which has just released it"
        content = _parse(current)
        if self._is_ours(content):  # the answer to `create` was lost, and the client sent it again
            self._version = current.version
            return None
        holder = _holder(content)
        is_over = is_alive(str(content.get("process", ""))) is False
        if current.age <= timeout and not is_over:
            return holder
        version = self._store.replace(self._key, self._data(), current.version)
        if version is None:  # another process was faster
            return "another process, which has just taken it over"
        why = "has ended" if is_over else f"has not renewed it for {current.age:.0f} s"
        logger.warning("Taking over the lock %s: %s %s.", self._key, holder, why)
        self._version = version
        return None

    def renew(self) -> bool:
        """Rewrite the lock; return False if it belongs to another process, or is gone."""
        version = self._store.replace(self._key, self._data(), self._version)
        if version is None:
            current = self._store.read(self._key)
            if current is None or not self._is_ours(_parse(current)):
                return False
            # An answer was lost, so this is a version of ours that we do not know.
            version = self._store.replace(self._key, self._data(), current.version)
        if version is not None:
            self._version = version
        return version is not None

    def release(self) -> None:
        """Delete the lock if it is still ours."""
        if not self._store.delete_version(self._key, self._version) and self.renew():
            self._store.delete_version(self._key, self._version)

    def _data(self) -> bytes:
        self._content["writes"] += 1
        return json.dumps(self._content).encode()

    def _is_ours(self, content: dict[str, Any]) -> bool:
        return bool(content.get("token") == self._content["token"])


def _parse(lock: Versioned) -> dict[str, Any]:
    try:
        content = json.loads(lock.data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _holder(content: dict[str, Any]) -> str:
    if not content:
        return "another process"
    return holder_text(*(content.get(name, "unknown") for name in ("host", "pid", "since")))
