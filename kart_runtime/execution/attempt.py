"""Run one task: lock, re-check completeness, seed, call `run()`, write the log files.

An attempt returns its outcome; nothing has to be inferred from an exception or a missing file. It runs wherever the
executor puts it. If `run()` yields tasks, the attempt is suspended: the scheduler runs those tasks and calls `run`
again, which resumes the generator.
"""

from __future__ import annotations

import enum
import logging
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, cast

import luigi

from kart_runtime.errors import (
    LockLost,
    LockTimeout,
    NothingDumped,
    RecordsNotStored,
    add_note,
    described,
    trace_of,
    warn,
    without_engine,
)
from kart_runtime.errors.secret_sources import note_new_environment
from kart_runtime.errors.secrets import noted_secrets
from kart_runtime.execution.locks import LockHandle, Locks, NoLocks
from kart_runtime.execution.locks.redis_server import redis_locks_of
from kart_runtime.execution.log_lines import keep_log_records
from kart_runtime.execution.log_writer import TaskLogWriter
from kart_runtime.execution.memory import peak_mb, reset_peak
from kart_runtime.execution.portable_errors import portable
from kart_runtime.execution.processor_time import this_place
from kart_runtime.execution.time_limit import Clock, TaskTimeout, remote_clock
from kart_runtime.execution.used_tasks import note_used
from kart_runtime.execution.working_folder import RestoredFolder
from kart_runtime.history.losses import Loss, collected_losses, report_not_stored
from kart_runtime.storage.commit import recover
from kart_runtime.storage.durable import durable_writes
from kart_runtime.storage.durable import is_on as is_durable
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.staging import OutputRecord, active_run
from kart_runtime.storage.stores.background import background_writes
from kart_runtime.storage.stores.listings import cached_listings
from kart_runtime.storage.target import Target, path_of
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart, is_complete, kart_task, noop
from kart_runtime.task.loading import output_of
from kart_runtime.task.naming import display_name, lock_name
from kart_runtime.task.nested import flatten, iter_flat
from kart_runtime.task.origin import recorded_inputs
from kart_runtime.task.parameters import ActiveOverrides, active_overrides, using_overrides
from kart_runtime.task.progress import remote_report, report_percentage, report_status
from kart_runtime.task.state import TaskRun, close_scratch, note_given_up, own_overrides

logger = logging.getLogger(__name__)


class AttemptState(enum.StrEnum):
    """State that an attempt ended in."""

    DONE = "done"
    FAILED = "failed"
    COMPLETE = "complete"
    """Another process has completed the task meanwhile."""
    LOCKED = "locked"
    """Another process is running the task; the error, a `LockTimeout`, says which one."""
    SUSPENDED = "suspended"
    """`run()` has yielded tasks that must complete first."""


@dataclass(slots=True, eq=False)
class Outcome:
    """Result of one attempt.

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
    inputs
        What was loaded, as pairs of a url and the checksum of the bytes.
    peak_mb
        The most memory that its process held, in a worker process.
    began, ended
        When it started and ended, in seconds since the epoch.
    cpu
        Seconds of processor time.
    worker
        Where it ran: ``host:process id:thread``.
    metrics
        What `run()` measured, by name.
    series
        Names of the metrics that have a value for each step.
    logged
        Number of log records.
    secrets
        Those that were looked up in another process; no text may show them.
    losses
        Log files that another process could not write.
    timeout
        The limit in seconds, if that has ended it.
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
    inputs: tuple[tuple[str, str], ...] = ()
    peak_mb: float | None = None
    began: float = 0.0
    ended: float = 0.0
    cpu: float | None = None
    worker: str = ""
    metrics: tuple[tuple[str, float | str], ...] = ()
    series: tuple[str, ...] = ()
    logged: int = 0
    secrets: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    timeout: float | None = None


@dataclass
class Attempt:
    """One try at one task.

    `locks` are not waited for: other tasks may run meanwhile. `satisfied` holds the tasks that `run()` has yielded and
    that are complete by now. `task_run` is the state of the run, bound to the task while it goes on; it holds what
    `run()` dumps until the attempt commits it. An attempt with `replaces` runs although all outputs exist, so `run()`
    has to dump each of them. One that `is_retry` follows a failed one, whose `task_log` it does not continue.
    `on_start` is called, in this process only, when `run()` is about to begin, and `clock` goes while the task runs, if
    its time is limited.
    """

    task: luigi.Task
    locks: Locks = field(default_factory=NoLocks)
    satisfied: set[luigi.Task] = field(default_factory=set)
    task_run: TaskRun = field(default_factory=TaskRun)
    replaces: bool = False
    is_retry: bool = False
    on_start: Callable[[], None] | None = None
    clock: Clock | None = None
    _generator: Generator[Any, Any, None] | None = None
    _yielded: Any = None
    _overrides: ActiveOverrides | None = None
    _started: str = ""
    _seconds: float = 0.0
    _began: float = 0.0
    _cpu: float = 0.0
    _logs: TaskLogWriter | None = None
    _lock: LockHandle | None = None
    _is_remote: bool = False
    _is_durable: bool = False
    _before: dict[str, Any] | None = None
    _folder: RestoredFolder | None = None
    _unsigned: dict[str, Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what goes to another process; there `run()` starts from its beginning."""
        run = self.task_run
        expected = recorded_inputs(self.task) | dict(run.expected)
        state = (self.replaces, self.is_retry, expected, run.checks_types, run.keeps_logs, run.run_id)
        state += (self._started, self._seconds, is_durable(), run.allows_outside)  # type: ignore[assignment]
        return _remote_attempt, (self.task, self.locks, self.satisfied, *state)

    def run(self) -> Outcome:
        """Run the task, or resume it after a suspension, and return the outcome. Ctrl-C is not caught."""
        overrides = own_overrides(self.task)
        self._folder = RestoredFolder()
        with self._folder:
            if overrides is None:
                return self._attempt()
            with using_overrides(overrides):
                return self._attempt()

    def _attempt(self) -> Outcome:
        if not self._is_remote:
            return self._bound()
        reset_peak()
        known = noted_secrets()
        with collected_losses() as losses, durable_writes(self._is_durable):
            outcome = self._stored()
        outcome.losses = tuple(losses)
        self.task_run.secrets.update(set(noted_secrets()).difference(known))
        sent = None if outcome.error is None else portable(outcome.error, outcome.trace)
        outcome.error, outcome.peak_mb, outcome.secrets = sent, peak_mb(), tuple(self.task_run.secrets)
        return outcome

    def _stored(self) -> Outcome:
        """Run, and wait until everything is stored: whoever waits for the outcome may end the process."""
        outcome = None
        try:
            with background_writes():
                outcome = self._bound()
        except RecordsNotStored as error:
            if outcome is None:
                raise
            report_not_stored(error)
        return outcome

    def _bound(self) -> Outcome:
        """Run with the state of this run bound to the task."""
        task, run = kart_task(self.task), self.task_run
        place, began = this_place(), time.time()
        cpu = place.clock()
        self._began = self._began or began
        self._started = self._started or iso_time(began)
        keep_log_records()
        if self._is_remote:
            run.report, self.clock = remote_report.get(), remote_clock.get()
        if task is not None:
            task._kart_run = run
        run.task = self.task
        run.staged = {} if run.staged is None else run.staged
        token = active_run.set(run)
        suspended = done = False
        try:
            locks = self.locks if task is None or _asks_for_no_lock(task, self.locks) else self._locks_of(task)
            outcome = self._run_locked(task, locks) if locks.shared else self._run(task)
            # A suspended attempt goes on where it stands, except in another process, where it starts again.
            suspended = outcome.state is AttemptState.SUSPENDED and not self._is_remote
            done = outcome.state is AttemptState.DONE
        except LockTimeout as error:
            outcome = Outcome(AttemptState.LOCKED, self._started, error=error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - no answer from complete(), no connection
            outcome = self.failed(error)
        finally:
            active_run.reset(token)
            if not suspended:
                run.discard()
                run.staged = None  # a thread that still goes on stores at once
                close_scratch(run, delete=done)
            if task is not None and task._kart_run is run:
                task._kart_run = None
        self._cpu += place.clock() - cpu
        if not suspended:
            self._measure(outcome)
            outcome.worker = place.name
        return outcome

    def _measure(self, outcome: Outcome) -> None:
        """Add times, metrics and log records to an outcome."""
        run = self.task_run
        if run.given_up is None and self._logs is not None and (run.lines is not None or run.steps):
            outcome.log_files += self._logs.at_end(run.lines, run.steps, self._began)
            outcome.series = tuple(dict.fromkeys(name for name, *_ in run.steps))
            outcome.logged = run.lines.count if run.lines is not None else 0
        if run.metrics:
            outcome.metrics = tuple(run.metrics.items())
        outcome.began, outcome.ended, outcome.cpu = self._began, time.time(), self._cpu

    def _locks_of(self, task: TaskOnKart[Any]) -> Locks:
        return redis_locks_of(task, self.locks) or self.locks

    def _run_locked(self, task: TaskOnKart[Any] | None, locks: Locks) -> Outcome:
        lock = self._lock
        if lock is None:
            workspace = None if task is None else task.workspace_directory
            lock = locks.acquire(lock_name(self.task), workspace, 0.0)
            try:
                # Only another process can have changed the answer since the plan asked.
                if not lock.alone and not self.replaces and self._is_complete():
                    self._close_generator()
                    lock.release()
                    return Outcome(AttemptState.COMPLETE, self._started)
            except BaseException:
                lock.release()
                raise
            self._lock = lock
        self.task_run.may_commit = partial(self._check_lock, lock.check) if lock.is_lease else lock.check_again
        is_suspended = False
        try:
            outcome = self._run(task)
            # While it waits, others wait for it; a task that starts again elsewhere is locked again there.
            is_suspended = outcome.state is AttemptState.SUSPENDED and not self._is_remote
        finally:
            self.task_run.may_commit = None
            if is_suspended:
                lock.suspend()
            else:
                self.release_lock()
        return outcome

    def _check_lock(self, check: Callable[[], None]) -> None:
        """Raise `LockLost` if another process may have the lock.

        If no server has said so, the work is not lost: the output of a task with this id is the same, whoever stores
        it. Only the output of a task that runs again on purpose may be another one.
        """
        try:
            check()
        except LockLost as error:
            if not error.is_unanswered or self.replaces or getattr(self.task, "rerun", False):
                raise
            warn(logger, "%s: its output is stored although its lock has expired: %s.", self.task, error.why)

    def release_lock(self) -> None:
        """Release the lock, so that another process may run the task."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _close_generator(self) -> None:
        """End a `run()` that has yielded tasks while another process completed the task."""
        generator, self._generator = self._generator, None
        if generator is not None:
            with suppress(Exception):  # what it raises while it ends is no failure of the task
                generator.close()

    def _is_complete(self) -> bool:
        task = kart_task(self.task)
        if task is not None and len(flatten(output_of(task))) > 1:
            recover(task.workspace_directory)  # the process that held the lock may have died between two outputs
        return bool(getattr(self.task, "complete_check_at_run", True) and is_complete(self.task))

    def _run(self, task: TaskOnKart[Any] | None) -> Outcome:
        began = None
        try:
            if self.clock is not None:
                self.clock.start()
            if self._generator is None:
                self._start(task)
            began = time.perf_counter()
            waiting_for = self._advance()
            self._seconds, began = self._seconds + time.perf_counter() - began, None
            if waiting_for:
                return Outcome(AttemptState.SUSPENDED, self._started, self._seconds, waiting_for=waiting_for)
            return self._succeed(task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
            self._seconds += time.perf_counter() - began if began else 0.0
            error.__traceback__ = without_engine(error.__traceback__)
            if self.task_run.given_up is None:
                _notify_failure(self.task, error)
            return self.failed(error)
        finally:
            if self.clock is not None:
                self.clock.stop()

    @property
    def seconds(self) -> float:
        """Return the seconds since it began, in this process."""
        return time.time() - self._began if self._began else 0.0

    @property
    def is_given_up(self) -> bool:
        """Return whether nothing of it is stored any more."""
        return self.task_run.given_up is not None

    def timed_out(self, error: TaskTimeout) -> Outcome:
        """Return the outcome of this try after `give_up`."""
        outcome = self.failed(error)
        outcome.seconds = error.seconds
        outcome.ended = time.time()
        outcome.began = self._began or outcome.ended - error.seconds
        outcome.started = self._started or iso_time(outcome.began)
        _emit(self.task, luigi.Event.TIMEOUT, str(error))
        return outcome

    def give_up(self, error: BaseException) -> bool:
        """Store nothing of this try from now on, and release its lock; return False if it is just being stored.

        Called in another thread than that in which the task runs, which may go on.
        """
        if not self.task_run.give_up(error):
            return False
        note_given_up(self.task)
        if self._folder is not None:
            self._folder.leave()
        with suppress(Exception):  # its thread may release it at this moment
            self.release_lock()
        return True

    def _start(self, task: TaskOnKart[Any] | None) -> None:
        if self.on_start is not None:
            self.on_start()
        if task is not None:
            if self.is_retry:
                task.task_log = {}
            if self.replaces or task.rerun:
                self._before = _versions(task)
            self._unsigned = None if keyring() is None else _versions(task)
            self._logs = TaskLogWriter(task)
            self._logs.at_start()
        _give_reporters(self.task, task is not None)
        _emit(self.task, luigi.Event.START)

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
                self._yielded = self._resume(self._generator, send)
            except StopIteration:
                return ()
            yielded = _flat(self._yielded)
            asked = [task for task in yielded if task not in self.satisfied]
            since = time.monotonic()
            waiting_for = _incomplete(asked)
            if not waiting_for and asked and note_used(self.task, asked, self.task_run.run_id, since):
                waiting_for = _incomplete(asked)
            if waiting_for:
                return waiting_for
            send = _paths(self._yielded)

    def _resume(self, generator: Generator[Any, Any, None], send: Any) -> Any:
        """Return what `run()` yields next, under the overrides of the `configured` block in which it yielded."""
        with using_overrides(self._overrides or active_overrides()):
            yielded = identity.configured(generator.send(send))
            self._overrides = active_overrides()
        return yielded

    def _succeed(self, task: TaskOnKart[Any] | None) -> Outcome:
        stored: tuple[OutputRecord, ...] = ()
        seed: int | None = None
        log_files: tuple[str, ...] = ()
        if self.task_run.given_up is not None:
            raise self.task_run.given_up
        if self.clock is not None:
            self.clock.check(display_name(self.task))
        if self._lock is not None:
            self._check_lock(self._lock.check)  # another process may have stored the output, and writes these files
        if task is not None and self._logs is not None:
            outputs = flatten(output_of(task))
            self._check_dumped(task, outputs)
            self._logs.at_success(self._seconds, outputs)
            seed, log_files = self._logs.seed, self._logs.written
        _emit(self.task, luigi.Event.PROCESSING_TIME, self._seconds)
        self.task.on_success()
        self.task_run.commit()
        if task is not None:
            stored = self.task_run.stored
            if self._unsigned is not None:
                _sign_own(task, stored, self._unsigned)
            task._kart_reran = True
        _emit(self.task, luigi.Event.SUCCESS)
        inputs = tuple(self.task_run.loaded.items())
        return Outcome(AttemptState.DONE, self._started, self._seconds, seed, stored, log_files, inputs=inputs)

    def _check_dumped(self, task: TaskOnKart[Any], outputs: list[Any]) -> None:
        """Raise `NothingDumped` if an output was neither dumped nor written by the task itself."""
        # What was dumped is there: no store has to be asked.
        staged = self.task_run.staged
        if staged and len(outputs) == 1 and getattr(outputs[0], "url", None) in staged:
            return
        written = {*(self.task_run.staged or ()), *(record.url for record in self.task_run.stored)}
        before = self._before
        missing = [
            target
            for target in outputs
            if getattr(target, "url", None) not in written
            and (not target.exists() if before is None else _version(target) in (None, before.get(path_of(target))))
        ]
        if missing:
            raise NothingDumped(str(task), [path_of(target) for target in missing])

    def failed(self, error: BaseException) -> Outcome:
        """Return the outcome of this attempt after an error, in the attempt or in what it waits for."""
        note_new_environment()  # the error may quote a token that the task has fetched
        log_files = self._logs.written if self._logs is not None else ()
        seed = self._logs.seed if self._logs is not None else None
        trace = trace_of(error)
        self.task_run.discard()
        self.release_lock()
        stored = self.task_run.stored
        outcome = Outcome(AttemptState.FAILED, self._started, self._seconds, seed, stored, log_files, error, trace)
        if isinstance(error, TaskTimeout):
            outcome.timeout = error.seconds
        return outcome


def _asks_for_no_lock(task: TaskOnKart[Any], locks: Locks) -> bool:
    """Return whether nothing locks a task, as most tasks; asking its attributes, which luigi defines, costs more."""
    values = vars(task)
    lock = values.get("should_lock_run", True), values.get("redis_host", ""), values.get("redis_port", "")
    return lock == (False, None, None) and not locks.shared


def _remote_attempt(  # noqa: PLR0917
    task: luigi.Task,
    locks: Locks,
    satisfied: set[luigi.Task],
    replaces: bool,
    is_retry: bool,
    expected: Mapping[str, OutputRecord],
    checks_types: bool,
    keeps_logs: bool,
    run_id: str,
    started: str,
    seconds: float,
    durable: bool = False,
    allows_outside: bool = True,
) -> Attempt:
    run = TaskRun(expected=expected, checks_types=checks_types, keeps_logs=keeps_logs, run_id=run_id, marks=replaces)
    run.allows_outside = allows_outside
    progress: dict[str, Any] = {"_started": started, "_seconds": seconds, "_is_remote": True, "_is_durable": durable}
    return Attempt(task, locks, satisfied, run, replaces, is_retry, **progress)


def iso_time(moment: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    seconds, milliseconds = divmod(int(moment * 1000), 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}+00:00"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _notify_failure(task: luigi.Task, error: BaseException) -> None:
    """Call luigi's handlers and `on_failure`, as luigi's worker does; errors in them become notes of the error."""
    _emit(task, luigi.Event.FAILURE, error)
    try:
        task.on_failure(error)
    except KeyboardInterrupt:
        raise
    except BaseException as second:  # noqa: BLE001 - it must not hide the first
        add_note(error, f"Its on_failure() raised as well: {described(second)}")


FOR_LUIGI: set[Any] = set()
"""Event handlers of `luigi_bridge`, which do for luigi's worker what an attempt does itself."""


def _emit(task: luigi.Task, event: str, *details: Any) -> None:
    """Trigger an event of luigi if it has other handlers than those of `luigi_bridge`."""
    for handlers in task._event_callbacks.values():
        registered = handlers.get(event)
        if registered and not registered <= FOR_LUIGI:
            task.trigger_event(event, task, *details)
            return


_REPORTERS = {
    "set_tracking_url": noop,
    "set_status_message": report_status,
    "set_progress_percentage": report_percentage,
}
"""What a `run()` that was written for luigi's worker may call."""


def _give_reporters(task: luigi.Task, is_kart: bool) -> None:
    if is_kart:  # it has them, unless luigi's worker, which ends by setting None, has run it before
        for name in _REPORTERS:
            if name in task.__dict__ and task.__dict__[name] is None:
                delattr(task, name)
        return
    for name, report in _REPORTERS.items():
        if getattr(task, name, None) is None:
            setattr(task, name, report)


def _versions(task: TaskOnKart[Any]) -> dict[str, Any]:
    """Return the versions of the outputs that a task may write itself, by their paths."""
    return {path_of(target): _version(target) for target in iter_flat(output_of(task))}


def _sign_own(task: TaskOnKart[Any], stored: Sequence[OutputRecord], before: Mapping[str, Any]) -> None:
    """Sign the outputs that `run()` has written by their paths; what it dumped is signed."""
    dumped = {record.url for record in stored}
    for target in iter_flat(output_of(task)):
        is_own = isinstance(target, Target) and target.owner is task and target.url not in dumped
        if is_own and _version(target) not in (None, before.get(path_of(target))):
            target.sign()


def _version(target: Any) -> Any:
    """Return what changes when a task writes an output by its path; None if the file does not exist."""
    try:
        return os.stat(path_of(target)).st_mtime_ns  # noqa: PTH116
    except (OSError, ValueError):
        return None  # an object: to be dumped


def _incomplete(tasks: Sequence[luigi.Task]) -> tuple[luigi.Task, ...]:
    with cached_listings() if len(tasks) > 1 else nullcontext():  # many are looked for by few requests
        return tuple(task for task in tasks if not is_complete(task))


def _flat(yielded: Any) -> list[luigi.Task]:
    if isinstance(yielded, luigi.DynamicRequirements):
        return list(cast("list[luigi.Task]", yielded.flat_requirements))
    tasks = list(iter_flat(yielded))
    for item in tasks:
        if not isinstance(item, luigi.Task):
            raise TypeError(f"run() yielded {item!r}; it may yield tasks only")
    return tasks


def _paths(yielded: Any) -> Any:
    """Return what `yield` gives back inside `run()`: the outputs, in the form of the yielded tasks."""
    if isinstance(yielded, luigi.DynamicRequirements):
        return yielded.paths
    return luigi.task.getpaths(yielded)
