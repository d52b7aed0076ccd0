"""gokart's names of the older form of the tree."""

from kart_runtime.gokart.tree.task_info import make_tree_info, tree_info

__all__ = ["make_tree_info", "tree_info"]
