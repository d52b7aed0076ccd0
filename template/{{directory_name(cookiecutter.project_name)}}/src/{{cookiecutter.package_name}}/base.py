"""What have all tasks of this project in common? They import their base from here, so that it can grow in one place."""

from kart_runtime import TaskOnKart

__all__ = ["TaskOnKart"]
