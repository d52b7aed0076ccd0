"""Events of a build, in order, and the summary that the last one carries.

The listener given to `build` receives them, always in the thread that builds; the command line's display is one. Later
versions only add events and attributes, so a listener ignores those that it does not know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import luigi

from kart_runtime.errors import described, warn
from kart_runtime.execution.attempt import Outcome
from kart_runtime.history.html_tables import html_table
from kart_runtime.plan.decisions import Plan
from kart_runtime.task.naming import display_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """Result of a build: task counts, failures and duration.

    Attributes
    ----------
    total
        Number of tasks.
    ran, complete, not_needed
        Number of tasks that ran; that were complete; that no task to run needs.
    failed
        Task to its exception.
    tries
        Failed task to the exceptions of all its tries, if there were several.
    not_started
        Task to the failed or missing task upstream.
    missing
        External inputs that do not exist.
    seconds
        Duration of the build.
    interrupted
        Whether Ctrl-C ended it.
    stopped
        Tasks that were not started because the build ended at the first failure (`fail_fast`).
    ended
        Tasks that ran when the build was interrupted, or ended at the first failure, and did not come to their end.
    published
        A line for each output that was published under a fixed name.
    unpublished
        Task that is complete to the exception because of which it could not be published.
    metrics
        Task that ran to what it measured: name to value.
    run_id
        Id of the run, by which `kart show` and `History` find it.
    roots
        The requested tasks.
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
    tries: dict[luigi.Task, tuple[BaseException, ...]] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    unpublished: Mapping[luigi.Task, BaseException] = field(default_factory=dict)
    metrics: Mapping[luigi.Task, Mapping[str, float | str]] = field(default_factory=dict)
    run_id: str = ""
    roots: tuple[luigi.Task, ...] = ()
    stopped: tuple[luigi.Task, ...] = ()
    ended: tuple[luigi.Task, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether all requested tasks are complete, and published if their classes say so."""
        return not (self.failed or self.not_started or self.missing or self.interrupted or self.unpublished)

    def __repr__(self) -> str:
        return f"<Summary of {self.text()}>"

    def _repr_html_(self) -> str:
        rows = [
            *((display_name(task), "failed", described(error)) for task, error in self.failed.items()),
            *((display_name(task), "not published", described(error)) for task, error in self.unpublished.items()),
            *((display_name(task), "missing", "external input not found") for task in self.missing),
            *((display_name(task), "ended", "it was running when the build ended") for task in self.ended),
            *((display_name(task), "not started", "the build ended at the first failure") for task in self.stopped),
            *(
                (display_name(task), "not started", f"upstream: {display_name(cause)}")
                for task, cause in self.not_started.items()
            ),
            *(
                (display_name(task), name, f"{value:.6g}" if isinstance(value, float) else value)
                for task, values in self.metrics.items()
                for name, value in values.items()
            ),
        ]
        return html_table(("task", "", ""), rows, title=self.text())

    def text(self) -> str:
        """Return the summary in one line."""
        parts = [f"{self.ran} ran", f"{self.complete} already complete"]
        counted = (
            (self.not_needed, "not needed"),
            (len(self.failed), "failed"),
            (len(self.missing), "missing"),
            (len(self.ended), "ended while running"),
            (len(self.not_started) + len(self.stopped), "not started"),
            (len(self.unpublished), "not published"),
        )
        parts += [f"{number} {words}" for number, words in counted if number]
        plural = "" if self.total == 1 else "s"
        line = f"{self.total} task{plural}: {', '.join(parts)} ({_duration(self.seconds)})"
        if self.interrupted:
            return f"Interrupted: {line}"
        if self.stopped or self.ended:
            return f"{line}; ended at the first failure"
        return line if self.ran or not self.ok else f"Nothing to run: {line}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 90 else f"{minutes} min {rest} s"


@dataclass(frozen=True)
class PlanMade:
    """The plan is made; nothing has run."""

    plan: Plan


@dataclass(frozen=True)
class TaskStarted:
    """A task begins to run; in worker processes and on a cluster: it was given to them.

    A task that another process runs or completes meanwhile ends without having started.

    Attributes
    ----------
    task
        The task.
    attempt
        Number of the try, from 1.
    tries
        Number of tries that the task has at most.
    at
        Time in seconds since the epoch.
    timeout
        Seconds that the try may take; None without a limit.
    """

    task: luigi.Task
    attempt: int = 1
    tries: int = 1
    at: float = field(default_factory=time.time)
    timeout: float | None = None


@dataclass(frozen=True)
class TaskProgress:
    """A running task says how far it is.

    Attributes
    ----------
    task
        The task.
    done
        Part that is done, from 0 to 1; None if it does not know.
    text
        What it says about it, or "".
    at
        Time in seconds since the epoch.
    """

    task: luigi.Task
    done: float | None = None
    text: str = ""
    at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TaskLocked:
    """Another process runs a task; it is tried again later, and starts or ends then.

    It comes when the task is found locked, and again, for the task that waits longest, after growing intervals.

    Attributes
    ----------
    task
        The task.
    at
        Time in seconds since the epoch.
    holder
        Who runs it: "process 4711 on host"; "another process" if that is not known.
    seconds
        How long that process has been running it, or else how long this one has waited.
    number
        0 when the task is found locked, then 1, 2 and so on each time that the build says for whom it waits.
    others
        Number of further tasks that wait.
    note
        What that process does instead of running the task, and what to do about it; or "".
    """

    task: luigi.Task
    at: float = field(default_factory=time.time)
    holder: str = "another process"
    seconds: float = 0.0
    number: int = 0
    others: int = 0
    note: str = ""


def waiting_text(event: TaskLocked, name: str) -> str:
    """Return for whom a build waits: "waiting for Train: process 4711 on host has been running it for 12 s"."""
    seconds = f"{event.seconds:.0f} s" if event.seconds < 90 else _duration(event.seconds)
    more = f" ({event.others} more wait)" if event.others else ""
    if event.note:
        return f"waiting for {name}: {event.holder} {event.note}{more}"
    return f"waiting for {name}: {event.holder} has been running it for {seconds}{more}"


@dataclass(frozen=True)
class TaskUnchanged:
    """A task that might have had to run stays as it is: what it loads has been computed again with the same content.

    Attributes
    ----------
    task
        The task.
    at
        Time in seconds since the epoch.
    """

    task: luigi.Task
    at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class TaskFinished:
    """An attempt has ended.

    Attributes
    ----------
    task
        The task.
    outcome
        How it ended.
    attempt
        Number of the try, from 1.
    tries
        Number of tries that the task has at most.
    is_retried
        Whether it has failed and is tried again.
    at
        Time in seconds since the epoch.
    pause
        Seconds until it is tried again.
    """

    task: luigi.Task
    outcome: Outcome
    attempt: int = 1
    tries: int = 1
    is_retried: bool = False
    at: float = field(default_factory=time.time)
    pause: float = 0.0

    @property
    def timeout(self) -> float | None:
        """Return the seconds that the try might take, if it took longer and was ended."""
        return self.outcome.timeout


@dataclass(frozen=True)
class BuildStopping:
    """The build starts nothing more, after Ctrl-C or the first failure, and waits for threads that cannot be ended.

    Attributes
    ----------
    waiting
        The tasks that still run, each with the seconds that it has run.
    """

    waiting: tuple[tuple[luigi.Task, float], ...]


@dataclass(frozen=True)
class BuildFinished:
    """The build has ended."""

    summary: Summary


def retry_text(event: TaskFinished) -> str:
    """Return what is said about a try that failed and is followed by another one."""
    reason = described(event.outcome.error or RuntimeError("unknown")).partition("\n")[0]
    when = f" in {event.pause:.3g} s" if event.pause else ""
    return f"failed (try {event.attempt} of {event.tries}): {reason}; trying again{when}"


def stopping_text(event: BuildStopping, label: Callable[[luigi.Task], str] = display_name) -> str:
    """Return what is said about the tasks that a build which stops still waits for."""
    waiting = [f"{label(task)} ({seconds:.0f} s)" for task, seconds in event.waiting[:_MOST_WAITING]]
    more = len(event.waiting) - len(waiting)
    names = ", ".join(waiting) + (f" and {more} more" if more else "")
    return f"waiting for {names}, press Ctrl-C again to end at once"


_MOST_WAITING = 10

Event = (
    PlanMade | TaskStarted | TaskProgress | TaskLocked | TaskUnchanged | TaskFinished | BuildStopping | BuildFinished
)
Listener = Callable[[Event], None]


def tolerant(listener: Listener | None) -> Listener | None:
    """Return a listener that never raises: its first error is a warning, and the build goes on."""
    if listener is None:
        return None
    reported = False

    def listen(event: Event) -> None:
        nonlocal reported
        try:
            listener(event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the tasks have nothing to do with it
            if not reported:
                reported = True
                about = getattr(event, "task", None)
                of = f" of {about}" if about is not None else ""
                text = "A listener of the build raised at %s%s: %s. The build goes on; further errors are not reported."
                warn(logger, text, type(event).__name__, of, described(error))

    return listen
