"""How is what is known of tasks kept? As a table or as objects, in a file of the user's choice.

Called by `before_build` and by users.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import luigi

from kart_runtime.errors import CodecError
from kart_runtime.gokart.tree.objects import TaskInfo, make_task_info_tree
from kart_runtime.storage.target import make_target
from kart_runtime.task.naming import id_of

if TYPE_CHECKING:
    import pandas as pd


class NotAPickleFile(CodecError, ValueError, AssertionError):
    """A tree of objects was to be kept in a file that is no pickle; an AssertionError, too, as in gokart.

    Parameters
    ----------
    path
        The file that was asked for.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"The task info tree is kept as a pickle file: '{path}' must end in '.pkl'.")


def table_rows(task_info: TaskInfo, visited_tasks: set[str] | None = None) -> list[dict[str, Any]]:
    """Return a dict for each task of a tree, in the tree's order, each task once.

    Parameters
    ----------
    task_info
        The root.
    visited_tasks
        Ids of the tasks that are left out; it is extended.
    """
    visited = set() if visited_tasks is None else visited_tasks
    rows, waiting = [], [task_info]
    while waiting:
        info = waiting.pop()
        if info.get_task_id() not in visited:
            visited.add(info.get_task_id())
            rows.append(info.task_info_dict())
            waiting.extend(reversed(info.children_task_infos))
    return rows


def make_task_info_as_table(task: luigi.Task, ignore_task_names: Collection[str] | None = None) -> pd.DataFrame:
    """Return a frame with a row for a task and for each one upstream; the columns are the attributes of `TaskInfo`.

    Parameters
    ----------
    task
        The root.
    ignore_task_names
        As for `make_task_info_tree`.

    Raises
    ------
    ImportError
        Without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("The task info table needs pandas: pip install 'kart-runtime[pandas]'") from error
    return pd.DataFrame(table_rows(make_task_info_tree(task, ignore_task_names)))


def dump_task_info_table(
    task: luigi.Task, task_info_dump_path: str, ignore_task_names: Collection[str] | None = None
) -> None:
    """Store the table of a task and everything upstream; the task's unique id is added to the file's name.

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
    """Store the `TaskInfo` of a task, with everything upstream, as a pickle file.

    Parameters
    ----------
    task
        The root.
    task_info_dump_path
        Path or url; it ends in ``.pkl``.
    ignore_task_names
        As for `make_task_info_tree`.
    use_unique_id
        Whether the task's unique id is added to the file's name.

    Raises
    ------
    NotAPickleFile
        For another suffix.
    """
    if PurePosixPath(task_info_dump_path).suffix != ".pkl":
        raise NotAPickleFile(task_info_dump_path)
    target = make_target(task_info_dump_path, id_of(task) if use_unique_id else None)
    target.dump(make_task_info_tree(task, ignore_task_names))
