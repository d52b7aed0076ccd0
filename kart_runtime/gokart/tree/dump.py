"""Tree or table of the tasks that a build logs or stores before it begins, as a `TaskDumpConfig` asks for."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kart_runtime.errors import ConfigError
from kart_runtime.gokart.tree.task_info import make_task_info_as_table, make_task_info_as_tree_str
from kart_runtime.task.base import TaskOnKart

logger = logging.getLogger(__name__)


class TaskDumpMode(enum.Enum):
    """Form in which a build reports its tasks."""

    TREE = "tree"
    TABLE = "table"
    NONE = "none"


class TaskDumpOutputType(enum.Enum):
    """Destination of the report: the log or a file."""

    PRINT = "print"
    DUMP = "dump"
    NONE = "none"


@dataclass(frozen=True)
class TaskDumpConfig:
    """Report that a build makes of its tasks before it begins; none by default.

    Attributes
    ----------
    mode
        Tree or table.
    output_type
        Log or file.
    """

    mode: TaskDumpMode = TaskDumpMode.NONE
    output_type: TaskDumpOutputType = TaskDumpOutputType.NONE


_NOTHING = TaskDumpConfig()


def process_task_info(task: TaskOnKart[Any], task_dump_config: TaskDumpConfig = _NOTHING) -> None:
    """Log a task and everything upstream, or store it in the task's workspace.

    Files are ``log/task_info/<class>_<unique id>.txt`` for a tree and ``.pkl``, a pandas frame, for a table.

    Parameters
    ----------
    task
        The root.
    task_dump_config
        Form and destination.

    Raises
    ------
    ConfigError
        Only one of form and destination is given.
    """
    mode, destination = task_dump_config.mode, task_dump_config.output_type
    if mode is TaskDumpMode.NONE and destination is TaskDumpOutputType.NONE:
        return
    if mode is TaskDumpMode.NONE or destination is TaskDumpOutputType.NONE:
        raise ConfigError(
            f"mode {mode.name} with output_type {destination.name} reports nothing. Set both, or neither.",
            key="task_dump_config",
        )
    is_tree = mode is TaskDumpMode.TREE
    report: Any = make_task_info_as_tree_str(task) if is_tree else make_task_info_as_table(task)
    if destination is TaskDumpOutputType.PRINT:
        _log_always(report if is_tree else report.to_csv(index=False, sep="\t"))
    else:
        task.make_target(f"log/task_info/{type(task).__name__}{'.txt' if is_tree else '.pkl'}").dump(report)


def _log_always(text: str) -> None:
    """Log at INFO past the levels of loggers: somebody asked for it, and the usual level is higher."""
    record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, text, (), None)
    stream = None if any(handler.level <= logging.INFO for handler in _handlers()) else logging.StreamHandler()
    if stream:
        logger.addHandler(stream)
    try:
        logger.handle(record)
    finally:
        if stream:
            logger.removeHandler(stream)


def _handlers() -> Iterator[logging.Handler]:
    ancestor: logging.Logger | None = logger
    while ancestor:
        yield from ancestor.handlers
        ancestor = ancestor.parent if ancestor.propagate else None
