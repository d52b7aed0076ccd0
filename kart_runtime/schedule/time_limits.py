"""Time limits of the tries of a build, and the end of those that run in threads of this process.

Worker processes and clusters end a try themselves; their executors are told its time.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import luigi

from kart_runtime.errors import warn
from kart_runtime.execution.attempt import Attempt, Outcome
from kart_runtime.execution.executors.threads import ThreadExecutor
from kart_runtime.execution.time_limit import TaskTimeout, ThreadClock, interrupt, stack_of
from kart_runtime.schedule.call_limits import logger
from kart_runtime.task.limits import may_have_timeout, timeout_of
from kart_runtime.task.naming import display_name

_GRACE_SECONDS = 0.2
"""How long a thread may take to end after it was interrupted, before it is said that it goes on."""

GIVEN_UP = "was given up: its thread goes on until it returns, and nothing that it still dumps is stored"


class TimeLimits:
    """Seconds that each task of a build may take: as its class says, else as the build does, else as luigi does."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._has_own: dict[type, bool] = {}

    def of(self, task: luigi.Task) -> float | None:
        """Return the limit of a try of a task; None if there is none."""
        cls = type(task)
        has_own = self._has_own.get(cls)
        if has_own is None:
            has_own = self._has_own[cls] = may_have_timeout(cls)
        return timeout_of(task, self._default) if has_own else self._default

    @cached_property
    def _default(self) -> float | None:
        config = luigi.configuration.get_config()
        timeout = self._timeout
        if timeout is None:
            timeout = config.getfloat("worker", "timeout", config.getfloat("core", "worker-timeout", 0.0))
        return timeout or None


class Watch(NamedTuple):
    """A try in a thread of this process whose time is limited."""

    attempt: Attempt
    clock: ThreadClock
    executor: ThreadExecutor

    def interrupt(self) -> None:
        """Interrupt a task of the serial executor, as Ctrl-C does where it runs in the main thread."""
        if self.executor.in_context and self.clock.left() is not None:
            interrupt(self.clock.thread)

    def give_up(self, future: object) -> Outcome | None:
        """End the try, or give it up; return its outcome, or None if its outputs become visible at this moment."""
        name, seconds = display_name(self.attempt.task), self.clock.seconds
        where = stack_of(self.clock.thread)
        if not self.attempt.give_up(TaskTimeout(name, seconds, where)):
            return None
        thread = self.executor.give_up(future)
        how = "was ended"
        if thread is not None and thread.is_alive():
            interrupt(self.clock.thread)
            thread.join(_GRACE_SECONDS)
            how = GIVEN_UP if thread.is_alive() else how
        return self.attempt.timed_out(TaskTimeout(name, seconds, where, how))


def warn_of_serial(task: luigi.Task) -> None:
    """Say that the time of a task is not limited which has to run in the thread of the program."""
    warn(
        logger,
        "timeout of %s is not enforced: its class says executor = 'serial', the thread of the program, which nothing "
        "else can end.",
        task.get_task_family(),
    )
