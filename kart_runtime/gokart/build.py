"""gokart's names of what runs tasks."""

from kart_runtime.builder import build
from kart_runtime.errors import BuildFailed as GokartBuildError
from kart_runtime.errors import LockTimeout as HasLockedTaskException
from kart_runtime.gokart.tree import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info
from kart_runtime.luigi_bridge import WorkerSchedulerFactory

__all__ = [
    "GokartBuildError",
    "HasLockedTaskException",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "WorkerSchedulerFactory",
    "build",
    "process_task_info",
]
