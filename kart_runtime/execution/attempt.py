"""How is one task run? Hold its lock, look again, seed, write START's files, run(), write SUCCESS's files.

An attempt states its outcome; nothing has to be inferred from an exception or a missing file. It runs wherever the
executor puts it. What a `run()` yields suspends the attempt: the loop runs those tasks and calls `run` again, which
goes on where the generator stopped.
"""

from __future__ import annotations

import enum
import os
import pickle
import time
import traceback
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import luigi

from kart_runtime.errors import LockTimeout, NothingDumped
from kart_runtime.execution.locks import LockHandle, Locks, NoLocks
from kart_runtime.execution.locks.redis_server import redis_locks_of
from kart_runtime.execution.log_writer import TaskLogWriter
from kart_runtime.storage.stores import background
from kart_runtime.storage.stores.listings import cached_listings
from kart_runtime.storage.target import OutputRecord, path_of
from kart_runtime.task.base import TaskOnKart, noop
from kart_runtime.task.identity import EngineState, engine_state_of
from kart_runtime.task.loading import output_of
from kart_runtime.task.naming import lock_name
from kart_runtime.task.nested import flatten, iter_flat


class AttemptState(enum.StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    COMPLETE = "complete"
    """Another process was faster."""
    LOCKED = "locked"
    """Another process runs it at this moment; its error, a `LockTimeout`, says which one."""
    SUSPENDED = "suspended"
    """`run()` yielded tasks that have to be complete before it goes on."""


class Outcome(NamedTuple):
    """What one attempt came to.

    Attributes
    ----------
    state
        How it ended.
    started
        When, ISO 8601 in UTC.
    seconds
        How long `run()` took.
    seed
        The seed that was set.
    stored
        What was dumped.
    log_files
        The kinds of log files that were written.
    error, trace
        The exception and its traceback as text.
    waiting_for
        The tasks that a suspended `run()` waits for.
    """

    state: AttemptState
    started: str
    seconds: float = 0.0
    seed: int | None = None
    stored: tuple[OutputRecord, ...] = ()
    log_files: tuple[str, ...] = ()
    error: BaseException | None = None
    trace: str = ""
    waiting_for: tuple[luigi.Task, ...] = ()


@dataclass
class Attempt:
    """One try at one task.

    Parameters
    ----------
    task
        The task.
    locks
        Who gives the lock. It is not waited for: other tasks may run meanwhile.
    """

    task: luigi.Task
    locks: Locks = field(default_factory=NoLocks)
    satisfied: set[luigi.Task] = field(default_factory=set)
    """What `run()` has yielded and the loop has run."""
    _generator: Generator[Any, Any, None] | None = None
    _yielded: Any = None
    _started: str = ""
    _seconds: float = 0.0
    _logs: TaskLogWriter | None = None
    _lock: LockHandle | None = None
    _away: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot go to another process; there `run()` starts from its beginning."""
        return vars(self) | {"_generator": None, "_yielded": None, "_logs": None, "_lock": None, "_away": True}

    def run(self) -> Outcome:
        """Run the task, or go on with it after a suspension, and say what it came to. Ctrl-C goes through."""
        if not self._away:
            return self._attempted()
        with background.background_writes():  # who waits for this outcome may end the process
            outcome = self._attempted()
        return outcome if outcome.error is None else outcome._replace(error=_portable(outcome))

    def _attempted(self) -> Outcome:
        self._started = self._started or _now()
        engine = engine_state_of(self.task)
        if engine is not None:
            engine.by_attempt = True
        try:
            locks = self._locks(engine)
            return self._run_locked(engine, locks) if locks.shared else self._run(engine)
        except LockTimeout as error:
            return Outcome(AttemptState.LOCKED, self._started, error=error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - no answer from complete(), no connection
            return self.failed(error)
        finally:
            if engine is not None:
                engine.by_attempt = False
                engine.output = None

    def _locks(self, engine: EngineState | None) -> Locks:
        own = redis_locks_of(self.task, self.locks) if engine is not None else None
        return own or self.locks

    def _run_locked(self, engine: EngineState | None, locks: Locks) -> Outcome:
        workspace = cast("TaskOnKart[Any]", self.task).workspace_directory if engine is not None else None
        with locks.hold(lock_name(self.task), workspace, 0.0) as lock:
            # Only another process can have changed the answer since the plan asked.
            if self._generator is None and self._is_complete():
                return Outcome(AttemptState.COMPLETE, self._started)
            self._keep(engine, lock)
            try:
                return self._run(engine)
            finally:
                self._keep(engine, None)

    def _keep(self, engine: EngineState | None, lock: LockHandle | None) -> None:
        self._lock = lock
        if engine is not None:
            engine.may_commit = lock.check if lock is not None else None

    def _is_complete(self) -> bool:
        return bool(getattr(self.task, "complete_check_at_run", True) and self.task.complete())

    def _run(self, engine: EngineState | None) -> Outcome:
        task = self.task
        began = None
        try:
            if self._generator is None:
                self._start(engine)
            began = time.perf_counter()
            waiting_for = self._advance()
            self._seconds, began = self._seconds + time.perf_counter() - began, None
            if waiting_for:
                return Outcome(AttemptState.SUSPENDED, self._started, self._seconds, waiting_for=waiting_for)
            return self._succeed(engine)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is its outcome
            self._seconds += time.perf_counter() - began if began else 0.0
            _notify_failure(task, error)
            return self.failed(error)

    def _start(self, engine: EngineState | None) -> None:
        task = self.task
        if engine is not None:
            engine.stored, engine.rng = (), None
            self._logs = TaskLogWriter(cast("TaskOnKart[Any]", task))
            self._logs.at_start()
        _give_reporters(task)
        _emit(task, luigi.Event.START)

    def _advance(self) -> tuple[luigi.Task, ...]:
        """Run to the end, or to the first yield whose tasks are not complete; return those."""
        if self._generator is None:
            result = self.task.run()
            if result is None or not isinstance(result, Generator):
                return ()
            self._generator, send = result, None
        else:
            send = _paths(self._yielded)
        while True:
            try:
                self._yielded = self._generator.send(send)
            except StopIteration:
                return ()
            yielded = _flat(self._yielded)
            asked = [task for task in yielded if task not in self.satisfied]
            with cached_listings() if len(asked) > 1 else nullcontext():  # many are looked for by few requests
                waiting_for = tuple(task for task in asked if not task.complete())
            if waiting_for:
                return waiting_for
            send = _paths(self._yielded)

    def _succeed(self, engine: EngineState | None) -> Outcome:
        task = self.task
        stored: tuple[OutputRecord, ...] = ()
        seed: int | None = None
        log_files: tuple[str, ...] = ()
        if self._lock is not None:
            self._lock.check()  # another process may have stored the output since, and writes these files
        if engine is not None and self._logs is not None:
            stored = engine.stored
            outputs = flatten(output_of(task))
            _check_dumped(task, outputs, stored)
            engine.reran = True
            self._logs.at_success(self._seconds, outputs)
            seed, log_files = self._logs.seed, self._logs.written
        _emit(task, luigi.Event.PROCESSING_TIME, self._seconds)
        task.on_success()
        _emit(task, luigi.Event.SUCCESS)
        return Outcome(AttemptState.DONE, self._started, self._seconds, seed, stored, log_files)

    def failed(self, error: BaseException) -> Outcome:
        """Return the outcome of this attempt when an error has ended it.

        Parameters
        ----------
        error
            What went wrong, in the attempt or with what it waits for.
        """
        engine = engine_state_of(self.task)
        stored = engine.stored if engine is not None else ()
        log_files = self._logs.written if self._logs is not None else ()
        seed = self._logs.seed if self._logs is not None else None
        text = "".join(traceback.format_exception(error))
        return Outcome(AttemptState.FAILED, self._started, self._seconds, seed, stored, log_files, error, text)


def _now() -> str:
    """Return the time, ISO 8601 in UTC, with milliseconds."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}+00:00"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _portable(outcome: Outcome) -> BaseException:
    """Return the error if it arrives whole in another process, else one that says the same."""
    error = cast("BaseException", outcome.error)
    if not _survives(error):
        return RuntimeError(f"{type(error).__name__}: {error}\n{outcome.trace}")
    error.add_note(f"In process {os.getpid()}:\n{outcome.trace}")
    return error


def _survives(error: BaseException) -> bool:
    """Return whether an error is the same after a journey, whatever its class does in `__reduce__` or `__init__`."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001
        import cloudpickle  # for an error that a script or notebook defines

        try:
            pickle.loads(cloudpickle.dumps(error))
        except Exception:  # noqa: BLE001
            return False
    return True


def _notify_failure(task: luigi.Task, error: BaseException) -> None:
    """Tell the task and luigi's handlers, as luigi's worker does; what goes wrong there is noted with the error."""
    try:
        task.on_failure(error)
    except Exception as second:  # noqa: BLE001 - it must not hide the first
        error.add_note(f"Its on_failure() raised as well: {type(second).__name__}: {second}")
    _emit(task, luigi.Event.FAILURE, error)


FOR_LUIGI: set[Any] = set()
"""The handlers of events that do for luigi's worker what an attempt does itself; `luigi_bridge` names them."""


def _emit(task: luigi.Task, event: str, *details: Any) -> None:
    """Tell luigi's handlers of an event, if there are any but those that have nothing to do here."""
    for handlers in task._event_callbacks.values():
        found = handlers.get(event)
        if found and not found <= FOR_LUIGI:
            task.trigger_event(event, task, *details)
            return


def _give_reporters(task: luigi.Task) -> None:
    # luigi's worker puts these in; a run() written for it may call them.
    for name in ("set_tracking_url", "set_status_message", "set_progress_percentage"):
        if getattr(task, name, None) is None:
            setattr(task, name, noop)


def _check_dumped(task: luigi.Task, outputs: list[Any], stored: tuple[OutputRecord, ...]) -> None:
    # What was dumped is there: no store has to be asked.
    if len(outputs) == len(stored) == 1 and getattr(outputs[0], "url", None) == stored[0].url:
        return
    written = {one.url for one in stored}
    missing = [target for target in outputs if getattr(target, "url", None) not in written and not target.exists()]
    if missing:
        raise NothingDumped(str(task), [path_of(target) for target in missing])


def _flat(yielded: Any) -> list[luigi.Task]:
    if isinstance(yielded, luigi.DynamicRequirements):
        return list(cast("list[luigi.Task]", yielded.flat_requirements))
    found = list(iter_flat(yielded))
    for item in found:
        if not isinstance(item, luigi.Task):
            raise TypeError(f"run() yielded {item!r}; it may yield tasks only")
    return found


def _paths(yielded: Any) -> Any:
    """Return what `yield` gives back inside `run()`: the outputs, in the form of the yielded tasks."""
    if isinstance(yielded, luigi.DynamicRequirements):
        return yielded.paths
    return luigi.task.getpaths(yielded)
