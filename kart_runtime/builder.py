"""Front door: `build(task)` plans a task and its dependencies, runs what is incomplete, and returns the output."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypedDict, TypeVar, Unpack, cast, overload

import luigi

from kart_runtime import code
from kart_runtime.errors import (
    BuildFailed,
    ConfigError,
    ConfigErrors,
    ObjectCorrupt,
    RecordsNotStored,
    WorkerDied,
    WorkersKilled,
    warn,
)
from kart_runtime.errors.interpreter import mask_what_python_prints
from kart_runtime.errors.secret_sources import note_environment
from kart_runtime.execution.executors import Executors
from kart_runtime.execution.locks import make_locks
from kart_runtime.execution.working_folder import FixedFolder
from kart_runtime.exporters.sending import Exports
from kart_runtime.history.durations import estimate_durations
from kart_runtime.history.ledger import Ledger
from kart_runtime.history.losses import report_not_stored, tell_totals
from kart_runtime.history.run_header import RunInfo, project_info
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Plan, make_plan
from kart_runtime.plan.graph import build_graph
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.schedule.event_log import build_logging
from kart_runtime.schedule.events import Listener, Summary
from kart_runtime.schedule.feed import Feed
from kart_runtime.schedule.progress_line import progress_line
from kart_runtime.schedule.resources import Limits
from kart_runtime.schedule.retries import Retries
from kart_runtime.schedule.run_tasks import TasksRecorder
from kart_runtime.schedule.scheduler import BuildContext, Scheduler
from kart_runtime.schedule.signals import before_exit, sigterm_ends_builds
from kart_runtime.settings import BuildSettings
from kart_runtime.storage.confinement import check_log_folders
from kart_runtime.storage.durable import durable_writes
from kart_runtime.storage.leftovers import Clearing
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.stores.background import background_writes
from kart_runtime.storage.time_limits import using_network_timeout
from kart_runtime.storage.value_cache import caching_values
from kart_runtime.storage.workspace import why_not_writable
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import display_name
from kart_runtime.task.nested import map_structure
from kart_runtime.task.origin import full_name
from kart_runtime.task.outside import missing_places
from kart_runtime.task.parameters import overrides_for, under_active_overrides
from kart_runtime.task.published import Published
from kart_runtime.task.publishing import check_publications

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULTS = BuildSettings()


class BuildOptions(TypedDict, total=False):
    """Options of `build`: the fields of `BuildSettings`, all optional, for type checkers."""

    executor: str | None
    workers: int | None
    address: str | None
    resources: Mapping[str, float]
    locks: str
    lock_wait: float
    value_cache_mb: int
    code_changed: str
    code_packages: Sequence[str]
    on_corrupt: str
    check_types: bool
    keep_logs: bool
    progress: bool
    export: Sequence[str]
    timeout: float | None
    retries: int
    retry_delay: float
    fail_fast: bool
    durable: bool
    network_timeout: float | None
    outside_paths: str


@overload
def build(
    task: TaskOnKart[T],
    return_value: Literal[True] = True,
    *,
    settings: BuildSettings = ...,
    on_event: Listener | None = ...,
    log_level: int | None = ...,
    check_all: bool = ...,
    **options: Unpack[BuildOptions],
) -> T: ...


@overload
def build(
    task: Sequence[luigi.Task],
    return_value: Literal[True] = True,
    *,
    settings: BuildSettings = ...,
    on_event: Listener | None = ...,
    log_level: int | None = ...,
    check_all: bool = ...,
    **options: Unpack[BuildOptions],
) -> list[Any]: ...


@overload
def build(
    task: luigi.Task | Sequence[luigi.Task],
    return_value: bool = True,
    *,
    settings: BuildSettings = ...,
    on_event: Listener | None = ...,
    log_level: int | None = ...,
    check_all: bool = ...,
    **options: Unpack[BuildOptions],
) -> Any: ...


def build(
    task: luigi.Task | Sequence[luigi.Task],
    return_value: bool = True,
    *,
    settings: BuildSettings = DEFAULTS,
    on_event: Listener | None = None,
    log_level: int | None = None,
    check_all: bool = False,
    **options: Unpack[BuildOptions],
) -> Any:
    """Run a task and its incomplete dependencies, and return the task's output.

    Parameters
    ----------
    task
        The task, or several tasks, which run as one plan.
    return_value
        Whether to load and return the outputs. If False, returns None.
    settings
        How to run: executor, workers, locks and so on; see `BuildSettings`.
    on_event
        Callback that receives `PlanMade`, `TaskStarted`, `TaskProgress`, `TaskLocked`, `TaskUnchanged`, `TaskFinished`
        and `BuildFinished`. With one, no line of progress is shown.
    log_level
        Minimum level of the messages shown on standard error, for example `logging.DEBUG`. None leaves logging as it
        is.
    check_all
        Check completeness of all tasks, also of those that nothing requires to run. Only changes the summary.
    **options
        Fields of `BuildSettings` by name, for example ``workers=4``. They take precedence over `settings`.

    Returns
    -------
    Any
        The value that the task passed to `self.dump`, in the structure of `output()`. A list of values for several
        tasks.

    Raises
    ------
    PlanError
        The dependency graph has a cycle, or a task cannot be checked; nothing has run.
    NotATask
        `task` or a requirement is not a task.
    ConfigError
        An option has an invalid value; nothing has run.
    BuildFailed
        At least one task failed. All tasks that do not depend on a failed one have run, and their outputs are stored.
    """
    __tracebackhide__ = True  # pytest and IPython then show the line that called it
    roots = list(task) if isinstance(task, list | tuple) else [cast("luigi.Task", task)]
    for root in roots:
        identity.check_task(root, "build()")
    if options:
        settings = settings.with_options(options)
    watched = settings.progress and on_event is None and log_level is None  # else the program shows it its own way
    with sigterm_ends_builds(), progress_line(settings.workers) if watched else nullcontext(on_event) as listener:
        summary, values = run_build(
            roots, settings, return_values=return_value, on_event=listener, log_level=log_level, check_all=check_all
        )
    if not summary.ok:
        raise _failure(summary)
    if not return_value:
        return None
    return values[0] if isinstance(task, luigi.Task) else values


def run_build(
    roots: Sequence[luigi.Task],
    settings: BuildSettings,
    *,
    return_values: bool = False,
    on_event: Listener | None = None,
    log_level: int | None = None,
    check_all: bool = False,
    rerun: Collection[luigi.Task] = (),
    reports_warnings: bool = False,
    info: RunInfo | None = None,
    explain: Callable[[Plan], Plan] | None = None,
    feed: Feed | None = None,
    exports: Exports | None = None,
) -> tuple[Summary, list[Any]]:
    """Run tasks as one plan; return the summary, which holds the failures, and the values if all went well.

    `rerun` are tasks that run although they are complete. Warnings of the plan are logged, unless the caller
    `reports_warnings` itself. `info` is recorded with the run; None: what the active project knows. `explain` adds
    causes to the plan before anything runs. `feed` asks for further tasks while it goes on. The caller waits for
    `exports`, which are else those of the settings.
    """
    settings.check()
    keyring()  # a key that is too short is told before anything runs
    note_environment()
    mask_what_python_prints()
    roots = [under_active_overrides(root) for root in roots]
    info = replace(info or project_info(), settings=settings.changed())
    locks = make_locks(settings.locks, _workspace(roots))
    with (
        FixedFolder(),
        using_network_timeout(settings.network_timeout),
        caching_values(settings.value_cache_mb * 1_000_000),
        durable_writes(settings.durable),
        build_logging(log_level, on_event) as listener,
        nullcontext(exports) if exports else Exports(settings.export) as exported,
        _optional_records(),
        Executors(settings.executor, settings.workers, settings.address) as executors,
        locks.opened(),
        Ledger(info=info) as ledger,
    ):
        ledger.listeners += exported.queues
        context = BuildContext(
            executors=executors,
            workers=executors.workers,
            locks=locks,
            lock_wait=settings.lock_wait,
            ledger=ledger,
            listener=listener,
            limits=Limits(settings.resources, elsewhere=executors.on_cluster),
            changes=Changes(settings),
            checks_types=settings.check_types,
            keeps_logs=settings.keep_logs,
            feed=feed,
            timeout=settings.timeout,
            retries=Retries(settings.retries, settings.retry_delay),
            fail_fast=settings.fail_fast,
        )
        summary = _run(roots, check_all, rerun, context, reports_warnings=reports_warnings, explain=explain)
        if not (summary.ok and return_values):
            return summary, []
        try:
            return summary, list(map(_value, roots))
        except ObjectCorrupt as error:
            if error.producer is None or not context.changes.may_recompute(error):
                raise
            warn(logger, "%s", error)
            damaged = [error.producer]
        summary = _run(roots, check_all, damaged, context, reports_warnings=reports_warnings)
        return summary, list(map(_value, roots)) if summary.ok else []


@contextmanager
def _optional_records() -> Iterator[None]:
    """Store log files and records in the background; those that are lost are no reason to fail."""
    try:
        with background_writes():
            yield
    except RecordsNotStored as error:
        report_not_stored(error)
    finally:
        tell_totals()


def _workspace(roots: Sequence[luigi.Task]) -> str:
    return next((root.workspace_directory for root in roots if isinstance(root, TaskOnKart)), "./resources/")


def _run(
    roots: Sequence[luigi.Task],
    check_all: bool,
    rerun: Collection[luigi.Task],
    context: BuildContext,
    *,
    reports_warnings: bool,
    explain: Callable[[Plan], Plan] | None = None,
) -> Summary:
    code.forget()  # in a notebook, files and cells may have changed since the build before
    for revalidate in identity.revalidations:
        revalidate(roots)
    context.changes.run_id = context.ledger.run_id
    _announce(roots, context)
    plan = make_plan(roots, check_all=check_all, changes=context.changes, rerun=rerun)
    check_publications(plan.tasks)
    if explain is not None:
        plan = explain(plan)
    to_run = plan.to_run
    if context.workers > 1 and len(to_run) > 1:
        context = replace(context, seconds=estimate_durations(_workspace(roots)))
    if not reports_warnings:
        for line in plan.warning_lines():
            logger.warning("%s", line)
    tasks_recorder = TasksRecorder(context.ledger, context.changes)
    clearing = Clearing(lambda: _has_lost_workers(scheduler.summary))
    context = replace(
        context,
        on_more=partial(_after_marking, clearing, tasks_recorder.add_more),
        on_yield=partial(_after_marking, clearing, tasks_recorder.add_yielded),
    )
    scheduler = Scheduler(plan, context)
    context.executors.open(to_run)
    _check_places(context, plan, _workspace(roots))
    while tasks_recorder.add_plan(plan, may_grow=context.feed is not None):
        plan = make_plan(roots, check_all=check_all, changes=context.changes, rerun=rerun)
        scheduler, to_run = Scheduler(plan, context), plan.to_run
        context.executors.open(to_run)
    for workspace in context.changes.restarted():
        context.ledger.begin(workspace)
    if to_run:
        context.ledger.ask_git()
    try:
        with (
            clearing,
            before_exit(partial(_abandon, scheduler, tasks_recorder)),
        ):
            clearing.add(_written(_folders(plan.writers), _workspace(roots)))
            return scheduler.run()
    finally:
        context.changes.save()
        tasks_recorder.finish(scheduler.summary, context.changes.files)
        _forget_build(scheduler.tasks)


def _announce(roots: Sequence[luigi.Task], context: BuildContext) -> None:
    """Tell the ledger what the header of the run names."""
    ledger = context.ledger
    ledger.roots = [root.make_unique_id() for root in roots if isinstance(root, TaskOnKart)]
    ledger.root_classes = [full_name(type(root)) for root in roots]
    ledger.runs_before = context.changes.runs_before
    ledger.first_lines = context.changes.restart_lines


def _abandon(scheduler: Scheduler, recorder: TasksRecorder) -> None:
    """Record what runs when the process ends without the end of the build."""
    scheduler.abandon()
    recorder.finish(scheduler.summary, dict)
    scheduler.ledger.close()


def _folders(writers: Mapping[str, Sequence[luigi.Task]]) -> dict[str, luigi.Task]:
    """Return the folders that outputs go to, each with the first task that writes there."""
    first: dict[str, luigi.Task] = {}
    for path, tasks in writers.items():
        first.setdefault(path[: max(path.rfind("/"), path.rfind(os.sep)) + 1], tasks[0])
    return first


def _after_marking(clearing: Clearing, record: Callable[..., bool], plan: Plan, *rest: Any) -> bool:
    """Mark the workspaces that a further plan brings, record the plan, and return whether to make it again."""
    if not clearing.workspaces >= {getattr(task, "workspace_directory", "") for task in plan.to_run}:
        clearing.add(_written(_folders(plan.writers)))
    return record(plan, *rest)


def _written(folders: Mapping[str, luigi.Task], *workspaces: str) -> dict[str, list[str]]:
    """Return the folders on this machine that outputs go to, by workspace, and those of some workspaces in any case."""
    found: dict[str, list[str]] = {workspace: [] for workspace in workspaces}
    for folder, task in folders.items():
        scheme, local = split_url(folder)
        if scheme in ("", "file") and isinstance(task, TaskOnKart):
            found.setdefault(task.workspace_directory, []).append(local)
    return found


def _check_places(context: BuildContext, plan: Plan, workspace: str) -> None:
    """Raise `ConfigError` if tasks cannot be locked, or their outputs and log files not be written, where they run."""
    for folder in {workspace, *(task.workspace_directory for task in plan.to_run if isinstance(task, TaskOnKart))}:
        check_log_folders(folder, allowed=context.changes.allows_outside)
    if not plan.to_run:
        return
    if context.executors.on_cluster:  # there the workers hold the locks, and write
        context.locks.check_from_afar()
        return
    context.locks.check()
    _check_writable(_folders(plan.writers))


def _check_writable(folders: Mapping[str, luigi.Task]) -> None:
    """Raise `ConfigError` for each local folder that outputs go to and that this process cannot write to."""
    errors: dict[str, ConfigError] = {}
    for folder, task in folders.items():
        scheme, local = split_url(folder)
        why = why_not_writable(local) if scheme in ("", "file") else ""
        if why:
            origin = overrides_for(type(task)).get("workspace_directory")
            errors.setdefault(why, _not_writable(why, None if origin is None else origin.origin))
    if errors:
        raise next(iter(errors.values())) if len(errors) == 1 else ConfigErrors(list(errors.values()))


def _not_writable(why: str, origin: str | None) -> ConfigError:
    key = "workspace_directory" if origin is None else "run.workspace"
    return ConfigError(f"cannot write outputs: {why} set {key} to another folder", file=origin, key=key)


def _has_lost_workers(summary: Summary | None) -> bool:
    """Return whether workers have died, which may have left files."""
    if summary is None:
        return False
    errors = [*summary.failed.values(), *(error for tries in summary.tries.values() for error in tries)]
    return any(isinstance(error, WorkerDied | WorkersKilled) for error in errors)


def _forget_build(tasks: Iterable[luigi.Task]) -> None:
    # The task objects live on, and `rerun` means once a build.
    for task in tasks:
        if isinstance(task, TaskOnKart):
            task._kart_reran = None


def _failure(summary: Summary) -> BuildFailed:
    errors: dict[luigi.Task, BaseException] = {**summary.failed, **summary.unpublished}
    for task in summary.missing:
        places = missing_places(task)
        why = f"{task}{f': {places}' if places else '.'} Provide it, or correct the task's parameters."
        if isinstance(task, Published):
            why = f"{task.label()}: {task.missing()}"
        errors[task] = FileNotFoundError(f"external input not found: {why}")
    names = _names(summary.roots, [*errors, *summary.not_started])
    raised: dict[str, list[BaseException]] = defaultdict(list)
    for task, error in summary.failed.items():
        if isinstance(task, TaskOnKart):
            raised[task.make_unique_id()] += summary.tries.get(task, (error,))
    causes = {names[task]: error for task, error in errors.items()}
    not_started = {names[task]: names[cause] for task, cause in summary.not_started.items()}
    failure = BuildFailed(causes, not_started, summary.text(), raised)
    failure.__cause__ = next(iter(causes.values()), None)
    return failure


def _names(roots: Sequence[luigi.Task], tasks: Sequence[luigi.Task]) -> dict[luigi.Task, str]:
    """Return a name for each task: with its id, or with what tells it from others of its class in the build."""
    labels = TaskLabels([*build_graph(roots).tasks, *tasks])
    found = {task: labels(task) for task in tasks}
    return {task: display_name(task) if name == type(task).__name__ else name for task, name in found.items()}


def _value(task: luigi.Task) -> Any:
    # A target of luigi's has no value to return, which is no reason to fail after everything has run.
    return map_structure(
        task.output(), lambda target: target.load() if hasattr(target, "load") else None, tuples_as=list
    )
