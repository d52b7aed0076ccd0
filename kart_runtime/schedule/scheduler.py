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
from kart_runtime.execution.executors import Executors, requested_executor
from kart_runtime.execution.executors.base import Finishing, TaskExecutor
from kart_runtime.execution.locks import Locks
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
    Event,
    Listener,
    PlanMade,
    Summary,
    TaskFinished,
    TaskLocked,
    TaskProgress,
    TaskStarted,
    TaskUnchanged,
    retry_text,
)
from kart_runtime.schedule.feed import Ended, Feed
from kart_runtime.schedule.ready_queue import Node, NodeState, ReadyQueue, find_cycle
from kart_runtime.schedule.recorder import Recorder
from kart_runtime.schedule.resources import Limits
from kart_runtime.schedule.retries import may_help, note_tries, number_of_tries
from kart_runtime.task.base import kart_task
from kart_runtime.task.limits import retries_of
from kart_runtime.task.naming import display_name
from kart_runtime.task.publishing import check_publications, publish_finished, publishing
from kart_runtime.task.state import TaskRun

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries at locked tasks, growing from the first to the last."""

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
        Called with the plan of further tasks, before they run.
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
    on_more: Callable[[Plan], None] | None = None


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
        self._in_flight = 0
        self._finished: queue.SimpleQueue[tuple[Node, Finishing[Outcome]] | Event] = queue.SimpleQueue()
        """What other threads have to say: which attempts have ended, and the events of those that have not."""
        self._thread = threading.get_ident()
        self._locked: list[Node] = []
        self._pause = _FIRST_PAUSE
        self._waited = 0.0
        """Seconds in which only locked tasks could have started."""
        self._counts: Counter[AttemptState | Reason] = Counter()
        self._failed: dict[luigi.Task, BaseException] = {}
        self._tries: dict[luigi.Task, tuple[BaseException, ...]] = {}
        self._metrics: dict[luigi.Task, Mapping[str, float | str]] = {}
        self._blocked: dict[luigi.Task, luigi.Task] = {}
        self._call_limits = CallLimiter()
        self._writers = {url: list(tasks) for url, tasks in plan.writers.items()}
        self.waited_for: dict[luigi.Task, tuple[luigi.Task, ...]] = {}
        """Task to the tasks that its `run()` has yielded and waited for."""
        self.summary: Summary | None = None
        """The summary, when the build has ended."""
        self._recomputed: set[str] = set()
        """Urls of damaged files whose tasks have been run again."""
        self._began = time.perf_counter()
        self._add(plan)

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
            while self._in_flight or self._locked:
                self._wait()
                self._submit()
                self._take_more()
            self._fail_cycles()
            publications = publish_finished(self._nodes, {*self._failed, *self._blocked})
        except KeyboardInterrupt:
            self.summary = self._summary(interrupted=True)
            self._emit(BuildFinished(self.summary))
            raise
        summary = replace(self._summary(), published=publications.published, unpublished=publications.failed)
        self.summary = summary
        self._emit(BuildFinished(summary))
        return summary

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
            retries_of(task)
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
            blocked.state, blocked.attempt = NodeState.BLOCKED, None
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
                if self._context.on_more is not None:
                    self._context.on_more(plan)
                self._add(plan)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - only these tasks cannot run
                feed.refused(tasks, error)
            self._submit()

    @property
    def free_workers(self) -> int:
        """Number of workers that have nothing to do, and nothing that is ready."""
        return 0 if self._ready else self._context.workers - self._in_flight

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
        while self._in_flight < self._context.workers:
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
            run = TaskRun(node.output, checks_types=self._context.checks_types, keeps_logs=self._context.keeps_logs)
            run.allows_outside = self._context.changes.allows_outside
            replaces = node.decision is not None and node.decision.reason in REPLACING
            self._recorder.announce(node.task)
            node.attempt = Attempt(
                node.task, self._context.locks, task_run=run, replaces=replaces, is_retry=bool(node.errors)
            )
            node.output = None
            if self._context.listener is not None:
                run.report = partial(self._tell_progress, node)
                if executor.runs_here:
                    node.attempt.on_start = partial(self._tell_start, node)
                else:
                    self._tell_start(node)
        attempt = node.attempt
        self._in_flight += 1
        if node.needs:
            node.gpus = self._context.limits.take(node.needs)
            node.call_limits = self._call_limits.of(node.task, node.gpus, executor)
        rank = (node.task.priority, node.path_length)
        future = executor.submit_ranked(rank, attempt.run, node.call_limits, attempt.task_run.report)
        future.add_done_callback(partial(self._on_done, node))

    def _tell_start(self, node: Node) -> None:
        """Tell the listener that an attempt begins; another thread leaves that to the one that builds."""
        attempt = len(node.errors) + 1
        event = TaskStarted(node.task, attempt, max(attempt, number_of_tries(node.task) if node.errors else 1))
        self._tell(event)

    def _tell_progress(self, node: Node, done: float | None, text: str) -> None:
        if node.attempt is not None:  # else it has ended meanwhile
            self._tell(TaskProgress(node.task, done, text))

    def _tell(self, event: Event) -> None:
        if threading.get_ident() == self._thread:
            self._emit(event)
        else:
            self._finished.put(event)

    def _wait(self) -> None:
        """Handle the next result; retry locked tasks after a pause, or if nothing else can start."""
        if self._in_flight:
            try:
                news = self._finished.get(timeout=self._pause if self._locked else None)
            except queue.Empty:
                self._try_locked()
            else:
                if isinstance(news, tuple):
                    self._handle_future(*news)
                else:
                    self._emit(news)
        elif self._locked and not self._ready:
            time.sleep(self._pause)
            self._try_locked()

    def _try_locked(self) -> None:
        self._waited += self._pause
        self._pause = min(self._pause * 1.5, _LAST_PAUSE)
        locked, self._locked = self._locked, []
        for node in locked:
            self._ready.add(node)

    def _requeue_locked(self, node: Node, outcome: Outcome) -> None:
        """Let other tasks go first while another process runs this one; fail it after `lock_wait`."""
        if node.locked_since is None:
            node.locked_since = self._waited
            self._emit(TaskLocked(node.task))
        waited = self._waited - node.locked_since
        if waited >= self._context.lock_wait:
            holder = getattr(outcome.error, "holder", "another process")
            self._fail(node, LockTimeout(display_name(node.task), waited, holder))
        else:
            self._locked.append(node)

    def _on_done(self, node: Node, future: Finishing[Outcome]) -> None:
        self._finished.put((node, future))  # called in whichever thread the executor has

    def _handle_future(self, node: Node, future: Finishing[Outcome]) -> None:
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
            outcome = _attempt(node).failed(error)
            outcome.peak_mb = peak_mb or None
            self._handle_outcome(node, outcome)
            return
        outcome = _attempt(node).failed(error.running(display_name(node.task)))
        if node.errors:
            self._handle_outcome(node, outcome)
        else:
            warn(logger, "%s Retrying the task once.", outcome.error)
            self._release(node)
            self._try_again(node, outcome, max(number_of_tries(node.task), 2))

    def _handle_outcome(self, node: Node, outcome: Outcome) -> None:
        self._release(node)
        if node.locked_since is not None and outcome.state is not AttemptState.LOCKED:
            node.locked_since, self._pause = None, _FIRST_PAUSE
        if outcome.state is AttemptState.SUSPENDED:
            self._suspend(node, outcome)
        elif outcome.state is AttemptState.LOCKED:
            self._requeue_locked(node, outcome)
        elif isinstance(outcome.error, LockLost) and len(node.errors) + 1 < _TRIES_WITH_A_LOCK:
            # The new holder may have stored the output: the next try waits for it, and checks.
            warn(logger, "%s Retrying the task.", outcome.error)
            self._try_again(node, outcome, max(number_of_tries(node.task), _TRIES_WITH_A_LOCK))
        elif isinstance(outcome.error, ObjectCorrupt) and self._can_recompute(outcome.error):
            self._recompute_input(node, outcome, outcome.error)
        elif (
            outcome.state is AttemptState.FAILED
            and len(node.errors) + 1 < (tries := number_of_tries(node.task))
            and may_help(outcome.error)
        ):
            self._try_again(node, outcome, tries)
        else:
            self._end(node, outcome)

    def _can_recompute(self, error: ObjectCorrupt) -> bool:
        """Return whether the task that stores a damaged file is to run again, which is tried once for each file."""
        producer = self._nodes.get(error.producer) if error.producer is not None else None
        return (
            self._context.changes.recomputes
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
        self._in_flight -= 1
        if node.needs:
            self._context.limits.give_back(node.needs, node.gpus)
            node.gpus, node.call_limits = (), None

    def _try_again(self, node: Node, outcome: Outcome, tries: int) -> None:
        """Record a failed attempt, and let the task begin anew."""
        node.errors.append(outcome.error or RuntimeError("unknown"))
        node.attempt = None
        self._recorder.record(node.task, outcome, node.decision, node.ready_at)
        node.ready_at = 0.0
        event = TaskFinished(node.task, outcome, len(node.errors), tries, is_retried=True)
        if self._context.listener is not None:
            self._context.listener(event)
        elif not isinstance(outcome.error, WorkerDied | LockLost):  # of which it was said
            warn(logger, "%s %s", display_name(node.task), retry_text(event))
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
            self._context.listener(TaskFinished(node.task, outcome, attempt, max(attempt, number_of_tries(node.task))))
        node.attempt, node.errors = None, []
        if outcome.state is AttemptState.FAILED:
            node.state = NodeState.FAILED
            self._failed[node.task] = outcome.error or RuntimeError("unknown")
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
            self._add(plan, after=node.path_length)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the yielded tasks cannot run: only this one fails
            self._fail(node, error)
            return
        _attempt(node).satisfied.update(outcome.waiting_for)
        self.waited_for[node.task] = (*self.waited_for.get(node.task, ()), *outcome.waiting_for)
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
        return Summary(
            total=len(self._nodes) - (0 if interrupted else states[NodeState.WAITING]),
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
