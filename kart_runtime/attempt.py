"""How is one task run? Hold its lock, look again, seed, write START's files, run(), write SUCCESS's files.

An attempt states its outcome; nothing has to be inferred from an exception or a missing file. It runs wherever the
executor puts it. What a `run()` yields suspends the attempt: the loop runs those tasks and calls `run` again, which
goes on where the generator stopped.
"""

from __future__ import annotations

import enum
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

import luigi

from kart_runtime import ledger
from kart_runtime.errors import NothingDumped
from kart_runtime.locks import Locks, NoLocks
from kart_runtime.parameters import secret_names
from kart_runtime.structures import flat
from kart_runtime.targets import Stored, path_of
from kart_runtime.task import MASK, TaskOnKart


class State(enum.StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    COMPLETE = "complete"
    """Another process was faster."""
    SUSPENDED = "suspended"
    """`run()` yielded tasks that have to be complete before it goes on."""


@dataclass(frozen=True)
class Outcome:
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
        The urls of the log files.
    error, trace
        The exception and its traceback as text.
    wanted
        The tasks that a suspended `run()` waits for.
    """

    state: State
    started: str
    seconds: float = 0.0
    seed: int | None = None
    stored: tuple[Stored, ...] = ()
    log_files: tuple[str, ...] = ()
    error: BaseException | None = None
    trace: str = ""
    wanted: tuple[luigi.Task, ...] = ()


@dataclass
class Attempt:
    """One try at one task.

    Parameters
    ----------
    task
        The task.
    locks
        Who gives the turn.
    wait
        How long to wait for it, in seconds.
    """

    task: luigi.Task
    locks: Locks = field(default_factory=NoLocks)
    wait: float = 600.0
    _generator: Generator[Any, Any, None] | None = None
    _yielded: Any = None
    _started: str = ""
    _seconds: float = 0.0
    _logs: _Logs | None = None

    def run(self) -> Outcome:
        """Run the task, or go on with it after a suspension, and say what it came to. Ctrl-C goes through."""
        self._started = self._started or datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            with self.locks.hold(_lock_name(self.task), self.wait):
                # Only another process can have changed the answer since the plan asked.
                if self.locks.shared and self._generator is None and self.task.complete():
                    return Outcome(State.COMPLETE, self._started)
                return self._run()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - no lock, or no answer from complete()
            return self.failed(error)

    def _run(self) -> Outcome:
        task = self.task
        began = None
        try:
            if self._generator is None:
                self._start()
            began = time.perf_counter()
            wanted = self._advance()
            self._seconds, began = self._seconds + time.perf_counter() - began, None
            if wanted:
                return Outcome(State.SUSPENDED, self._started, self._seconds, wanted=wanted)
            return self._succeed()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is its outcome
            self._seconds += time.perf_counter() - began if began else 0.0
            _post_mortem(task, error)
            return self.failed(error)

    def _start(self) -> None:
        task = self.task
        if isinstance(task, TaskOnKart):
            task._kart.stored.clear()
            task._kart.rng = None
            self._logs = _Logs(task)
            self._logs.at_start()
        _give_reporters(task)
        task.trigger_event(luigi.Event.START, task)

    def _advance(self) -> tuple[luigi.Task, ...]:
        """Run to the end, or to the first yield whose tasks are not complete; return those."""
        if self._generator is None:
            result = self.task.run()
            if not isinstance(result, Generator):
                return ()
            self._generator, send = result, None
        else:
            send = _paths(self._yielded)
        while True:
            try:
                self._yielded = self._generator.send(send)
            except StopIteration:
                return ()
            wanted = tuple(task for task in _flat(self._yielded) if not task.complete())
            if wanted:
                return wanted
            send = _paths(self._yielded)

    def _succeed(self) -> Outcome:
        task = self.task
        stored: tuple[Stored, ...] = ()
        seed: int | None = None
        log_files: tuple[str, ...] = ()
        if isinstance(task, TaskOnKart) and self._logs is not None:
            stored = tuple(task._kart.stored)
            outputs = list(flat(task.output()))
            _check_dumped(task, outputs, stored)
            task._kart.reran = True
            self._logs.at_success(self._seconds, outputs)
            seed, log_files = self._logs.seed, tuple(self._logs.written)
        task.trigger_event(luigi.Event.PROCESSING_TIME, task, self._seconds)
        task.on_success()
        task.trigger_event(luigi.Event.SUCCESS, task)
        return Outcome(State.DONE, self._started, self._seconds, seed, stored, log_files)

    def failed(self, error: BaseException) -> Outcome:
        """Return the outcome of this attempt when an error has ended it.

        Parameters
        ----------
        error
            What went wrong, in the attempt or with what it waits for.
        """
        stored = tuple(self.task._kart.stored) if isinstance(self.task, TaskOnKart) else ()
        log_files = tuple(self._logs.written) if self._logs is not None else ()
        seed = self._logs.seed if self._logs is not None else None
        text = "".join(traceback.format_exception(error))
        return Outcome(State.FAILED, self._started, self._seconds, seed, stored, log_files, error, text)


def _post_mortem(task: luigi.Task, error: BaseException) -> None:
    """Tell the task and luigi's handlers, as luigi's worker does; what goes wrong there is noted with the error."""
    try:
        task.on_failure(error)
    except Exception as second:  # noqa: BLE001 - it must not hide the first
        error.add_note(f"Its on_failure() raised as well: {type(second).__name__}: {second}")
    task.trigger_event(luigi.Event.FAILURE, task, error)


def _lock_name(task: luigi.Task) -> str:
    unique = task.make_unique_id() if isinstance(task, TaskOnKart) else task.task_id
    return f"{type(task).__name__}_{unique}"


def _give_reporters(task: luigi.Task) -> None:
    # luigi's worker puts these in; a run() written for it may call them.
    for name in ("set_tracking_url", "set_status_message", "set_progress_percentage"):
        if getattr(task, name, None) is None:
            setattr(task, name, _ignore)


def _ignore(*_args: Any) -> None:
    """Take a report that nobody shows."""


def _check_dumped(task: TaskOnKart[Any], outputs: list[Any], stored: tuple[Stored, ...]) -> None:
    # What was dumped is there: no store has to be asked.
    written = {one.url for one in stored}
    missing = [target for target in outputs if getattr(target, "url", None) not in written and not target.exists()]
    if missing:
        raise NothingDumped(str(task), [path_of(target) for target in missing])


def _flat(yielded: Any) -> list[luigi.Task]:
    if isinstance(yielded, luigi.DynamicRequirements):
        return list(cast("list[luigi.Task]", yielded.flat_requirements))
    found = list(flat(yielded))
    for item in found:
        if not isinstance(item, luigi.Task):
            raise TypeError(f"run() yielded {item!r}; it may yield tasks only")
    return found


def _paths(yielded: Any) -> Any:
    """Return what `yield` gives back inside `run()`: the outputs, in the form of the yielded tasks."""
    if isinstance(yielded, luigi.DynamicRequirements):
        return yielded.paths
    return luigi.task.getpaths(yielded)


class _Logs:
    """The log files of one attempt, written beside the output and never instead of it.

    Seeding is done here, too, because the file says what was seeded; it is done whether files are written or not.
    """

    def __init__(self, task: TaskOnKart[Any]) -> None:
        self.task = task
        self.seed = task.get_random_seed()
        self.written: list[str] = []
        self._wanted = task.should_dump_supplementary_log_files
        self._files = task._log_files()

    def at_start(self) -> None:
        """Seed, and write down seed, parameters and versions."""
        methods = set_seed(self.task.fix_random_seed_methods, self.seed)
        if self._wanted:
            self._write("random_seed", {"seed": self.seed, "seed_methods": methods})
            self._write("task_params", visible_params(self.task))
            versions = ledger.module_versions()
            self._write("module_versions", "\n".join(f"{name}=={version}" for name, version in versions.items()))

    def at_success(self, seconds: float, outputs: list[Any]) -> None:
        """Write down the time and the task's own log, with where the outputs lie, as gokart does."""
        task = self.task
        task.task_log["file_path"] = [path_of(target) for target in outputs]
        if self._wanted:
            self._write("processing_time", seconds)
            self._write("task_log", task.task_log)

    def _write(self, kind: str, value: Any) -> None:
        self.written.append(self._files.write(kind, value))


def visible_params(task: TaskOnKart[Any]) -> dict[str, str]:
    """Return the significant parameters as text, with secrets masked.

    Parameters
    ----------
    task
        The task.
    """
    secrets = secret_names(type(task))
    params = task.to_str_params(only_significant=True)
    return {name: MASK if name in secrets else text for name, text in params.items()}


@lru_cache(maxsize=64)
def _seed_method(name: str) -> Callable[[int], Any] | None:
    module, _, rest = name.partition(".")
    try:
        found: Any = import_module(module)
        for part in rest.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError):
        return None
    return found if callable(found) else None


def set_seed(methods: tuple[str, ...], seed: int) -> list[str]:
    """Give a seed to functions named by their dotted paths; return the names of those that exist.

    Parameters
    ----------
    methods
        For example ``numpy.random.seed``.
    seed
        The seed.
    """
    done = []
    for name in methods:
        method = _seed_method(name)
        if method is not None:
            method(seed)
            done.append(name)
    return done
