"""Watch over the time of a call in a worker process.

The program watches, since nothing in a worker runs while compiled code holds the interpreter. At the end of the time
the worker is told to end, as after Ctrl-C, so that locks are released and half-written files removed; then it is
killed, with what it has started.
"""

from __future__ import annotations

import time

from kart_runtime.execution.executors.calls import Answer
from kart_runtime.execution.executors.processes.process import WorkerProcess
from kart_runtime.execution.memory import kill_rest, process_tree
from kart_runtime.execution.time_limit import TaskTimeout, dumped_stack

_START_SECONDS = 60.0
"""How long a worker may take, beyond the limit, to begin a call: it imports the modules of the task first."""

_GRACE_SECONDS = 1.0
"""How long a call may take to release its locks."""

_STACK_SECONDS = 1.0
"""How long a worker may take to write where it stands."""


class TimeWatch:
    """Watch over one call of a worker."""

    def __init__(self, worker: WorkerProcess, name: str, seconds: float) -> None:
        self._worker, self._name, self._seconds = worker, name, seconds
        self._thread = 0
        self._end = time.monotonic() + seconds
        self._may_start = True
        worker.forget_stacks()

    def pause(self) -> float:
        """Return the seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    def started(self, thread: int) -> None:
        """Count the time from now on."""
        self._thread, self._end, self._may_start = thread, time.monotonic() + self._seconds, False

    def check(self) -> Answer | None:
        """End the worker and raise `TaskTimeout` if the time is over; return an answer that was on its way."""
        if self.pause():
            return None
        worker, is_stopped = self._worker, self._worker.is_stopped()
        if self._may_start and not is_stopped:
            self._may_start = False
            self._end += _START_SECONDS
            return None
        stack = dumped_stack("" if is_stopped else worker.stack_text(_STACK_SECONDS), self._thread)
        tree = process_tree(worker.pid)
        worker.is_ending = True
        worker.terminate()
        answer = worker.answer_within(0.0 if is_stopped else _GRACE_SECONDS)
        worker.kill()
        worker.exit_code(_GRACE_SECONDS)
        kill_rest(tree)
        if answer is not None:
            return answer
        how = "was ended"
        if is_stopped:
            how += f": its worker process {worker.pid} was stopped, and did not run"
        elif not self._thread:
            how += f": its worker process {worker.pid} had not begun it {_START_SECONDS:g} s later"
        raise TaskTimeout(self._name, self._seconds, stack, how)
