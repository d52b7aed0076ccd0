"""What is `gokart.tree.task_info`? Names of `kart_runtime.gokart.tree`."""

from kart_runtime.gokart.tree import (
    dump_task_info_table,
    dump_task_info_tree,
    make_task_info_as_table,
    make_task_info_as_tree_str,
    make_task_info_tree,
)

__all__ = [
    "dump_task_info_table",
    "dump_task_info_tree",
    "make_task_info_as_table",
    "make_task_info_as_tree_str",
    "make_task_info_tree",
]
