"""Where an attempt runs, and the clock of its processor time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, NamedTuple

from kart_runtime.storage.system import after_fork


class Place(NamedTuple):
    """Where something runs: ``host:process id:thread``, and a clock of the seconds that it computes.

    The clock is that of the process in its main thread, whose libraries may compute in threads of their own, and that
    of the thread elsewhere.
    """

    name: str
    clock: Callable[[], float]


class _Process:
    """Holds the id of this process, which would be a question to the system for each task."""

    id: ClassVar[int] = os.getpid()

    @classmethod
    def begin(cls) -> None:
        cls.id = os.getpid()


after_fork(_Process.begin)


def this_place() -> Place:
    """Return where this is called."""
    thread = threading.current_thread()
    return _place(_Process.id, thread.name, thread is threading.main_thread())


@lru_cache(maxsize=64)
def _place(process_id: int, thread: str, is_main: bool) -> Place:
    clock = time.process_time if is_main else time.thread_time
    return Place(f"{socket.gethostname()}:{process_id}:{thread}", clock)
