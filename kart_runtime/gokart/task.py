"""gokart's names of the task and its error."""

from kart_runtime.errors import EmptyDump as EmptyDumpError
from kart_runtime.task.base import TaskOnKart

__all__ = ["EmptyDumpError", "TaskOnKart"]
