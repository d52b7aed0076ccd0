"""Schedule the tasks of a plan.

`Scheduler` submits ready tasks to the executors, at most `workers` at a time, and unblocks their dependents as they
finish. A failed task blocks only its descendants. Cost is linear in tasks and dependencies; luigi re-sorts all pending
tasks for each one.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import luigi

from kart_runtime.errors import (
    CyclicDependency,
    KartError,
    LockLost,
    LockTimeout,
    ObjectCorrupt,
    WorkerDied,
    WorkersKilled,
    warn,
)
from kart_runtime.execution.attempt import Attempt, AttemptState, Outcome
from kart_runtime.execution.executors import Executors, SerialExecutor, ThreadExecutor, requested_executor
from kart_runtime.execution.executors.base import Finishing, TaskExecutor
from kart_runtime.execution.locks import Locks
from kart_runtime.execution.time_limit import Interrupted, TaskTimeout, ThreadClock
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import (
    REPLACING,
    RUNNING,
    Action,
    Decision,
    Plan,
    Reason,
    check_output_clash,
    is_external,
    make_plan,
)
from kart_runtime.schedule.call_limits import CallLimiter
from kart_runtime.schedule.critical_path import TaskClass, critical_path_lengths
from kart_runtime.schedule.events import (
    BuildFinished,
    BuildStopping,
    Event,
    Listener,
    PlanMade,
    Summary,
    TaskFinished,
    TaskProgress,
    TaskStarted,
    TaskUnchanged,
    retry_text,
    stopping_text,
    waiting_text,
)
from kart_runtime.schedule.feed import Ended, Feed
from kart_runtime.schedule.ready_queue import Node, NodeState, ReadyQueue, find_cycle
from kart_runtime.schedule.recorder import Recorder
from kart_runtime.schedule.resources import Limits
from kart_runtime.schedule.retries import Retries, may_help, note_tries
from kart_runtime.schedule.time_limits import TimeLimits, Watch, warn_of_serial
from kart_runtime.schedule.waiting import LockedTasks, PausedTasks
from kart_runtime.task.base import kart_task
from kart_runtime.task.naming import display_name
from kart_runtime.task.publishing import check_publications, publish_finished, publishing
from kart_runtime.task.state import TaskRun, unused_object

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
"""How often to look whether a try whose time is limited has begun."""

_SERIAL_SECONDS = 1.0
"""How long a task of the serial executor, of which the time is limited, may take to end after Ctrl-C."""

_LAST_SECONDS = 5.0
"""How long outputs may take to become visible when the build is to end at once."""

_TRIES_WITH_A_LOCK = 3
"""Number of tries of a task that loses its lock each time."""


@dataclass(frozen=True)
class BuildContext:
    """Parts that the scheduler of one build works with.

    Attributes
    ----------
    executors
        Where attempts run.
    workers
        Maximum number of attempts in flight.
    locks, lock_wait
        Locks of the tasks, and the seconds to wait for one.
    ledger
        Destination of the records.
    listener
        Receiver of events, or None.
    limits
        Limits of the resources.
    changes
        Comparison of the tasks with the records of their outputs.
    checks_types
        Whether a dumped value must have the type that its task declares.
    keeps_logs
        Whether the log records of each attempt are kept.
    seconds
        Mean duration of the tasks of a class, by module and name.
    feed
        What asks for further tasks while the build runs, or None.
    on_more
        Called with the plan of further tasks, before they run; returns whether the plan has to be made again.
    on_yield
        Called with the plan of tasks that a task has yielded, that task, and those that it waits for; returns whether
        the plan has to be made again.
    timeout, retries
        Time of a try, and the number of tries, where a class says nothing.
    fail_fast
        Whether the first failure ends the build.
    """

    executors: Executors
    workers: int
    locks: Locks
    lock_wait: float
    ledger: Ledger
    listener: Listener | None
    limits: Limits
    changes: Changes = field(default_factory=Changes)
    checks_types: bool = True
    keeps_logs: bool = True
    seconds: Mapping[TaskClass, float] = field(default_factory=dict)
    feed: Feed | None = None
    on_more: Callable[[Plan], bool] | None = None
    on_yield: Callable[[Plan, luigi.Task, Sequence[luigi.Task]], bool] | None = None
    timeout: float | None = None
    retries: Retries = field(default_factory=Retries)
    fail_fast: bool = False


class Scheduler:
    """Runs a plan."""

    def __init__(self, plan: Plan, context: BuildContext) -> None:
        self._plan = plan
        self._context = context
        self._nodes: dict[luigi.Task, Node] = {}
        self._recorder = Recorder(context.ledger, context.changes)
        self._ready = ReadyQueue(context.limits)
        self._executors: dict[type, TaskExecutor] = {}
        """Task class to the executor of its tasks."""
        self._running: dict[Node, Finishing[Outcome] | None] = {}
        """Tasks in flight; what their executor returned, if it has."""
        self._watches: dict[Node, Watch] = {}
        """Those in threads of this process whose time is limited."""
        self._time_limits = TimeLimits(context.timeout)
        self._paused = PausedTasks()
        self._first_failure: luigi.Task | None = None
        """The failure that ends the build, if it ends at the first."""
        self._finished: queue.SimpleQueue[tuple[Node, Finishing[Outcome]] | Event] = queue.SimpleQueue()
        """What other threads have to say: which attempts have ended, and the events of those that have not."""
        self._thread = threading.get_ident()
        self._locked = LockedTasks(context.lock_wait)
        self._suspended: set[Node] = set()
        """Tasks that have yielded others, and may hold their locks meanwhile."""
        self._counts: Counter[AttemptState | Reason] = Counter()
        self._failed: dict[luigi.Task, BaseException] = {}
        self._tries: dict[luigi.Task, tuple[BaseException, ...]] = {}
        self._metrics: dict[luigi.Task, Mapping[str, float | str]] = {}
        self._blocked: dict[luigi.Task, luigi.Task] = {}
        self._call_limits = CallLimiter()
        self._writers = {url: list(tasks) for url, tasks in plan.writers.items()}
        self.summary: Summary | None = None
        """The summary, when the build has ended."""
        self._recomputed: set[str] = set()
        """Urls of damaged files whose tasks have been run again."""
        self._began = time.perf_counter()
        self._add(plan)

    @property
    def ledger(self) -> Ledger:
        """Return what writes the records."""
        return self._context.ledger

    @property
    def tasks(self) -> Iterable[luigi.Task]:
        """Return all tasks of the build, including those that a `run()` has yielded."""
        return self._nodes

    def run(self) -> Summary:
        """Run all tasks that can run, and return the summary. Ctrl-C ends the build and is raised again."""
        self._emit(PlanMade(self._plan))
        try:
            self._submit()
            self._take_more()
            while (self._running or self._locked or self._paused) and self._first_failure is None:
                self._wait()
                self._submit()
                self._take_more()
            if self._first_failure is not None:
                self._stop()
            self._fail_cycles()
            publications = publish_finished(self._nodes, {*self._failed, *self._blocked})
        except KeyboardInterrupt:
            self._stop()
            self.summary = self._summary(interrupted=True)
            self._emit(BuildFinished(self.summary))
            raise
        finally:
            for node in self._suspended:
                if node.attempt is not None:
                    node.attempt.release_lock()
        summary = replace(self._summary(), published=publications.published, unpublished=publications.failed)
        self.summary = summary
        self._emit(BuildFinished(summary))
        return summary

    def _stop(self) -> None:
        """End what runs, and wait for threads, which nothing can end; a second Ctrl-C gives these up."""
        try:
            for node, future in list(self._running.items()):
                if future is not None:  # Ctrl-C may have come when its end was taken, and before it was handled
                    future.add_done_callback(partial(self._on_done, node))
            for watch in self._watches.values():
                watch.interrupt()
            self._tell_waiting(BuildStopping(self._waiting()))
            self._context.executors.stop()
            self._take_finished()
            self._await_threads()
        except KeyboardInterrupt:
            self._context.executors.stop()
            self._give_up(self._threads())
            with suppress(queue.Empty):  # what becomes visible at this moment gets its record
                while self._threads():
                    self._take_finished(self._finished.get(timeout=_LAST_SECONDS))

    def _await_threads(self) -> None:
        """Wait for threads as long as their tries may take; for those of `serial`, which Ctrl-C has ended, a second."""
        until = time.monotonic() + _SERIAL_SECONDS
        serial = [node for node, watch in self._watches.items() if watch.executor.in_context]
        while self._threads():
            pauses = [self._until_late()] if self._watches else []
            if serial:
                pauses.append(max(until - time.monotonic(), 0.0))
            with suppress(queue.Empty):
                self._take_finished(self._finished.get(timeout=min(pauses, default=None)))
            if serial and time.monotonic() >= until:
                self._give_up([node for node in serial if self._running.get(node) is not None])
                serial = []
            self._end_late(self._end_stopped)

    def _end_stopped(self, node: Node, outcome: Outcome) -> None:
        self._release(node)
        self._end(node, outcome)

    def _give_up(self, nodes: Iterable[Node]) -> None:
        """Wait no longer for tries in threads, and store nothing of them, unless that has begun."""
        for node in nodes:
            if node.attempt is not None and node.attempt.give_up(KeyboardInterrupt()):
                self._context.executors.give_up(self._running[node])
                self._watches.pop(node, None)

    def abandon(self) -> None:
        """Give up all that runs, since the process ends at once: nothing becomes visible without a record."""
        for node in list(self._running):
            if node.attempt is not None:
                node.attempt.give_up(KeyboardInterrupt())
        self._context.executors.kill()
        self.summary = self._summary(interrupted=True)

    def _threads(self) -> list[Node]:
        """Return the tasks that run in threads of this process, and are waited for."""
        return [
            node
            for node, future in self._running.items()
            if future is not None
            and self._executors[type(node.task)].runs_here
            and not (node.attempt is not None and node.attempt.is_given_up)
        ]

    def _waiting(self) -> tuple[tuple[luigi.Task, float], ...]:
        attempts = [(node.task, node.attempt) for node in self._threads() if node.attempt is not None]
        return tuple((task, attempt.seconds) for task, attempt in attempts)

    def _tell_waiting(self, event: BuildStopping) -> None:
        if self._context.listener is None and event.waiting:
            warn(logger, "Stopping: %s.", stopping_text(event))
        self._emit(event)

    def _take_finished(self, news: tuple[Node, Finishing[Outcome]] | Event | None = None) -> None:
        """Take the results of a build that starts nothing more: what is done or has failed by itself is recorded."""
        with suppress(queue.Empty):
            while True:
                news = self._finished.get_nowait() if news is None else news
                if isinstance(news, tuple) and self._running.get(news[0]) is news[1]:
                    node, future = news
                    outcome = None
                    with suppress(CancelledError):  # by the end of its executor
                        outcome = future.result() if future.exception() is None else None
                    ended = outcome is not None and outcome.state is not AttemptState.SUSPENDED
                    if outcome is not None and ended and not isinstance(outcome.error, Interrupted | KeyboardInterrupt):
                        self._release(node)
                        self._end(node, outcome)
                    else:
                        self._running[node] = None
                news = None

    def _emit(self, event: Event) -> None:
        if self._context.listener is not None:
            self._context.listener(event)

    # -- the graph -----------------------------------------------------------------------------------------------

    def _add(self, plan: Plan, after: float = 0.0) -> None:
        """Add the tasks of a plan that are new, or were not needed until now; `after` is the path that follows them."""
        lengths = critical_path_lengths(plan, self._context.seconds) if self._context.workers > 1 else None
        # Before anything is changed, because these may raise.
        to_run = plan.to_run
        needs = {task: amounts for task in to_run if (amounts := self._context.limits.needs_of(task))}
        for task in to_run:
            self._context.retries.check(task)
            self._time_limits.of(task)
        for cls in set(map(type, to_run)):
            self._context.executors.check_requested(cls)
        nodes: list[Node] = []
        for index, task in enumerate(plan.tasks):
            node = self._nodes.get(task)
            if node is None:
                node = self._nodes[task] = Node(task)
            nodes.append(node)
            if node.state is not NodeState.IDLE:
                continue
            decision = plan.decisions[index]
            if decision.action in RUNNING:
                node.decision, node.output = decision, plan.outputs[index]
                node.path_length = lengths[index] + after if lengths else 0.0
                node.needs = needs.get(task, ()) if needs else ()
                node.state = NodeState.WAITING
                self._wait_for(node, [nodes[dependency] for dependency in plan.graph.upstream[index]])
            elif decision.action is Action.MISSING:
                node.state = NodeState.MISSING
            elif decision.reason is Reason.COMPLETE:
                node.state = NodeState.DONE
                self._counts[Reason.COMPLETE] += 1

    def _wait_for(self, node: Node, upstream: Sequence[Node]) -> None:
        """Count the unfinished dependencies of a task: it is ready without any, and blocked if one has failed."""
        node.n_pending = 0
        for dependency in upstream:
            if dependency.state is NodeState.WAITING:
                dependency.dependents.append(node)
                node.n_pending += 1
            elif dependency.state is NodeState.FAILED or dependency.state is NodeState.MISSING:
                self._block(node, dependency.task)
                return
            elif dependency.state is NodeState.BLOCKED:
                self._block(node, self._blocked[dependency.task])
                return
        if not node.n_pending:
            self._ready.add(node)

    def _block(self, node: Node, cause: luigi.Task) -> None:
        """Block a task and all its descendants because of a failed or missing one."""
        to_block = [node]
        while to_block:
            blocked = to_block.pop()
            if blocked.state is not NodeState.WAITING:
                continue
            blocked.state = NodeState.BLOCKED
            if blocked.attempt is not None:  # suspended
                blocked.attempt.release_lock()
                blocked.attempt = None
            self._blocked[blocked.task] = cause
            to_block += blocked.dependents

    # -- the feed ------------------------------------------------------------------------------------------------

    def _take_more(self) -> None:
        """Add the tasks that the feed asks for, until it has no more for now."""
        feed = self._context.feed
        while feed is not None and (tasks := feed.more(self)):
            try:
                plan = make_plan(tasks, changes=self._context.changes)
                self._check_output_clash(plan)
                if publishing(plan.tasks):
                    check_publications(dict.fromkeys([*self._nodes, *plan.tasks]))
                self._context.executors.open(plan.to_run)
                while self._context.on_more is not None and self._context.on_more(plan):
                    plan = make_plan(tasks, changes=self._context.changes)
                    self._context.executors.open(plan.to_run)
                self._add(plan)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - only these tasks cannot run
                feed.refused(tasks, error)
            self._submit()

    @property
    def free_workers(self) -> int:
        """Number of workers that have nothing to do, and nothing that is ready."""
        return 0 if self._ready else self._context.workers - len(self._running)

    def ended(self, task: luigi.Task) -> Ended | None:
        """Return how a task has ended; None if it may still run."""
        node = self._nodes.get(task)
        if node is None or node.state in (NodeState.WAITING, NodeState.IDLE):
            return None
        if node.state is NodeState.DONE:
            return Ended(None, self._metrics.get(task, {}) if node.decision is not None else None)
        cause = self._blocked.get(task, task)
        missing = FileNotFoundError(f"external input not found: {display_name(cause)}")
        return Ended(self._failed.get(cause, missing), None)

    def note(self, task: luigi.Task, values: Mapping[str, Any]) -> None:
        """Add a line to the file of the run, in the workspace of a task."""
        self._context.ledger.note(task.workspace_directory, values)  # type: ignore[attr-defined]

    # -- attempts ------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Start as many ready tasks as there are free workers."""
        while len(self._running) < self._context.workers and self._first_failure is None:
            node = self._ready.next()
            if node is None:
                break
            if node.decision is not None and node.decision.action is Action.MAYBE and not self._must_run(node):
                self._end_unchanged(node)
            else:
                self._start(node)

    def _must_run(self, node: Node) -> bool:
        """Return whether a task runs because what it loaded has changed, now that all upstream of it is done."""
        changes = self._context.changes
        if changes.has_same_inputs(node.task):
            return False
        node.decision = Decision(Action.RUN, Reason.INPUT_CHANGED, changes.input_change(node.task))
        return True

    def _end_unchanged(self, node: Node) -> None:
        """Leave a task as it is: all that it loaded has been computed again with the same content."""
        node.output = None
        self._counts[Reason.COMPLETE] += 1
        self._finish(node)
        if self._context.listener is not None:
            self._context.listener(TaskUnchanged(node.task))

    def _start(self, node: Node) -> None:
        cls = type(node.task)
        executor = self._executors.get(cls)
        if executor is None:
            executor = self._executors[cls] = self._context.executors.get(requested_executor(cls))
        if node.attempt is None:
            task = unused_object(node.task)
            output = node.output if task is node.task else None  # its targets know their task
            run = TaskRun(output, checks_types=self._context.checks_types, keeps_logs=self._context.keeps_logs)
            run.allows_outside = self._context.changes.allows_outside
            run.run_id = self._context.ledger.run_id
            replaces = node.decision is not None and node.decision.reason in REPLACING
            run.marks = self._recorder.announce(node.task)
            node.attempt = Attempt(
                task, self._context.locks, task_run=run, replaces=replaces, is_retry=bool(node.errors)
            )
            node.output = None
            if self._context.listener is not None:
                run.report = partial(self._tell_progress, node)
                if executor.runs_here:
                    node.attempt.on_start = partial(self._tell_start, node)
                else:
                    self._tell_start(node)
        attempt = node.attempt
        self._running[node] = None
        timeout = self._time_limits.of(node.task)
        if node.needs:
            node.gpus = self._context.limits.take(node.needs)
        if node.needs or timeout is not None:
            node.call_limits = self._call_limits.of(node.task, node.gpus, executor, timeout)
        if timeout is not None and executor.runs_here:
            executor = self._watched(node, attempt, timeout, executor)
        rank = (node.task.priority, node.path_length)
        future = executor.submit_ranked(rank, attempt.run, node.call_limits, attempt.task_run.report)
        self._running[node] = future
        future.add_done_callback(partial(self._on_done, node))

    def _watched(self, node: Node, attempt: Attempt, timeout: float, executor: TaskExecutor) -> TaskExecutor:
        """Return the executor of a try that may have to be given up: one of threads."""
        if isinstance(executor, SerialExecutor):
            if requested_executor(type(node.task)) == "serial":
                warn_of_serial(node.task)
                return executor
            executor = executor.in_thread()
        if isinstance(executor, ThreadExecutor):
            if not isinstance(attempt.clock, ThreadClock):  # else it goes on after a suspension
                attempt.clock = ThreadClock(timeout)
            self._watches[node] = Watch(attempt, attempt.clock, executor)
        return executor

    def _end_late(self, handle: Callable[[Node, Outcome], None]) -> None:
        """End the tries in threads of this process that take longer than they may, and have the outcomes handled."""
        for node, watch in list(self._watches.items()):
            left = watch.clock.left()
            if left is not None and left <= 0:
                outcome = watch.give_up(self._running[node])
                if outcome is None:
                    del self._watches[node]
                else:
                    handle(node, outcome)

    def _tell_start(self, node: Node) -> None:
        """Tell the listener that an attempt begins; another thread leaves that to the one that builds."""
        attempt = len(node.errors) + 1
        tries = max(attempt, self._context.retries.tries(node.task) if node.errors else 1)
        self._tell(TaskStarted(node.task, attempt, tries, timeout=self._time_limits.of(node.task)))

    def _tell_progress(self, node: Node, done: float | None, text: str) -> None:
        if node.attempt is not None:  # else it has ended meanwhile
            self._tell(TaskProgress(node.task, done, text))

    def _tell(self, event: Event) -> None:
        if threading.get_ident() == self._thread:
            self._emit(event)
        else:
            self._finished.put(event)

    def _wait(self) -> None:
        """Handle the next result; retry locked and paused tasks when it is time, and end those that are late."""
        pauses = [self._locked.pause] if self._locked else []
        if self._watches or self._paused:
            pauses.append(self._until_next())
        pause = min(pauses, default=None)
        if self._running:
            try:
                news = self._finished.get(timeout=pause)
            except queue.Empty:
                self._after(pause or 0.0)
            else:
                if isinstance(news, tuple):
                    self._handle_future(*news)
                else:
                    self._emit(news)
                if self._locked.are_late:
                    self._try_locked(0.0)
        elif pause is not None and not self._ready:
            time.sleep(pause)
            if self._locked:
                self._break_deadlock()
            self._after(pause)
        self._take_paused()  # also while others come and go, which with `serial` they always do
        if self._watches:
            self._end_late(self._handle_outcome)

    def _until_next(self) -> float:
        """Return the seconds until a try is late, or a pause is over."""
        moments = [self._until_late()] if self._watches else []
        if self._paused:
            moments.append(self._paused.seconds_left)
        return max(min(moments), 0.0)

    def _until_late(self) -> float:
        lefts = [watch.clock.left() for watch in self._watches.values()]
        return max(min(_LOOK_SECONDS if left is None else left for left in lefts), 0.0)

    def _after(self, seconds: float) -> None:
        """Go on with what waited, after some seconds without a result."""
        if self._locked:
            self._try_locked(seconds)

    def _take_paused(self) -> None:
        """Let tasks begin whose pause is over."""
        for node in self._paused.take():
            self._ready.add(node)

    def _break_deadlock(self) -> None:
        """Let others run what is suspended here, if nothing can go on before they have: they may wait for that."""
        if self._suspended and self._locked.wait_for_suspended:
            for node in self._suspended:
                _attempt(node).release_lock()

    def _try_locked(self, seconds: float) -> None:
        """Try locked tasks again, and say now and then for whom the build waits."""
        event = self._locked.event()
        if event is not None:
            if self._context.listener is None:
                warn(logger, "%s", waiting_text(event, display_name(event.task)))
            self._emit(event)
        for node in self._locked.take(seconds):
            self._ready.add(node)

    def _requeue_locked(self, node: Node, outcome: Outcome) -> None:
        """Let other tasks go first while another process runs this one; fail it after `lock_wait`."""
        error = outcome.error if isinstance(outcome.error, LockTimeout) else LockTimeout("", 0.0, "another process")
        try:
            event = self._locked.add(node, error)
        except LockTimeout as last:
            self._fail(node, last)
        else:
            if event is not None:
                self._emit(event)

    def _on_done(self, node: Node, future: Finishing[Outcome]) -> None:
        self._finished.put((node, future))  # called in whichever thread the executor has

    def _handle_future(self, node: Node, future: Finishing[Outcome]) -> None:
        if self._running.get(node) is not future:  # it was given up
            return
        error = future.exception()
        if error is None:
            outcome, limits = future.result(), node.call_limits
            if limits is not None and limits.peak_mb > (outcome.peak_mb or 0.0):  # with what the task started
                outcome.peak_mb = limits.peak_mb
            self._handle_outcome(node, outcome)
            return
        # An attempt returns its outcome; an error here is the executor's: a worker died, or cannot be sent the task.
        if isinstance(error, WorkersKilled):  # after several tries
            self._release(node)
            self._end(node, _attempt(node).failed(error.running(display_name(node.task))))
            return
        if not isinstance(error, WorkerDied):
            peak_mb = node.call_limits.peak_mb if node.call_limits is not None else 0.0
            attempt = _attempt(node)
            outcome = attempt.timed_out(error) if isinstance(error, TaskTimeout) else attempt.failed(error)
            outcome.peak_mb = peak_mb or None
            self._handle_outcome(node, outcome)
            return
        outcome = _attempt(node).failed(error.running(display_name(node.task)))
        if node.errors:
            self._handle_outcome(node, outcome)
        else:
            warn(logger, "%s Retrying the task once.", outcome.error)
            self._release(node)
            self._try_again(node, outcome, max(self._context.retries.tries(node.task), 2))

    def _handle_outcome(self, node: Node, outcome: Outcome) -> None:
        self._release(node)
        if outcome.state is not AttemptState.LOCKED:
            self._locked.remove(node)
        if self._suspended:
            self._suspended.discard(node)
        if outcome.state is AttemptState.SUSPENDED:
            self._suspend(node, outcome)
        elif outcome.state is AttemptState.LOCKED:
            self._requeue_locked(node, outcome)
        elif isinstance(outcome.error, LockLost) and len(node.errors) + 1 < _TRIES_WITH_A_LOCK:
            # The new holder may have stored the output: the next try waits for it, and checks.
            warn(logger, "%s Retrying the task.", outcome.error)
            self._try_again(node, outcome, max(self._context.retries.tries(node.task), _TRIES_WITH_A_LOCK))
        elif isinstance(outcome.error, ObjectCorrupt) and self._can_recompute(outcome.error):
            self._recompute_input(node, outcome, outcome.error)
        elif (
            outcome.state is AttemptState.FAILED
            and len(node.errors) + 1 < (tries := self._context.retries.tries(node.task))
            and may_help(outcome.error)
        ):
            self._try_again(node, outcome, tries)
        else:
            self._end(node, outcome)

    def _can_recompute(self, error: ObjectCorrupt) -> bool:
        """Return whether the task that stores a damaged file is to run again, which is tried once for each file."""
        producer = self._nodes.get(error.producer) if error.producer is not None else None
        return (
            self._context.changes.may_recompute(error)
            and producer is not None
            and producer.state in (NodeState.DONE, NodeState.IDLE)
            and not is_external(producer.task)
            and error.url not in self._recomputed
        )

    def _recompute_input(self, node: Node, outcome: Outcome, error: ObjectCorrupt) -> None:
        """Run the task again that stores what a task could not load, and then that task."""
        logger.warning("%s", error)
        self._recomputed.add(error.url)
        producer = self._nodes[error.producer]
        if producer.state is NodeState.DONE and producer.decision is None:
            self._counts[Reason.COMPLETE] -= 1
        producer.state, node.attempt = NodeState.IDLE, None
        self._recorder.record(node.task, outcome, node.decision)
        try:
            self._add(make_plan([producer.task], changes=self._context.changes, rerun=[producer.task]))
        except KartError as second:
            self._fail(node, second)
            return
        self._wait_for(node, [producer])

    def _release(self, node: Node) -> None:
        del self._running[node]
        if self._watches:
            self._watches.pop(node, None)
        if node.needs:
            self._context.limits.give_back(node.needs, node.gpus)
            node.gpus, node.call_limits = (), None

    def _try_again(self, node: Node, outcome: Outcome, tries: int) -> None:
        """Record a failed attempt, and let the task begin anew."""
        node.errors.append(outcome.error or RuntimeError("unknown"))
        node.attempt = None
        self._recorder.record(node.task, outcome, node.decision, node.ready_at)
        node.ready_at = 0.0
        pause = self._context.retries.pause(node.task, len(node.errors))
        event = TaskFinished(node.task, outcome, len(node.errors), tries, is_retried=True, pause=pause)
        if self._context.listener is not None:
            self._context.listener(event)
        elif not isinstance(outcome.error, WorkerDied | LockLost):  # of which it was said
            warn(logger, "%s %s", display_name(node.task), retry_text(event))
        if pause:
            self._paused.add(node, pause)
        else:
            self._ready.add(node)

    def _end(self, node: Node, outcome: Outcome) -> None:
        self._recorder.record(node.task, outcome, node.decision, node.ready_at)
        if outcome.metrics:
            self._metrics[node.task] = dict(outcome.metrics)
        if node.errors and outcome.error is not None:
            self._tries[node.task] = (*node.errors, outcome.error)
            note_tries(self._tries[node.task])
        if self._context.listener is not None:
            attempt = len(node.errors) + 1
            self._context.listener(
                TaskFinished(node.task, outcome, attempt, max(attempt, self._context.retries.tries(node.task)))
            )
        node.attempt, node.errors = None, []
        if outcome.state is AttemptState.FAILED:
            node.state = NodeState.FAILED
            self._failed[node.task] = outcome.error or RuntimeError("unknown")
            if self._context.fail_fast:
                self._first_failure = self._first_failure or node.task
            for dependent in node.dependents:
                self._block(dependent, node.task)
            return
        self._counts[outcome.state] += 1
        task = kart_task(node.task)
        if task is not None:
            task._kart_reran = True  # it may have run in another process
        self._finish(node)

    def _finish(self, node: Node) -> None:
        """Unblock the tasks that wait for one that is complete."""
        node.state = NodeState.DONE
        for dependent in node.dependents:
            if dependent.state is NodeState.WAITING:
                dependent.n_pending -= 1
                if not dependent.n_pending:
                    self._ready.add(dependent)
        node.dependents = []

    def _fail(self, node: Node, error: BaseException) -> None:
        self._end(node, _attempt(node).failed(error))

    def _suspend(self, node: Node, outcome: Outcome) -> None:
        """Add the tasks that a task has yielded; it is ready again when they are done."""
        try:
            plan = make_plan(outcome.waiting_for, changes=self._context.changes)
            self._check_output_clash(plan)
            while self._context.on_yield is not None and self._context.on_yield(plan, node.task, outcome.waiting_for):
                plan = make_plan(outcome.waiting_for, changes=self._context.changes)
            self._add(plan, after=node.path_length)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the yielded tasks cannot run: only this one fails
            self._fail(node, error)
            return
        self._suspended.add(node)
        _attempt(node).satisfied.update(outcome.waiting_for)
        self._wait_for(node, [self._nodes[task] for task in dict.fromkeys(outcome.waiting_for)])

    def _check_output_clash(self, plan: Plan) -> None:
        """Raise `OutputClash` if yielded tasks would write what other tasks of this build write."""
        for url, tasks in plan.writers.items():
            others = [other for other in self._writers.get(url, ()) if other not in tasks]
            if others:
                check_output_clash(url, tasks[0], others, plan.graph)
            self._writers.setdefault(url, []).extend(tasks)

    def _fail_cycles(self) -> None:
        """Fail suspended tasks that wait, directly or not, for themselves.

        No plan shows such a cycle, because one of its edges was yielded by a task that was already running.
        """
        for node in list(self._nodes.values()):
            if node.state is NodeState.WAITING and node.attempt is not None:
                cycle = find_cycle(node)
                if cycle:
                    self._fail(node, CyclicDependency([display_name(member.task) for member in cycle]))

    def _summary(self, interrupted: bool = False) -> Summary:
        states = Counter(node.state for node in self._nodes.values())
        missing = [node.task for node in self._nodes.values() if node.state is NodeState.MISSING]
        is_cut = interrupted or self._first_failure is not None
        waiting = [node for node in self._nodes.values() if is_cut and node.state is NodeState.WAITING]
        return Summary(
            total=len(self._nodes) - (0 if is_cut else states[NodeState.WAITING]),
            stopped=() if interrupted else tuple(node.task for node in waiting if node not in self._running),
            ended=tuple(node.task for node in waiting if node in self._running),
            ran=self._counts[AttemptState.DONE],
            complete=self._counts[Reason.COMPLETE] + self._counts[AttemptState.COMPLETE],
            not_needed=states[NodeState.IDLE],
            failed=self._failed,
            not_started=self._blocked,
            missing=tuple(missing),
            seconds=time.perf_counter() - self._began,
            interrupted=interrupted,
            tries=self._tries,
            metrics=self._metrics,
            run_id=self._context.ledger.run_id,
            roots=self._plan.roots,
        )


def _attempt(node: Node) -> Attempt:
    return node.attempt or Attempt(node.task)
