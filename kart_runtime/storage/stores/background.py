"""How are small objects stored without anybody waiting for each? By threads, and all of them before a build returns.

For log files and records on remote stores: a task has five of them, and none is needed to go on. `builder` puts a
`BackgroundWriter` in force; an attempt in a worker process has one of its own, so that its outcome is sent when
everything is stored. Without one, `put` stores at once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from kart_runtime.errors import RecordsNotStored
from kart_runtime.storage.stores import Store
from kart_runtime.storage.stores import put as put_now

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_MOST_WAITING = 1024
"""Objects that may wait to be sent; then whoever brings more waits, or they would only fill the memory."""

_LAST_SECONDS = 10.0
"""How long an interrupted build waits for what is on its way."""


class BackgroundWriter:
    """Objects on their way."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST_WAITING)
        self._pending: set[Future[None]] = set()
        self._first_lost: tuple[str, Exception] | None = None
        self._lost = 0

    def put(self, store: Store, key: str, data: bytes) -> None:
        """Have a small object stored.

        Parameters
        ----------
        store, key, data
            As for `stores.put`.
        """
        self._room.acquire()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_AT_ONCE, "kart-background")
            future = self._threads.submit(self._store, store, key, data)
            self._pending.add(future)
        future.add_done_callback(self._done)

    def _store(self, store: Store, key: str, data: bytes) -> None:
        try:
            put_now(store, key, data)
        except Exception as error:  # noqa: BLE001 - told at the end
            with self._lock:
                self._lost += 1
                self._first_lost = self._first_lost or (key, error)

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        with self._lock:
            self._pending.discard(future)

    def finish(self, seconds: float | None = None) -> None:
        """Wait until everything that was given so far is stored.

        Parameters
        ----------
        seconds
            How long at most; what has not been sent then is dropped. None: as long as it takes.

        Raises
        ------
        RecordsNotStored
            When something could not be stored.
        """
        with self._lock:
            pending = set(self._pending)  # and not what another build brings meanwhile
        late = wait(pending, seconds).not_done
        if late:
            logger.warning("%d log files were on their way, and are not stored.", len(late))
            self._drop()
        self._end_idle()
        with self._lock:
            first, self._first_lost = self._first_lost, None
            lost, self._lost = self._lost, 0
        if first is not None:
            key, error = first
            raise RecordsNotStored(key, lost, str(error)) from error

    def _end_idle(self) -> None:
        with self._lock:  # so that nobody hands something to threads that end
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


_in_force: list[BackgroundWriter] = []
_lock = threading.Lock()


def put(store: Store, key: str, data: bytes) -> None:
    """Store a small object in the background, if there is one in force, else now.

    Parameters
    ----------
    store, key, data
        As for `stores.put`.
    """
    behind = next(iter(_in_force), None)
    (put_now if behind is None else behind.put)(store, key, data)


@contextmanager
def background_writes() -> Iterator[None]:
    """Let small objects go in the background until the block ends; then wait for them.

    Builds in several threads, and builds inside tasks, share what is in force; each waits for all that was given
    until then.

    Raises
    ------
    RecordsNotStored
        When something could not be stored, and nothing else is wrong.
    """
    with _lock:
        ours = _in_force[0] if _in_force else BackgroundWriter()
        _in_force.append(ours)
    try:
        yield
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        try:
            _end(ours, _LAST_SECONDS if interrupted else None)
        except RecordsNotStored as lost:
            error.add_note(str(lost))
        raise
    _end(ours, None)


def _end(ours: BackgroundWriter, seconds: float | None) -> None:
    try:
        ours.finish(seconds)
    finally:
        with _lock:
            _in_force.remove(ours)


def _begin_in_child() -> None:
    """Forget in a forked process what the threads of the other one store."""
    global _lock
    _in_force.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)
