"""Leases: locks that expire unless they are renewed, as those of a server do.

A holder may be paused (a closed laptop, a debugger, SIGSTOP) for longer than its lease lasts, and then another process
has acquired it. So `check`, which raises when the lease may be lost, comes before a result becomes visible. One thread
of the process renews all leases that it holds.
"""

from __future__ import annotations

import logging
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kart_runtime.errors import LockLost, LockTimeout, warn
from kart_runtime.storage.system import after_fork

logger = logging.getLogger(__name__)

_PAUSE = 0.1
"""Seconds between two requests to a server that does not answer."""

_PATIENCE = 3.0
"""Seconds for which such a server is asked before a result is stored, as long as the lease lasts by our own clock."""

_MARGIN = 1.0
"""Seconds before the end of a lease from which on our own clock is not enough."""

_random = random.SystemRandom()
"""Not the global generator, which belongs to the task that runs, and is seeded alike in processes that wait."""


def _make_clock() -> Callable[[], float]:
    """Return a clock that goes on while the process is stopped, and where possible while the machine sleeps."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot_time is None else partial(time.clock_gettime, boot_time)


boot_clock = _make_clock()
"""Seconds on a clock that nobody sets."""


def holder_id() -> str:
    """Return this process and the time as text, for those who wait."""
    return holder_text(socket.gethostname(), os.getpid(), now_text())


def holder_text(host: object, pid: object, since: object) -> str:
    """Return who holds a lock, in the form that all messages have."""
    return f"host {host}, process {pid}, since {since}"


def now_text() -> str:
    """Return the local time with its offset from UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


class Instant(NamedTuple):
    """A point in time by two clocks: after a pause of a virtual machine, only the second may be right."""

    running: float
    wall: float

    @classmethod
    def now(cls) -> Instant:
        """Return the present."""
        return cls(boot_clock(), time.time())

    def elapsed(self) -> float:
        """Return the seconds since then, by the clock that shows more."""
        now = Instant.now()
        return max(now.running - self.running, now.wall - self.wall)


class Lease:
    """A lock that expires after `timeout` seconds unless it is renewed.

    `renew` asks the server; it returns False if the lease is lost and raises if there is no answer. `began` is a moment
    before the server granted the lease. For `trusted` seconds after a renewal it is certainly held, without a request;
    the rest of the time-out is for clocks that differ, and for what is written after the check.
    """

    alone = False
    is_lease = True

    def __init__(
        self,
        name: str,
        timeout: float,
        renew: Callable[[], bool],
        began: Instant,
        *,
        trusted: float = 0.0,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.timeout = name, timeout
        self.release = release
        self._renew, self._confirmed, self._trusted = renew, began, trusted
        self._why_lost = ""
        self._ended = False
        self.is_silent = False
        """Whether the server did not answer when it was last asked."""
        self._lock = threading.Lock()

    def check(self) -> None:
        """Return if it is still held; raise `LockLost` if not, or if no server answers until it has expired.

        While it has not, nobody else can have it: then a server that does not answer is no reason to lose the work.
        """
        with self._lock:
            if not self._why_lost and not self._is_certain():
                began = time.monotonic()
                while not self._is_answered():
                    left = self.seconds_left
                    if left > 0 and time.monotonic() - began > _PATIENCE:
                        warn(logger, "No server answers for the lock on %s, which lasts for %.0f s.", self.name, left)
                        return
                    time.sleep(_PAUSE)
            if self._why_lost:
                raise LockLost(self.name, self._why_lost, is_unanswered=self.is_silent)

    check_again = check

    def suspend(self) -> None:
        """Do nothing: it is renewed as before."""

    def renew(self) -> float | None:
        """Renew it; return the seconds until the next renewal, None if there is none."""
        if not self._lock.acquire(blocking=False):  # `check` renews it at this moment
            return self.timeout / 3
        try:
            if self._ended or self._why_lost:
                return None
            return self.timeout / 3 if self._is_answered() else self.timeout / 10
        finally:
            self._lock.release()

    @property
    def seconds_left(self) -> float:
        """Return for how long nobody else can have it, by our own clock."""
        return self.timeout - _MARGIN - self._confirmed.elapsed()

    def end(self) -> bool:
        """Stop renewing it; return whether, by the clock alone, nobody else can have it."""
        with self._lock:
            self._ended = True
            return not self._why_lost and self._is_certain()

    def _is_certain(self) -> bool:
        return self._confirmed.elapsed() < self._trusted

    def _is_answered(self) -> bool:
        """Ask the server; return False if it did not answer and there is time to ask again."""
        began = Instant.now()
        try:
            is_ours = self._renew()
            self.is_silent = False
        except Exception as error:  # noqa: BLE001 - of whatever client; reported when time is up
            self.is_silent = True
            silent = self._confirmed.elapsed()
            if silent < self.timeout:
                return False
            self._why_lost = f"it could not be renewed for {silent:.0f} s ({type(error).__name__}: {error})"
            return True
        if is_ours:
            self._confirmed = began
        else:
            silent = self._confirmed.elapsed()
            self._why_lost = f"it was not renewed for {silent:.0f} s, so it expired or another process acquired it"
        return True


def granted(name: str, wait: float, ask: Callable[[], str | None], pauses: tuple[float, float]) -> Instant:
    """Ask for a lease until nobody else holds it; return a moment before the server granted it.

    `ask` returns who holds it, or None if it is granted now. `pauses` are the seconds between two tries, growing from
    the first to the last. After `wait` seconds, raise `LockTimeout`.
    """
    started, (pause, last) = time.monotonic(), pauses
    while True:
        began = Instant.now()
        holder = ask()
        if holder is None:
            return began
        waited = time.monotonic() - started
        if waited >= wait:
            raise LockTimeout(name, waited, holder)
        time.sleep(min(pause * _random.uniform(0.5, 1.0), wait - waited))
        pause = min(pause * 1.5, last)


class LeaseRenewer:
    """The leases that this process holds, and one thread that renews them.

    The thread starts with the first lease and stays. A lease that ends before it has to be renewed costs no more than
    an entry here. A fork has nothing to renew: what its parent holds, its parent renews.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()
        after_fork(self._begin)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Lease, float] = {}
        self._thread: threading.Thread | None = None
        self._wakes = 0.0
        """When the thread wakes by itself."""

    def add(self, lease: Lease) -> None:
        """Renew a lease, just granted, from now on."""
        due = time.monotonic() + lease.timeout / 3
        with self._changed:
            self._due[lease] = due
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif due < self._wakes:
                self._changed.notify()

    def remove(self, lease: Lease) -> None:
        """Stop renewing a lease."""
        with self._changed:
            self._due.pop(lease, None)

    def _run(self) -> None:
        while True:
            for lease in self._wait():
                pause = lease.renew()
                with self._changed:
                    if pause is None:
                        self._due.pop(lease, None)
                    elif lease in self._due:
                        self._due[lease] = time.monotonic() + pause

    def _wait(self) -> list[Lease]:
        """Wait until a lease has to be renewed; return all that have."""
        with self._changed:
            while True:
                now = time.monotonic()
                due_leases = [lease for lease, due in self._due.items() if due <= now]
                if due_leases:
                    return due_leases
                self._wakes = min(self._due.values(), default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else self._wakes - now)
