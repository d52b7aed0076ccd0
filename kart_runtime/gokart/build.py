"""gokart's `build` and the names of its module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Unpack, overload

import luigi

from kart_runtime import builder
from kart_runtime.errors import BuildFailed as GokartBuildError
from kart_runtime.errors import ConfigError
from kart_runtime.errors import LockTimeout as HasLockedTaskException
from kart_runtime.gokart.config_files import check_sections
from kart_runtime.gokart.tree import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info
from kart_runtime.luigi_bridge import WorkerSchedulerFactory
from kart_runtime.schedule.events import Listener
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.metaclass import forget_classes

T = TypeVar("T")


class GokartOptions(builder.BuildOptions, total=False):
    """Keyword arguments of `build`: gokart's, luigi's, and those of `kart_runtime.build`."""

    reset_register: bool
    log_level: int | None
    task_lock_exception_max_tries: int
    task_lock_exception_max_wait_seconds: float | None
    task_dump_config: TaskDumpConfig | None
    on_event: Listener | None
    check_all: bool
    local_scheduler: bool
    detailed_summary: bool


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
    local_scheduler: bool = True,
    detailed_summary: bool = True,  # noqa: ARG001 - an argument of luigi's; the summary has one form
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
        Accepted without effect: kart limits the time that it waits for a lock, not the number of tries.
    task_lock_exception_max_wait_seconds
        gokart's name of `lock_wait`.
    task_dump_config
        Tree or table of the tasks to log or store before the build.
    local_scheduler, detailed_summary
        Arguments of `luigi.build` that gokart passes on. To use luigi's central scheduler, call
        `luigi.build(..., local_scheduler=False)`.
    **options
        Further options of `kart_runtime.build`.

    Returns
    -------
    Any
        See `kart_runtime.build`.

    Raises
    ------
    ConfigError
        An option has an invalid value; nothing has run.
    GokartBuildError
        At least one task failed.
    """
    if not local_scheduler:
        raise ConfigError("build() schedules tasks itself; use luigi.build(tasks) for luigi's central scheduler")
    if task_lock_exception_max_tries < 1:
        raise ConfigError("at least one try is needed", key="task_lock_exception_max_tries", expected="at least 1")
    check_sections()
    if reset_register:
        forget_classes()
    if task_lock_exception_max_wait_seconds is not None:
        options["lock_wait"] = task_lock_exception_max_wait_seconds
    if task_dump_config is not None:
        for root in task if isinstance(task, list | tuple) else [task]:
            process_task_info(root, task_dump_config)
    return builder.build(task, return_value, log_level=log_level, **options)


__all__ = [
    "GokartBuildError",
    "HasLockedTaskException",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "WorkerSchedulerFactory",
    "build",
    "process_task_info",
]
