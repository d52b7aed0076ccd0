"""How does one look at a pipeline? As a tree of text with the state of each task.

Called by `before_build`, by the command line's options of gokart, and by users; the text is gokart's to the letter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import luigi

from kart_runtime.gokart.tree.objects import TaskInfo, make_task_info_tree
from kart_runtime.task.base import TaskOnKart


def tree_lines(  # noqa: PLR0917 - the form that gokart has
    task_info: TaskInfo,
    indent: str = "",
    last: bool = True,
    details: bool = False,
    abbr: bool = True,
    visited_tasks: set[str] | None = None,
) -> Iterator[str]:
    """Go through the lines of a tree, each made when it is asked for.

    A line is indented by its depth, so the text of a chain grows with the square of its length: at 20,000 tasks it is
    600 MB, which one may want to write without holding it.

    Parameters
    ----------
    task_info
        The root.
    indent
        What stands before the root.
    last
        Whether the root is drawn as the last of its siblings.
    details
        Whether parameters, outputs, time and log are shown.
    abbr
        Whether a task that was shown before is cut short.
    visited_tasks
        Ids of the tasks that count as shown before; it is extended.
    """
    visited = set() if visited_tasks is None else visited_tasks
    waiting = [(task_info, indent, last)]
    while waiting:
        info, indent, last = waiting.pop()
        line = f"{indent}{'└─-' if last else '|--'}{info.get_task_title()}"
        indent += "   " if last else "|  "
        if abbr and info.get_task_id() in visited:
            yield line
            yield f"{indent}└─- ..."
            continue
        visited.add(info.get_task_id())
        yield line + info.get_task_detail() if details else line
        for place, child in enumerate(reversed(info.children_task_infos)):
            waiting.append((child, indent, place == 0))


def tree_text(  # noqa: PLR0917
    task_info: TaskInfo,
    indent: str = "",
    last: bool = True,
    details: bool = False,
    abbr: bool = True,
    visited_tasks: set[str] | None = None,
) -> str:
    """Return a tree as text; it begins with a line break.

    Parameters
    ----------
    task_info, indent, last, details, abbr, visited_tasks
        As for `tree_lines`.
    """
    return "\n".join(("", *tree_lines(task_info, indent, last, details, abbr, visited_tasks)))


def make_task_info_as_tree_str(
    task: luigi.Task, details: bool = False, abbr: bool = True, ignore_task_names: Collection[str] | None = None
) -> str:
    """Return a task and everything upstream as a tree of text, with the state of each task.

    Parameters
    ----------
    task
        The root.
    details
        Whether parameters, outputs, time and log are shown.
    abbr
        Whether a task that was shown before is cut short; else it is shown again with all that is below it, which in a
        graph of many diamonds is a very long text.
    ignore_task_names
        As for `make_task_info_tree`.
    """
    return tree_text(make_task_info_tree(task, ignore_task_names), details=details, abbr=abbr)


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
    """Return the same as `make_task_info_as_tree_str`; gokart's older form of it.

    Parameters
    ----------
    task, details, abbr, ignore_task_names
        As there.
    indent, last, visited_tasks
        Have no effect.
    compress
        Another name of `abbr`, which the manual of gokart has; it wins when given.
    """
    return make_task_info_as_tree_str(task, details, abbr if compress is None else compress, ignore_task_names)


class tree_info(TaskOnKart[Any]):  # noqa: N801 - the family is what the command line's --tree-info-mode names
    """The options of the command line that ask for a tree, and the file it goes to; never run."""

    mode: luigi.StrParameter = luigi.StrParameter(
        default="", description="'simple', or 'all' for details; '' makes no tree."
    )
    output_path: luigi.StrParameter = luigi.StrParameter(
        default="tree.txt", description="The file, below the workspace."
    )

    def output(self) -> Any:
        """Return where the tree is written."""
        return self.make_target(self.output_path, use_unique_id=False)
