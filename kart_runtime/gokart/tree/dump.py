"""What does a build tell of its tasks before it begins? What a `TaskDumpConfig` asks for.

Called by `project`'s form of gokart's `build` and by users.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kart_runtime.errors import ConfigError
from kart_runtime.gokart.tree.table import make_task_info_as_table
from kart_runtime.gokart.tree.text import make_task_info_as_tree_str
from kart_runtime.task.base import TaskOnKart

logger = logging.getLogger(__name__)


class TaskDumpMode(enum.Enum):
    """The form in which a build tells of its tasks."""

    TREE = "tree"
    TABLE = "table"
    NONE = "none"


class TaskDumpOutputType(enum.Enum):
    """Whether a build shows its tasks or keeps them in a file."""

    PRINT = "print"
    DUMP = "dump"
    NONE = "none"


@dataclass(frozen=True)
class TaskDumpConfig:
    """What a build tells of its tasks before it begins; by default nothing.

    Attributes
    ----------
    mode
        As a tree or a table.
    output_type
        In the log or in a file.
    """

    mode: TaskDumpMode = TaskDumpMode.NONE
    output_type: TaskDumpOutputType = TaskDumpOutputType.NONE


_NOTHING = TaskDumpConfig()


def process_task_info(task: TaskOnKart[Any], task_dump_config: TaskDumpConfig = _NOTHING) -> None:
    """Show a task and everything upstream, or keep it in the task's workspace, as a configuration says.

    Files are ``log/task_info/<class>_<unique id>.txt`` for a tree and ``.pkl``, a pandas frame, for a table.

    Parameters
    ----------
    task
        The root.
    task_dump_config
        What is wanted.

    Raises
    ------
    ConfigError
        When only one of form and place is given.
    """
    mode, place = task_dump_config.mode, task_dump_config.output_type
    if mode is TaskDumpMode.NONE and place is TaskDumpOutputType.NONE:
        return
    if mode is TaskDumpMode.NONE or place is TaskDumpOutputType.NONE:
        raise ConfigError(f"mode {mode.name} with output_type {place.name} asks for nothing", key="task_dump_config")
    made: Any = make_task_info_as_tree_str(task) if mode is TaskDumpMode.TREE else make_task_info_as_table(task)
    if place is TaskDumpOutputType.PRINT:
        _show(made if mode is TaskDumpMode.TREE else made.to_csv(index=False, sep="\t"))
    else:
        suffix = ".txt" if mode is TaskDumpMode.TREE else ".pkl"
        task.make_target(f"log/task_info/{type(task).__name__}{suffix}").dump(made)


def _show(text: str) -> None:
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
    one: logging.Logger | None = logger
    while one:
        yield from one.handlers
        one = one.parent if one.propagate else None
