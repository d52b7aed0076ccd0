"""What is `gokart.tree.task_info_formatter`? Names of `gokart.tree`, two of them called otherwise."""

from kart_runtime.gokart.tree import RequiredTask, TaskInfo, make_task_info_tree
from kart_runtime.gokart.tree import make_requires_info as _make_requires_info
from kart_runtime.gokart.tree import table_rows as make_tree_info_table_list
from kart_runtime.gokart.tree import tree_text as make_tree_info

__all__ = [
    "RequiredTask",
    "TaskInfo",
    "_make_requires_info",
    "make_task_info_tree",
    "make_tree_info",
    "make_tree_info_table_list",
]
