"""What is `gokart.info`? Two names of `kart_runtime.task_info`."""

from kart_runtime.task_info import make_tree_info, tree_info

__all__ = ["make_tree_info", "tree_info"]
