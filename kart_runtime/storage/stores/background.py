"""Background writes of small objects: log files and records on remote stores.

A task has five log files, and the build needs none of them to go on, so threads store them, all before `build` returns.
An attempt in a worker process has a `BackgroundWriter` of its own, so that everything is stored when its outcome is
sent. Without an active one, `put` stores at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from kart_runtime.errors import RecordsNotStored
from kart_runtime.storage.stores import Store
from kart_runtime.storage.stores import put as put_now
from kart_runtime.storage.system import after_fork

logger = logging.getLogger(__name__)

_CONCURRENCY = 16
_MAX_PENDING = 1024
"""Objects that may wait to be sent; then `put` waits, so that they do not fill the memory."""

_INTERRUPTED_SECONDS = 10.0
"""Seconds that an interrupted build waits for pending objects."""


class BackgroundWriter:
    """Threads that store small objects."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(_MAX_PENDING)
        self._pending: set[Future[None]] = set()
        self._first_failure: tuple[str, Exception] | None = None
        self._n_failed = 0

    def put(self, store: Store, key: str, data: bytes) -> None:
        """Store a small object in the background."""
        self._free.acquire()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_CONCURRENCY, "kart-background")
            future = self._threads.submit(self._store, store, key, data)
            self._pending.add(future)
        future.add_done_callback(self._done)

    def _store(self, store: Store, key: str, data: bytes) -> None:
        try:
            put_now(store, key, data)
        except Exception as error:  # noqa: BLE001 - raised at the end
            with self._lock:
                self._n_failed += 1
                self._first_failure = self._first_failure or (key, error)

    def _done(self, future: Future[None]) -> None:
        self._free.release()
        with self._lock:
            self._pending.discard(future)

    def finish(self, seconds: float | None = None) -> None:
        """Wait until everything so far is stored, or for some seconds and drop the rest; raise `RecordsNotStored`."""
        with self._lock:
            pending = set(self._pending)  # and not what another build adds meanwhile
        late = wait(pending, seconds).not_done
        if late:
            logger.warning("%d log files or run records are not stored, because the build was interrupted.", len(late))
            self._drop()
        self._end_idle()
        with self._lock:
            failure, self._first_failure = self._first_failure, None
            n_failed, self._n_failed = self._n_failed, 0
        if failure is not None:
            key, error = failure
            raise RecordsNotStored(key, n_failed, str(error)) from error

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
