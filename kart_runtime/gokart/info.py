"""What is `gokart.info`? Two names of `kart_runtime.gokart.tree`."""

from kart_runtime.gokart.tree import make_tree_info, tree_info

__all__ = ["make_tree_info", "tree_info"]
