"""Limit of the time of a call on a Dask worker, and the end of the calls of a build that was interrupted.

The call has a thread of its own there, which is interrupted at the end of its time. If it goes on all the same, the
program fails the call and restarts the worker, whose only thread waits until then, so that no other call is lost with
it. A worker with several threads, or without a nanny that could restart it, gives the call up. The program acts by
itself (`executor`) where a worker says nothing: it was stopped, or compiled code holds its interpreter.

After Ctrl-C the program has all workers interrupt the calls of its build (`end_calls`), and restarts those whose calls
go on all the same (`has_calls`).
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kart_runtime.execution.time_limit import (
    Interrupted,
    Stack,
    TaskTimeout,
    ThreadClock,
    interrupt,
    remote_clock,
    stack_of,
    withdraw_interrupt,
)
from kart_runtime.storage.system import after_fork

GRACE_SECONDS = 1.0
"""How long a call may take to end after it was interrupted."""

_LOOK_SECONDS = 0.2
_NOTIFY_SECONDS = 10.0

_lock = threading.Lock()
_calls: dict[int, str] = {}
"""Thread to the build whose call it runs."""
_ended: set[str] = set()
"""Builds that were interrupted."""
after_fork(_calls.clear)


@contextmanager
def call_of(build: str) -> Iterator[None]:
    """Let `end_calls` reach what this thread runs inside the block; raise `Interrupted` if its build has ended."""
    thread = threading.get_ident()
    with _lock:
        if build in _ended:
            raise Interrupted
        _calls[thread] = build
    try:
        yield
    finally:
        with _lock:
            _calls.pop(thread, None)
            withdraw_interrupt(thread)


def end_calls(build: str) -> None:
    """Interrupt the calls of a build in this process, and refuse those that come."""
    with _lock:
        _ended.add(build)
        for thread, other in _calls.items():
            if other == build:
                interrupt(thread)


def has_calls(build: str) -> bool:
    """Return whether calls of a build still run in this process."""
    return build in list(_calls.values())


def can_be_restarted(dask_worker: Any) -> bool:
    """Return whether this worker may be killed: its nanny starts another one, and no other call is lost with it."""
    return bool(dask_worker.nanny) and dask_worker.state.nthreads == 1


class _Clock(ThreadClock):
    """Clock that says when it begins."""

    def __init__(self, seconds: float, notify: Callable[[], None]) -> None:
        super().__init__(seconds)
        self._notify = notify

    def start(self) -> None:
        self._notify()
        super().start()


def run_limited(  # noqa: PLR0917
    worker: Any, attempt: Any, build: str, name: str, seconds: float, notify: Callable[[Stack | None], None]
) -> Any:
    """Run an attempt for some seconds; `notify` hears when its time begins, and where it stands if it goes on."""
    clock = _Clock(seconds, lambda: notify(None))
    values: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        remote_clock.set(clock)
        try:
            with call_of(build):
                values.append(attempt.run())
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            errors.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="kart-limited", daemon=True)
    thread.start()
    while thread.is_alive():
        left = clock.left()
        thread.join(_LOOK_SECONDS if left is None else max(left, 0.001))
        if left is not None and left <= 0 and thread.is_alive():
            where = stack_of(clock.thread)
            if attempt.give_up(TaskTimeout(name, seconds, where)):
                how = _end(worker, thread, lambda: notify(where))  # noqa: B023 - called at once
                return attempt.timed_out(TaskTimeout(name, seconds, where, how))
            thread.join()
    for error in errors:
        raise error
    return values[0]


def _end(worker: Any, thread: threading.Thread, ask_for_end: Callable[[], None]) -> str:
    """Interrupt a thread, and say what became of it."""
    interrupt(thread.ident or 0)
    thread.join(GRACE_SECONDS)
    if not thread.is_alive():
        return f"was ended on the Dask worker {worker.address}"
    if can_be_restarted(worker):
        ask_for_end()
        thread.join()
    return f"was given up: its thread goes on on the Dask worker {worker.address}"


def notify_program(worker: Any, topic: str, key: str, where: Stack | None) -> None:
    """Let the program know that the time of a call begins, before anything can hinder that, or where it goes on."""
    from distributed.utils import sync

    message = [key, None if where is None else [list(call) for call in where], worker.address]
    with contextlib.suppress(Exception):  # without it, only this worker ends the call
        sync(worker.loop, worker.scheduler.log_event, callback_timeout=_NOTIFY_SECONDS, topic=topic, msg=message)
