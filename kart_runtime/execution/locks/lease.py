"""Is it still my turn? A lease says so: a turn that ends by itself unless it is renewed, as a server's locks do.

The holder may be paused (a laptop's lid, a debugger, SIGSTOP) for longer than the lease lasts, and then another process
has taken it. So a lease is asked before a result becomes visible; `check` raises when it may be lost. Made by
`redis_locks` and `store_locks`; one thread of the process renews all that are held.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from kart_runtime.errors import LockLost

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that goes on while the process is stopped, and where the system has one, also while the machine sleeps."""

_PAUSE = 0.1
"""Seconds between two questions to a server that does not answer."""


def holder_id() -> str:
    """Return who this is, for those who wait: host, process and the time."""
    return holder_text(socket.gethostname(), os.getpid(), now_text())


def holder_text(host: object, pid: object, since: object) -> str:
    """Return who holds a lock, in the one form that all messages have.

    Parameters
    ----------
    host, pid, since
        The machine, the process, and since when.
    """
    return f"host {host}, process {pid}, since {since}"


def now_text() -> str:
    """Return the local time with its offset from UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


class Instant(NamedTuple):
    """A point in time, by two clocks: a virtual machine that was paused may find only the second one set right."""

    running: float
    wall: float

    @classmethod
    def now(cls) -> Instant:
        """Return this moment."""
        return cls(time.clock_gettime(_CLOCK), time.time())

    def elapsed(self) -> float:
        """Return how many seconds have passed since; rather too many than too few."""
        now = Instant.now()
        return max(now.running - self.running, now.wall - self.wall)


class Lease:
    """A turn that ends unless it is renewed.

    Parameters
    ----------
    name
        What is held.
    timeout
        Seconds after which it ends.
    renew
        Asks the server to renew it; returns False when it is lost, and raises when there is no answer.
    began
        A moment before the server granted it.
    trusted
        For how many seconds after a renewal it is certain without a question. The rest of the time-out is for clocks
        that differ, and for what is written after the check.
    """

    def __init__(
        self, name: str, timeout: float, renew: Callable[[], bool], began: Instant, *, trusted: float = 0.0
    ) -> None:
        self.name, self.timeout = name, timeout
        self._renew, self._confirmed, self._trusted = renew, began, trusted
        self._why_lost = ""
        self._ended = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Return when it is still this process's turn.

        Raises
        ------
        LockLost
            When it is not, or when the server has not answered for as long as the lease lasts.
        """
        with self._lock:
            if not self._why_lost and not self._is_certain():
                while not self._is_answered():
                    time.sleep(_PAUSE)
            if self._why_lost:
                raise LockLost(self.name, self._why_lost)

    def renew(self) -> float | None:
        """Renew it; return in how many seconds that has to be done again, None when there is nothing more to do."""
        if not self._lock.acquire(blocking=False):  # somebody asks at this moment
            return self.timeout / 3
        try:
            if self._ended or self._why_lost:
                return None
            return self.timeout / 3 if self._is_answered() else self.timeout / 10
        finally:
            self._lock.release()

    def end(self) -> bool:
        """Renew it no more; return whether it is certain, by the clock alone, that nobody else has it."""
        with self._lock:
            self._ended = True
            return not self._why_lost and self._is_certain()

    def _is_certain(self) -> bool:
        return self._confirmed.elapsed() < self._trusted

    def _is_answered(self) -> bool:
        """Ask the server; return False when it did not answer and there is time to ask again."""
        began = Instant.now()
        try:
            mine = self._renew()
        except Exception as error:  # noqa: BLE001 - of whatever client; it is told when time is up
            silent = self._confirmed.elapsed()
            if silent < self.timeout:
                return False
            self._why_lost = f"it could not be renewed for {silent:.0f} s ({type(error).__name__}: {error})"
            return True
        if mine:
            self._confirmed = began
        else:
            silent = self._confirmed.elapsed()
            self._why_lost = f"it was not renewed for {silent:.0f} s, and then it ended or another process took it"
        return True


class LeaseRenewer:
    """The leases that this process holds, and one thread that renews them.

    The thread starts with the first lease and stays. A lease that ends before it has to be renewed costs no more than
    an entry here. In a fork there is nothing to renew: what the program holds, the program renews.

    Parameters
    ----------
    name
        What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Lease, float] = {}
        self._thread: threading.Thread | None = None
        self._wakes = 0.0
        """When the thread looks again by itself."""

    def add(self, lease: Lease) -> None:
        """Renew a lease from now on.

        Parameters
        ----------
        lease
            One that has just been granted.
        """
        due = time.monotonic() + lease.timeout / 3
        with self._changed:
            self._due[lease] = due
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif due < self._wakes:
                self._changed.notify()

    def remove(self, lease: Lease) -> None:
        """Let go of a lease.

        Parameters
        ----------
        lease
            One that was added.
        """
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
        """Return what has to be renewed now; wait until there is something."""
        with self._changed:
            while True:
                now = time.monotonic()
                found = [lease for lease, due in self._due.items() if due <= now]
                if found:
                    return found
                self._wakes = min(self._due.values(), default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else self._wakes - now)
