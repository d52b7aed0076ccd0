"""gokart's `build` and the names of its module."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack, overload

import luigi

from kart_runtime import builder
from kart_runtime.errors import BuildFailed as GokartBuildError
from kart_runtime.errors import CodecError, ConfigError, CyclicDependency, NotATask, PlanError, StoreError
from kart_runtime.errors import LockTimeout as HasLockedTaskException
from kart_runtime.gokart.config_files import check_sections
from kart_runtime.gokart.tree import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info
from kart_runtime.luigi_bridge import WorkerSchedulerFactory
from kart_runtime.schedule.events import Event, Listener
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.metaclass import forget_classes

T = TypeVar("T")

logger = logging.getLogger(__name__)


class GokartOptions(builder.BuildOptions, total=False):
    """Keyword arguments of `build`: gokart's, luigi's, and those of `kart_runtime.build`."""

    reset_register: bool
    log_level: int | None
    task_lock_exception_max_tries: int
    task_lock_exception_max_wait_seconds: float | None
    task_dump_config: TaskDumpConfig | None
    on_event: Listener | None
    check_all: bool
    assistant: bool
    detailed_summary: bool
    local_scheduler: bool
    lock_pid_dir: str
    lock_size: int
    logging_conf_file: str
    no_lock: bool
    parallel_scheduling: bool
    parallel_scheduling_processes: int
    scheduler_host: str
    scheduler_port: int
    scheduler_url: str
    take_lock: bool
    worker_scheduler_factory: Any


@overload
def build(task: TaskOnKart[T], return_value: Literal[True] = True, **options: Unpack[GokartOptions]) -> T: ...


@overload
def build(
    task: Sequence[luigi.Task], return_value: Literal[True] = True, **options: Unpack[GokartOptions]
) -> list[Any]: ...


@overload
def build(
    task: luigi.Task | Sequence[luigi.Task], return_value: bool = True, **options: Unpack[GokartOptions]
) -> Any: ...


def build(  # noqa: PLR0917 - gokart's signature
    task: Any,
    return_value: bool = True,
    reset_register: bool = False,
    log_level: int | None = None,
    task_lock_exception_max_tries: int = 10,
    task_lock_exception_max_wait_seconds: float | None = None,
    task_dump_config: TaskDumpConfig | None = None,
    *,
    on_event: Listener | None = None,
    **options: Any,
) -> Any:
    """Run tasks like `kart_runtime.build`, with the keyword arguments of gokart.

    Parameters
    ----------
    task, return_value, log_level
        See `kart_runtime.build`.
    reset_register
        Whether to remove the task classes of other modules than luigi's and kart's from luigi's register first. kart
        does not need it; it is for programs that repeatedly define classes with the same name.
    task_lock_exception_max_tries
        Number of gokart's tries at a locked task. kart tries again at least once a second until `lock_wait` has passed;
        that becomes longer if gokart would wait longer for so many tries.
    task_lock_exception_max_wait_seconds
        The longest pause between two of gokart's tries, which doubles from a second on.
    task_dump_config
        Tree or table of the tasks to log or store before the build.
    on_event
        See `kart_runtime.build`.
    **options
        Further options of `kart_runtime.build`, and those of `luigi.build`, which gokart passes on. `workers` is an
        option of both; luigi's others have no effect, which is logged where it matters (`LUIGI_OPTIONS`).

    Returns
    -------
    Any
        See `kart_runtime.build`.

    Raises
    ------
    ConfigError
        An option is unknown or has an invalid value; nothing has run.
    GokartBuildError
        At least one task failed, or could not be planned: its `output()` or `complete()` raised, or a file has an
        unknown format. What `requires()` raises is passed on, as in gokart.
    """
    options = {"progress": False, "outside_paths": "allow", **_without_luigi_options(options)}
    if task_lock_exception_max_tries < 1:
        raise ConfigError("at least one try is needed", key="task_lock_exception_max_tries", expected="at least 1")
    check_sections()
    if reset_register:
        forget_classes()
    if "lock_wait" not in options and "settings" not in options:
        longest = _longest_wait(task_lock_exception_max_tries, task_lock_exception_max_wait_seconds)
        options["lock_wait"] = max(longest, builder.DEFAULTS.lock_wait)
    if task_dump_config is not None:
        for root in task if isinstance(task, list | tuple) else [task]:
            process_task_info(root, task_dump_config)
    planned = False

    def listen(event: Event) -> None:
        nonlocal planned
        planned = True
        if on_event is not None:
            on_event(event)

    try:
        return builder.build(task, return_value, log_level=log_level, on_event=listen, **options)
    except (PlanError, StoreError, CodecError) as error:
        if planned or isinstance(error, NotATask | CyclicDependency):
            raise
        raise GokartBuildError({"the plan": error}, summary="Nothing has run: the tasks cannot be planned") from error


def _longest_wait(tries: int, longest_pause: float | None) -> float:
    """Return how long gokart would at most wait for a lock: its pauses are 1, 2, 4 and so on seconds, up to a limit."""
    limit = _LONGEST_PAUSE if longest_pause is None else max(longest_pause, 0.0)
    doubling = min(tries - 1, 20)
    return sum(min(2.0**number, limit) for number in range(doubling)) + (tries - 1 - doubling) * limit


_LONGEST_PAUSE = 600.0
"""Default of gokart's longest pause, in seconds."""

_NO_LOCK = "no process lock is used"
_NO_SCHEDULER = "kart schedules the tasks itself; luigi.build(tasks) uses luigi's worker and scheduler"

LUIGI_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("lock_pid_dir", "lock_size", "take_lock"), _NO_LOCK),
    **dict.fromkeys(("scheduler_host", "scheduler_port", "scheduler_url", "worker_scheduler_factory"), _NO_SCHEDULER),
    "assistant": "only the tasks of this build run",
    "logging_conf_file": "configure logging before the build, by logging.config.fileConfig",
    **dict.fromkeys(
        (
            "detailed_summary",
            "help",
            "help_all",
            "local_scheduler",
            "module",
            "no_configure_logging",
            "no_lock",
            "parallel_scheduling",
            "parallel_scheduling_processes",
        ),
        "",
    ),
}
"""Options of `luigi.build` that have no effect here, and the reason to log; empty if nobody would notice."""


def _without_luigi_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of kart, and log those of luigi that somebody would expect to have an effect."""
    if options.get("local_scheduler") is False:
        raise ConfigError("build() schedules tasks itself; use luigi.build(tasks) for luigi's central scheduler")
    for name, value in options.items():
        if value and LUIGI_OPTIONS.get(name):
            logger.warning("build(): luigi's option %s has no effect: %s.", name, LUIGI_OPTIONS[name])
    return {name: value for name, value in options.items() if name not in LUIGI_OPTIONS}


__all__ = [
    "GokartBuildError",
    "HasLockedTaskException",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "WorkerSchedulerFactory",
    "build",
    "logger",
    "process_task_info",
]
