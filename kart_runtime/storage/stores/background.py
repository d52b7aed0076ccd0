"""Background writes of small objects: log files and records on remote stores.

A task has five log files, and the build needs none of them to go on, so threads store them, all before `build` returns.
An attempt in a worker process has a `BackgroundWriter` of its own, so that everything is stored when its outcome is
sent. Without an active one, `put` stores at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import NamedTuple

from kart_runtime.errors import RecordsNotStored
from kart_runtime.storage.stores import Store
from kart_runtime.storage.stores import put as put_now
from kart_runtime.storage.stores.threads import RequestThreads
from kart_runtime.storage.system import after_fork

logger = logging.getLogger(__name__)

_CONCURRENCY = 16
_MAX_PENDING = 1024
"""Objects that may wait to be sent; then `put` waits, so that they do not fill the memory."""

_INTERRUPTED_SECONDS, _STALLED_SECONDS = 10.0, 1.0
"""Seconds that an interrupted build waits for pending objects: in all, and while none of them gets stored."""

_GIVE_UP = 2 * _CONCURRENCY
"""Failures in a row after which objects are not sent any more, but for one now and then."""

_TRY_AGAIN_SECONDS = 10.0
_MAX_KEPT = 4096
"""Objects that could not be stored and are kept for another try at the end."""


class _Failed(NamedTuple):
    store: Store
    key: str
    data: bytes


class BackgroundWriter:
    """Threads that store small objects."""

    def __init__(self) -> None:
        self._threads: RequestThreads | None = None
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(_MAX_PENDING)
        self._pending: set[Future[None]] = set()
        self._first_failure: tuple[str, Exception] | None = None
        self._failed: list[_Failed] = []
        self._in_a_row, self._tried_at = 0, 0.0
        self.n_failed = 0

    def put(self, store: Store, key: str, data: bytes) -> None:
        """Store a small object in the background."""
        self._free.acquire()
        with self._lock:
            if self._threads is None:
                self._threads = RequestThreads(_CONCURRENCY, "kart-background")
            future = self._threads.submit(self._store, store, key, data)
            self._pending.add(future)
        future.add_done_callback(self._done)

    def _store(self, store: Store, key: str, data: bytes) -> None:
        error = None
        if self._may_try():
            try:
                put_now(store, key, data)
            except Exception as caught:  # noqa: BLE001 - raised at the end
                error = caught
            else:
                self._in_a_row = 0
                return
        with self._lock:
            self._in_a_row += 1
            self.n_failed += 1
            if error is not None:
                self._first_failure = self._first_failure or (key, error)
            if len(self._failed) < _MAX_KEPT:
                self._failed.append(_Failed(store, key, data))

    def _may_try(self) -> bool:
        """Return whether an object is sent: after many failures only one now and then, lest the build wait for all."""
        now = time.monotonic()
        with self._lock:
            if self._in_a_row >= _GIVE_UP and now - self._tried_at < _TRY_AGAIN_SECONDS:
                return False
            self._tried_at = now
            return True

    def _done(self, future: Future[None]) -> None:
        self._free.release()
        with self._lock:
            self._pending.discard(future)

    def finish(self, seconds: float | None = None) -> None:
        """Wait until everything so far is stored, or for some seconds and drop the rest; raise `RecordsNotStored`."""
        with self._lock:
            pending = set(self._pending)  # and not what another build adds meanwhile
        late = _wait(pending, seconds)
        if late:
            logger.warning("%d log files or run records are not stored, because the build was interrupted.", len(late))
            self._drop()
        elif seconds is None:
            self._try_again()
        self._end_idle()
        with self._lock:
            failure, self._first_failure = self._first_failure, None
            n_failed, self.n_failed = self.n_failed, 0
            self._failed.clear()
        if failure is not None and n_failed:
            key, error = failure
            raise RecordsNotStored(key, n_failed, str(error)) from error

    def _try_again(self) -> None:
        """Store what failed while the service was away, until something fails again."""
        with self._lock:
            failed, self._failed = self._failed, []
        for one in failed:
            try:
                put_now(*one)
            except Exception:  # noqa: BLE001 - the first failure is told
                return
            with self._lock:
                self.n_failed -= 1

    def _end_idle(self) -> None:
        with self._lock:  # so that nothing is submitted to threads that end
            threads = None if self._pending else self._threads
            if threads is not None:
                self._threads = None
        if threads is not None:
            threads.shutdown()

    def _drop(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _wait(pending: set[Future[None]], seconds: float | None) -> set[Future[None]]:
    """Wait for all, or for some seconds as long as one after the other is done; return those that are not."""
    if seconds is None:
        return wait(pending).not_done
    deadline = time.monotonic() + seconds
    while pending and (left := deadline - time.monotonic()) > 0:
        found = wait(pending, min(left, _STALLED_SECONDS), FIRST_COMPLETED)
        if not found.done:
            break
        pending = found.not_done
    return pending


def lost_number() -> int:
    """Return how many objects could not be stored so far."""
    return sum(writer.n_failed for writer in {id(each): each for each in _active}.values())


_active: list[BackgroundWriter] = []
_lock = threading.Lock()


def put(store: Store, key: str, data: bytes) -> None:
    """Store a small object, in the background if a writer is active."""
    writer = next(iter(_active), None)
    (put_now if writer is None else writer.put)(store, key, data)


@contextmanager
def background_writes() -> Iterator[None]:
    """Store small objects in the background until the block ends; then wait for them and raise `RecordsNotStored`.

    Builds in several threads, and builds inside tasks, share one writer; each waits for everything given until then.
    """
    with _lock:
        writer = _active[0] if _active else BackgroundWriter()
        _active.append(writer)
    try:
        yield
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        try:
            _end(writer, _INTERRUPTED_SECONDS if interrupted else None)
        except RecordsNotStored as failure:
            error.add_note(str(failure))
        raise
    _end(writer, None)


def _end(writer: BackgroundWriter, seconds: float | None) -> None:
    try:
        writer.finish(seconds)
    finally:
        with _lock:
            _active.remove(writer)


def _begin_in_child() -> None:
    """Drop in a forked process what the threads of its parent store."""
    global _lock
    _active.clear()
    _lock = threading.Lock()


after_fork(_begin_in_child)
