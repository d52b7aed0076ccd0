"""Tree and table of a task and everything upstream, as text or in a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import luigi

from kart_runtime.errors import CodecError, require_extra
from kart_runtime.gokart.tree import task_info_formatter as formatter
from kart_runtime.gokart.tree.task_info_formatter import make_task_info_tree
from kart_runtime.storage.target import make_target
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import id_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "dump_task_info_table",
    "dump_task_info_tree",
    "make_task_info_as_table",
    "make_task_info_as_tree_str",
    "make_task_info_tree",
    "make_tree_info",
    "tree_info",
]


class NotAPickleFile(CodecError, ValueError, AssertionError):
    """The file for a tree of objects has another suffix than ``.pkl``; an AssertionError, too, as in gokart.

    Parameters
    ----------
    path
        The requested file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"The task info tree is stored as a pickle file: '{path}' must end in '.pkl'.")


def make_task_info_as_tree_str(
    task: luigi.Task, details: bool = False, abbr: bool = True, ignore_task_names: Collection[str] | None = None
) -> str:
    """Return a task and everything upstream as a tree of text, with the state of each task.

    Parameters
    ----------
    task
        The root.
    details
        Whether to show parameters, outputs, time and log.
    abbr
        Whether a task that was already shown is abbreviated. Without it, everything below is shown again, which in a
        graph of many diamonds is a very long text.
    ignore_task_names
        As for `make_task_info_tree`.

    Returns
    -------
    str
        The tree; it begins with a line break.
    """
    return formatter.make_tree_info(make_task_info_tree(task, ignore_task_names), details=details, abbr=abbr)


def make_tree_info(  # noqa: PLR0917
    task: luigi.Task,
    indent: str = "",  # noqa: ARG001 - it and two more are gokart's, which does not use them either
    last: bool = True,  # noqa: ARG001
    details: bool = False,
    abbr: bool = True,
    visited_tasks: set[str] | None = None,  # noqa: ARG001
    ignore_task_names: Collection[str] | None = None,
    *,
    compress: bool | None = None,
) -> str:
    """Return the same as `make_task_info_as_tree_str`, which replaces this function.

    Parameters
    ----------
    task, details, abbr, ignore_task_names
        As for `make_task_info_as_tree_str`.
    indent, last, visited_tasks
        Have no effect.
    compress
        Another name of `abbr`, used in gokart's manual; it has precedence.
    """
    return make_task_info_as_tree_str(task, details, abbr if compress is None else compress, ignore_task_names)


class tree_info(TaskOnKart[Any]):  # noqa: N801 - luigi's command line makes --tree-info-mode of it
    """Options of luigi's command line that ask for a tree, and the file that it is written to; never run."""

    mode: luigi.StrParameter = luigi.StrParameter(
        default="", description="'simple', or 'all' for details; '' makes no tree."
    )
    output_path: luigi.StrParameter = luigi.StrParameter(
        default="tree.txt", description="The file, below the workspace."
    )

    def output(self) -> Any:
        """Return the target that the tree is written to."""
        return self.make_target(self.output_path, use_unique_id=False)


def make_task_info_as_table(task: luigi.Task, ignore_task_names: Collection[str] | None = None) -> pd.DataFrame:
    """Return a row for a task and for each task upstream; the columns are the attributes of `TaskInfo`.

    Parameters
    ----------
    task
        The root.
    ignore_task_names
        As for `make_task_info_tree`.

    Returns
    -------
    pandas.DataFrame
        Shape (tasks, 8).

    Raises
    ------
    ExtraMissing
        pandas is not installed.
    """
    with require_extra("the task info table needs pandas", "pandas"):
        import pandas as pd
    return pd.DataFrame(formatter.make_tree_info_table_list(make_task_info_tree(task, ignore_task_names)))


def dump_task_info_table(
    task: luigi.Task, task_info_dump_path: str, ignore_task_names: Collection[str] | None = None
) -> None:
    """Store the table of a task and everything upstream; the task's unique id is added to the file name.

    Parameters
    ----------
    task
        The root.
    task_info_dump_path
        Path or url; its suffix chooses the format.
    ignore_task_names
        As for `make_task_info_tree`.
    """
    make_target(task_info_dump_path, id_of(task)).dump(make_task_info_as_table(task, ignore_task_names))


def dump_task_info_tree(
    task: luigi.Task,
    task_info_dump_path: str,
    ignore_task_names: Collection[str] | None = None,
    use_unique_id: bool = True,
) -> None:
    """Store the `TaskInfo` of a task and everything upstream as a pickle file.

    Parameters
    ----------
    task
        The root.
    task_info_dump_path
        Path or url that ends in ``.pkl``.
    ignore_task_names
        As for `make_task_info_tree`.
    use_unique_id
        Whether the task's unique id is added to the file name.

    Raises
    ------
    NotAPickleFile
        The path has another suffix.
    """
    if PurePosixPath(task_info_dump_path).suffix != ".pkl":
        raise NotAPickleFile(task_info_dump_path)
    target = make_target(task_info_dump_path, id_of(task) if use_unique_id else None)
    target.dump(make_task_info_tree(task, ignore_task_names))
