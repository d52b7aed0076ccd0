"""Where an attempt runs, and its processor time."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import lru_cache


def cpu_seconds() -> float:
    """Return the processor time so far: of this process in its main thread, of the thread in another one."""
    if threading.current_thread() is threading.main_thread():
        return time.process_time()
    return time.thread_time()


def worker_name() -> str:
    """Return where this is called: ``host:process id:thread``."""
    return _name(os.getpid(), threading.current_thread().name)


@lru_cache(maxsize=64)
def _name(process_id: int, thread: str) -> str:
    return f"{socket.gethostname()}:{process_id}:{thread}"
