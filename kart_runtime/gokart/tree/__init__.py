"""State of a task and of everything upstream, as objects, as a tree for people, and as a table; gokart's formats."""

from kart_runtime.gokart.tree.dump import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info
from kart_runtime.gokart.tree.task_info import (
    NotAPickleFile,
    dump_task_info_table,
    dump_task_info_tree,
    make_task_info_as_table,
    make_task_info_as_tree_str,
    make_tree_info,
    tree_info,
)
from kart_runtime.gokart.tree.task_info_formatter import (
    RequiredTask,
    TaskInfo,
    make_requires_info,
    make_task_info_tree,
    tree_lines,
)
from kart_runtime.gokart.tree.task_info_formatter import make_tree_info as tree_text
from kart_runtime.gokart.tree.task_info_formatter import make_tree_info_table_list as table_rows

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
