"""Support for luigi's own worker: event handlers that do there what an attempt does in a build.

luigi's worker, its command line and its workers at `luigid` call `run()` themselves and notify the task by events. The
handlers below, registered when this module is imported, seed before `run()`, write the five log files, and limit
`rerun` to once. kart's own attempt triggers the same events; it binds the run to the task (`_kart_run`), which is then
left alone. luigi is not changed. Such runs have no line in the ledger: luigi has a history of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, cast

import luigi
from luigi import rpc, scheduler
from luigi.worker import TaskProcess, Worker, worker

from kart_runtime.errors.interpreter import mask_what_python_prints
from kart_runtime.execution.attempt import FOR_LUIGI
from kart_runtime.execution.locks.redis_server import RedisLocks, redis_locks_of
from kart_runtime.execution.log_lines import keep_log_records
from kart_runtime.execution.log_writer import TaskLogWriter
from kart_runtime.task.base import TaskOnKart, is_complete
from kart_runtime.task.naming import lock_name
from kart_runtime.task.nested import flatten, iter_flat
from kart_runtime.task.rerun import OutputsRewritten
from kart_runtime.task.state import TaskRun, close_scratch

_log = logging.getLogger(__name__)

_running: dict[int, TaskLogWriter] = {}
"""Writers of the log files of the tasks that luigi runs in this process, by the identity of the task object."""


def _rerun_from_now(task: luigi.Task) -> None:
    if isinstance(task, TaskOnKart) and task.rerun:
        # A plain True would not reach the worker's other processes.
        task._kart_reran = OutputsRewritten(task)


def _discovered(_task: luigi.Task, dependency: luigi.Task) -> None:
    """Record, before luigi checks a dependency, that only outputs from now on count as rerun."""
    if isinstance(dependency, TaskOnKart) and dependency.rerun and flatten(dependency.output()):
        _rerun_from_now(dependency)  # without outputs, the check itself records it


def _started(task: TaskOnKart[Any]) -> None:
    ours = task._kart_run is not None and id(task) not in _running  # an attempt of kart's own runs it
    if ours or _is_external(task) or _is_skipped(task):
        return
    if getattr(task, "complete_check_at_run", False) and _skip_if_complete(task):
        return
    mask_secrets()
    task._kart_run = TaskRun()
    _rerun_from_now(task)
    # A run() that yielded starts again from its beginning under luigi, and so do its log files.
    if task.should_lock_run or task.redis_host is not None or task.redis_port is not None:
        vars(task)["run"] = _Locked(task)
    logs = _running[id(task)] = TaskLogWriter(task)
    logs.at_start()


def mask_secrets() -> None:
    """Mask secrets in what this process logs and prints from now on, as a build does."""
    keep_log_records()
    mask_what_python_prints()


def _succeeded(task: TaskOnKart[Any], seconds: float) -> None:
    logs = _running.pop(id(task), None)
    if logs is not None:
        logs.at_success(seconds, list(iter_flat(task.output())))
        _end_run(task, done=True)
    _run_again(task)


def _failed(task: TaskOnKart[Any], _error: BaseException) -> None:
    if _running.pop(id(task), None) is not None:
        _end_run(task, done=False)
    _run_again(task)


def _end_run(task: TaskOnKart[Any], done: bool) -> None:
    if task._kart_run is not None:
        close_scratch(task._kart_run, delete=done)
    task._kart_run = None


def _is_external(task: luigi.Task) -> bool:
    run = cast("Any", task).run
    return run is None or run == NotImplemented


class _Locked:
    """The `run()` of a task that redis locks; luigi swallows errors of event handlers, but not of this.

    If another process runs the task, it fails, and luigi's worker retries it according to its settings.
    """

    def __init__(self, task: TaskOnKart[Any]) -> None:
        self._task, self._run = task, type(task).run

    def __call__(self) -> Any:
        locks = redis_locks_of(self._task)
        if locks is None:  # the settings are all there, or this has raised
            return self._run(self._task)
        with self._hold(locks, 0.0 if self._task.should_lock_run else _LOCK_WAIT):
            if self._task.complete_check_at_run and is_complete(self._task):
                return None
            result = self._run(self._task)
            return self._drained(locks, result) if isinstance(result, Generator) else result

    def _drained(self, locks: RedisLocks, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
        with self._hold(locks, _LOCK_WAIT):
            yield from steps

    @contextmanager
    def _hold(self, locks: RedisLocks, wait: float) -> Iterator[None]:
        """Hold the lock; it is checked before each output is stored, and at the end."""
        with locks.hold(lock_name(self._task), self._task.workspace_directory, wait) as lock:
            run = self._task._kart_run = self._task._kart_run or TaskRun()
            run.may_commit = lock.check
            try:
                yield
                lock.check()
            finally:
                run.may_commit = None


_LOCK_WAIT = 600.0
"""Seconds that a task without `should_lock_run` waits for its lock, as in `build`."""


def _is_skipped(task: luigi.Task) -> bool:
    return vars(task).get("run") is _skipped


def _skipped() -> None:
    """Replacement of the `run()` of a complete task."""


def _skip_if_complete(task: luigi.Task) -> bool:
    try:
        complete = is_complete(task)
    except Exception:  # noqa: BLE001 - whatever it is, it is logged
        # run() itself reports a workspace that cannot be reached; an error here would end the worker.
        _log.exception("The completeness check of %s failed; running it.", task)
        return False
    if complete:
        _log.warning("Skipping %s: it has become complete since it was scheduled.", task)
        vars(task)["run"] = _skipped
    return complete


def _run_again(task: luigi.Task) -> None:
    if _is_skipped(task) or isinstance(vars(task).get("run"), _Locked):
        del vars(task)["run"]


class SkipWhenComplete:
    """A `task_process_context` of luigi's worker that skips tasks which have become complete meanwhile.

    Disable it by ``task_completion_check_at_run = false`` in the section ``[worker]`` of luigi's configuration. To
    use it with luigi's own command line, write ``task_process_context = kart_runtime.luigi_bridge.SkipWhenComplete``
    there.

    Parameters
    ----------
    process
        The process object of luigi's worker.
    """

    def __init__(self, process: TaskProcess) -> None:
        self._task: luigi.Task = process.task

    def __enter__(self) -> None:
        check = luigi.configuration.get_config().getboolean("worker", "task_completion_check_at_run", True)
        if check and not _is_external(self._task):
            _skip_if_complete(self._task)

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> Literal[False]:
        _run_again(self._task)
        return False


class WorkerSchedulerFactory:
    """Factory for `luigi.build(..., worker_scheduler_factory=...)` of luigi's own worker and schedulers."""

    def create_local_scheduler(self) -> scheduler.Scheduler:
        """Return a scheduler for this process alone."""
        return scheduler.Scheduler(prune_on_get_work=True, record_task_history=False)

    def create_remote_scheduler(self, url: str) -> rpc.RemoteScheduler:
        """Return the client of a `luigid`.

        Parameters
        ----------
        url
            Its address, for example ``http://localhost:8082``.
        """
        return rpc.RemoteScheduler(url)

    def create_worker(self, scheduler: Any, worker_processes: int, assistant: bool = False) -> Worker:
        """Return luigi's worker, which skips a task that has become complete since it was scheduled.

        Parameters
        ----------
        scheduler
            One of the schedulers above.
        worker_processes
            Number of tasks to run in parallel.
        assistant
            Whether it also runs tasks of other workers.
        """
        mask_secrets()
        options: dict[str, Any] = {}
        if not worker().task_process_context:
            options["task_process_context"] = f"{__name__}.{SkipWhenComplete.__name__}"
        return Worker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant, **options)


def install() -> None:
    """Register the handlers with luigi; calling it again has no effect."""
    luigi.Task.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)(_discovered)
    for event, handler in (
        (luigi.Event.START, _started),
        (luigi.Event.PROCESSING_TIME, _succeeded),
        (luigi.Event.FAILURE, _failed),
    ):
        TaskOnKart.event_handler(event)(handler)
        FOR_LUIGI.add(handler)


install()
