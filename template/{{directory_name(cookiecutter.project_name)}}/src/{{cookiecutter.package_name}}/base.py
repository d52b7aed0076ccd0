"""Base class of all tasks in this project. Tasks import it from here, so you can extend it in one place."""

from kart_runtime import TaskOnKart

__all__ = ["TaskOnKart"]
