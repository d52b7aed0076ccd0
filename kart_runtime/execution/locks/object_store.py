"""Whose turn is it, when machines share a workspace in an object store? An object of the store itself says who has it.

A lock is the object ``log/locks/<name>.lock`` of the workspace, written under a condition: that it does not exist, or
is still as it was read. Its holder writes it anew while it works; one that is older than the time-out, by the store's
own clock, belongs to nobody any more and may be taken over. Called by `locks`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any

from kart_runtime.errors import ConfigError, LockTimeout
from kart_runtime.execution.locks.lease import Instant, Lease, LeaseRenewer, holder_text, now_text
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Conditional, Versioned
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 60.0
"""Seconds after which a lock that nobody renews may be taken over."""

_FIRST_PAUSE, _LAST_PAUSE = 0.2, 5.0
"""Seconds between two looks at a lock that somebody holds; each is one or two requests."""

_ROUNDING = 1.0
"""Seconds by which the age of an object may be wrong: times in answers of services are whole seconds."""

_renewals = LeaseRenewer("kart-store-locks")
_chance = random.SystemRandom()  # the global generator is seeded alike in processes that wait for one another


class StoreLocks:
    """Locks in the object store of the workspace.

    Parameters
    ----------
    workspace
        The workspace of tasks that have none of their own.
    timeout
        Seconds after which a lock ends that nobody renews, because its holder has died. None: `LOCK_TIMEOUT`.
    """

    shared = True

    def __init__(self, workspace: str, timeout: float | None = None) -> None:
        self.workspace = workspace
        self.timeout = LOCK_TIMEOUT if timeout is None else timeout

    def check(self) -> None:
        """Return: whether the store can lock was asked when the locks were made."""

    @contextlib.contextmanager
    def hold(self, name: str, workspace: str | None, wait: float) -> Iterator[Lease]:
        """Hold a name, renewing it until the block ends; wait for it for at most `wait` seconds.

        Raises
        ------
        LockTimeout
            When somebody else holds it all that time.
        ConfigError
            When the store of the workspace cannot give turns.
        """
        claim = _Claim(*conditional_store(Workspace(workspace or self.workspace).lock(name)))
        began = self._granted(claim, name, wait)
        # Half of the time-out is left for the write that follows a check, and for clocks that differ.
        lease = Lease(name, self.timeout, claim.renew, began, trusted=self.timeout / 2)
        _renewals.add(lease)
        try:
            yield lease
        finally:
            _renewals.remove(lease)
            is_certain = lease.end()
            with contextlib.suppress(Exception):  # the service is away: the lock ends by itself
                if is_certain or claim.renew():
                    claim.give_back()

    def _granted(self, claim: _Claim, name: str, wait: float) -> Instant:
        """Take a lock; return a moment before the store wrote it."""
        started, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            began = Instant.now()
            holder = claim.take(self.timeout + _ROUNDING)
            if holder is None:
                return began
            waited = time.monotonic() - started
            if waited >= wait:
                raise LockTimeout(name, waited, holder)
            time.sleep(min(pause * _chance.uniform(0.5, 1.0), wait - waited))
            pause = min(pause * 1.5, _LAST_PAUSE)


def conditional_store(url: str) -> tuple[Conditional, str]:
    """Return the store of a url, which can give turns, and the key in it.

    Parameters
    ----------
    url
        Of a workspace, or something in one.

    Raises
    ------
    ConfigError
        When the store has no writes under a condition.
    """
    store, key = store_for(url)
    if not isinstance(store, Conditional):
        raise ConfigError(
            f"the store of {url} cannot give turns, because it has no writes under a condition; lock by a redis server",
            key="run.locks",
            expected="redis://HOST:PORT",
        )
    return store, key


class _Claim:
    """One lock object, and what one holder knows of it.

    Its content is another one with each write. S3 tells versions by their content, so that somebody who read the lock
    long ago could else take over one that has just been renewed.
    """

    def __init__(self, store: Conditional, key: str) -> None:
        self._store, self._key = store, key
        self._told: dict[str, Any] = {
            "token": secrets.token_hex(16),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": now_text(),
            "writes": 0,
        }
        self._version = ""

    def take(self, timeout: float) -> str | None:
        """Take the lock if it is free, or older than the time-out; return None then, else who holds it."""
        self._told["since"] = now_text()
        version = self._store.create(self._key, self._data())
        if version is not None:
            self._version = version
            return None
        found = self._store.read(self._key)
        if found is None:
            return "another process, which gives it back at this moment"
        told = _read(found)
        if self._is_mine(told):  # the answer to `create` was lost, and the client asked again
            self._version = found.version
            return None
        holder = _holder(told)
        if found.age <= timeout:
            return holder
        version = self._store.replace(self._key, self._data(), found.version)
        if version is None:  # another one was faster
            return "another process, which has just taken it over"
        logger.warning("%s is taken over: %s has not renewed it for %.0f s", self._key, holder, found.age)
        self._version = version
        return None

    def renew(self) -> bool:
        """Write the lock anew; return False when it is somebody else's, or gone."""
        version = self._store.replace(self._key, self._data(), self._version)
        if version is None:
            found = self._store.read(self._key)
            if found is None or not self._is_mine(_read(found)):
                return False
            # An answer was lost, so that it is a version of ours that we do not know.
            version = self._store.replace(self._key, self._data(), found.version)
        if version is not None:
            self._version = version
        return version is not None

    def give_back(self) -> None:
        """Remove the lock, if it is still ours."""
        if not self._store.delete_version(self._key, self._version) and self.renew():
            self._store.delete_version(self._key, self._version)

    def _data(self) -> bytes:
        self._told["writes"] += 1
        return json.dumps(self._told).encode()

    def _is_mine(self, told: dict[str, Any]) -> bool:
        return bool(told.get("token") == self._told["token"])


def _read(found: Versioned) -> dict[str, Any]:
    try:
        told = json.loads(found.data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _holder(told: dict[str, Any]) -> str:
    if not told:
        return "another process"
    return holder_text(told.get("host", "unknown"), told.get("pid", "unknown"), told.get("since", "unknown"))
