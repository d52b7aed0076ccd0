"""gokart's locks on a redis server around single functions, for programs that use them directly.

kart itself locks a whole attempt (`kart_runtime.execution.locks`) and uses nothing of this package.
"""

from kart_runtime.gokart.conflict_prevention_lock.task_lock import (
    TaskLockException,
    TaskLockParams,
    make_task_lock_params,
)

__all__ = ["TaskLockException", "TaskLockParams", "make_task_lock_params"]
