"""What is known of a task and of everything upstream? As objects, as a tree for people, and as a table.

Called by `builder` and `project`, which show or keep it before a build, and by users; gokart's names and formats.
"""

from kart_runtime.gokart.tree.dump import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info
from kart_runtime.gokart.tree.objects import RequiredTask, TaskInfo, make_requires_info, make_task_info_tree
from kart_runtime.gokart.tree.table import (
    NotAPickleFile,
    dump_task_info_table,
    dump_task_info_tree,
    make_task_info_as_table,
    table_rows,
)
from kart_runtime.gokart.tree.text import make_task_info_as_tree_str, make_tree_info, tree_info, tree_lines, tree_text

__all__ = [
    "NotAPickleFile",
    "RequiredTask",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "TaskInfo",
    "dump_task_info_table",
    "dump_task_info_tree",
    "make_requires_info",
    "make_task_info_as_table",
    "make_task_info_as_tree_str",
    "make_task_info_tree",
    "make_tree_info",
    "process_task_info",
    "table_rows",
    "tree_info",
    "tree_lines",
    "tree_text",
]
