"""What can be watched while a build goes on? Four events, in order, and the summary that the last one carries.

Sent by `schedule` to the listener that `build` was given; the command line's display is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import luigi

from kart_runtime.execution.attempt import Outcome
from kart_runtime.plan.decisions import Plan


@dataclass(frozen=True)
class Summary:
    """What a build came to.

    Attributes
    ----------
    total
        The number of tasks.
    ran, complete, not_needed
        Tasks that were run; whose output was there; that nothing needed.
    failed
        Task to its exception.
    not_started
        Task to the failed or missing task that it waits for.
    missing
        Tasks from outside that are not there.
    seconds
        How long it took.
    interrupted
        Whether it was ended by Ctrl-C.
    """

    total: int
    ran: int
    complete: int
    not_needed: int
    failed: dict[luigi.Task, BaseException] = field(default_factory=dict)
    not_started: dict[luigi.Task, luigi.Task] = field(default_factory=dict)
    missing: tuple[luigi.Task, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Return whether everything that was asked for is there."""
        return not (self.failed or self.not_started or self.missing or self.interrupted)

    def text(self) -> str:
        """Return the build in one line."""
        parts = [f"{self.ran} ran", f"{self.complete} already complete"]
        counted = (
            (self.not_needed, "not needed"),
            (len(self.failed), "failed"),
            (len(self.missing), "missing"),
            (len(self.not_started), "not started"),
        )
        parts += [f"{number} {words}" for number, words in counted if number]
        plural = "" if self.total == 1 else "s"
        line = f"{self.total} task{plural}: {', '.join(parts)} ({_duration(self.seconds)})"
        if self.interrupted:
            return f"Interrupted: {line}"
        return line if self.ran or not self.ok else f"Nothing to run: {line}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 90 else f"{minutes} min {rest} s"


@dataclass(frozen=True)
class PlanMade:
    """The plan is known; nothing has run."""

    plan: Plan


@dataclass(frozen=True)
class TaskStarted:
    """A task was given to the executor."""

    task: luigi.Task


@dataclass(frozen=True)
class TaskFinished:
    """An attempt has ended, or is suspended."""

    task: luigi.Task
    outcome: Outcome


@dataclass(frozen=True)
class BuildFinished:
    """Nothing runs any more."""

    summary: Summary


Event = PlanMade | TaskStarted | TaskFinished | BuildFinished
Listener = Callable[[Event], None]
