"""In which order do tasks run? A ready set and counters: each task and each edge is touched a constant number of times.

The loop submits what is ready to the executors, at most ``workers`` at once, and takes what they have finished; `nodes`
says what is known of each task meanwhile. A failure blocks what is downstream of it and nothing else. luigi's own
scheduler sorts all tasks for each one that it hands out; that is why this is not it.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import luigi

from kart_runtime.errors import CyclicDependency, KartError, LockLost, LockTimeout, WorkerDied, WorkersKilled
from kart_runtime.execution.attempt import Attempt, AttemptState, Outcome
from kart_runtime.execution.executors import Executors, requested_executor
from kart_runtime.execution.executors.base import Finishing, TaskExecutor
from kart_runtime.execution.locks import Locks
from kart_runtime.execution.log_writer import visible_params
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.decisions import Action, Plan, Reason, check_output_clash, make_plan
from kart_runtime.schedule.critical_path import TaskClass, critical_path_lengths
from kart_runtime.schedule.events import BuildFinished, Event, Listener, PlanMade, Summary, TaskFinished, TaskStarted
from kart_runtime.schedule.ready_queue import Node, NodeState, ReadyQueue, find_cycle
from kart_runtime.schedule.resources import Limits
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import display_name

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries at tasks that other processes run; the first again after one of them has ended."""

_TRIES_WITH_A_LOCK = 3
"""How often a task is tried that loses its lock each time."""


@dataclass(frozen=True)
class BuildContext:
    """What a loop works with.

    Attributes
    ----------
    executors
        Where attempts run.
    workers
        How many of them at once.
    locks, lock_wait
        Who gives turns, and how long to wait for one, in seconds.
    ledger
        Where records go.
    listener
        Who is told of events; None: nobody.
    limits
        How much there is of what tasks share.
    seconds
        How long tasks of a class took before, by module and name.
    """

    executors: Executors
    workers: int
    locks: Locks
    lock_wait: float
    ledger: Ledger
    listener: Listener | None
    limits: Limits
    seconds: Mapping[TaskClass, float] = field(default_factory=dict)


class Scheduler:
    """Runs a plan.

    Parameters
    ----------
    plan
        The plan.
    context
        What to work with.

    Raises
    ------
    ConfigError
        When a task needs more of a resource than there is.
    """

    def __init__(self, plan: Plan, context: BuildContext) -> None:
        self._plan = plan
        self._context = context
        self._nodes: dict[luigi.Task, Node] = {}
        self._ready = ReadyQueue(context.limits)
        self._homes: dict[type, TaskExecutor] = {}
        """Task class to where its tasks run."""
        self._in_flight = 0
        self._finished: queue.SimpleQueue[tuple[Node, Finishing[Outcome]]] = queue.SimpleQueue()
        self._locked: list[Node] = []
        self._pause = _FIRST_PAUSE
        self._waited = 0.0
        """Seconds in which nothing else could be started than what is locked."""
        self._counts: Counter[AttemptState | Reason] = Counter()
        self._failed: dict[luigi.Task, BaseException] = {}
        self._blocked: dict[luigi.Task, luigi.Task] = {}
        self._writers = {url: list(tasks) for url, tasks in plan.writers.items()}
        self._began = time.perf_counter()
        self._add(plan)

    @property
    def tasks(self) -> Iterable[luigi.Task]:
        """Return all tasks of the build, also those that a `run()` has yielded."""
        return self._nodes

    def run(self) -> Summary:
        """Run everything that can be run; return what it came to. Ctrl-C ends the build and goes through."""
        self._emit(PlanMade(self._plan))
        try:
            self._submit()
            while self._in_flight or self._locked:
                self._wait()
                self._submit()
            self._fail_cycles()
        except KeyboardInterrupt:
            self._emit(BuildFinished(self._summary(interrupted=True)))
            raise
        summary = self._summary()
        self._emit(BuildFinished(summary))
        return summary

    def _emit(self, event: Event) -> None:
        if self._context.listener is not None:
            self._context.listener(event)

    # -- the graph -----------------------------------------------------------------------------------------------

    def _add(self, plan: Plan, after: float = 0.0) -> None:
        """Take in the tasks of a plan that are not known yet, or were not needed until now.

        `after` is the length of the way that follows the plan's last tasks.
        """
        lengths = critical_path_lengths(plan, self._context.seconds) if self._context.workers > 1 else None
        # Before anything is changed, because these may raise.
        needs = {task: found for task in plan.with_action(Action.RUN) if (found := self._context.limits.needs_of(task))}
        for cls in {type(task) for task in plan.with_action(Action.RUN)}:
            self._context.executors.check_requested(cls)
        nodes: list[Node] = []
        for number, task in enumerate(plan.tasks):
            node = self._nodes.get(task)
            if node is None:
                node = self._nodes[task] = Node(task)
            nodes.append(node)
            if node.state is not NodeState.IDLE:
                continue
            decision = plan.decisions[number]
            if decision.action is Action.RUN:
                node.decision = decision
                node.path_length = lengths[number] + after if lengths else 0.0
                node.needs = needs.get(task, ())
                node.state = NodeState.WAITING
                self._wait_for(node, [nodes[one] for one in plan.graph.upstream[number]])
            elif decision.action is Action.MISSING:
                node.state = NodeState.MISSING
            elif decision.reason is Reason.COMPLETE:
                node.state = NodeState.DONE
                self._counts[Reason.COMPLETE] += 1

    def _wait_for(self, node: Node, upstream: Sequence[Node]) -> None:
        """Count what a task waits for; it is ready when that is nothing, and blocked when something has failed."""
        node.n_pending = 0
        for one in upstream:
            if one.state is NodeState.WAITING:
                one.dependents.append(node)
                node.n_pending += 1
            elif one.state is NodeState.FAILED or one.state is NodeState.MISSING:
                self._block(node, one.task)
                return
            elif one.state is NodeState.BLOCKED:
                self._block(node, self._blocked[one.task])
                return
        if not node.n_pending:
            self._ready.add(node)

    def _block(self, node: Node, cause: luigi.Task) -> None:
        """Give up a task, and everything downstream of it, because of one that failed or is missing."""
        blocked = [node]
        while blocked:
            one = blocked.pop()
            if one.state is not NodeState.WAITING:
                continue
            one.state, one.attempt = NodeState.BLOCKED, None
            self._blocked[one.task] = cause
            blocked += one.dependents

    # -- attempts ------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Start as many ready tasks as there are free workers."""
        while self._in_flight < self._context.workers:
            node = self._ready.next()
            if node is None:
                break
            self._start(node)

    def _start(self, node: Node) -> None:
        if node.attempt is None:
            node.attempt = Attempt(node.task, self._context.locks)
            if self._context.listener is not None:
                self._context.listener(TaskStarted(node.task))
        attempt, cls = node.attempt, type(node.task)
        executor = self._homes.get(cls)
        if executor is None:
            executor = self._homes[cls] = self._context.executors.get(requested_executor(cls))
        self._in_flight += 1
        self._context.limits.take(node.needs)
        rank = (node.task.priority, node.path_length)
        executor.submit_ranked(rank, attempt.run).add_done_callback(partial(self._on_done, node))

    def _wait(self) -> None:
        """Take what ends next; locked tasks are tried again when nothing else can go on, or after a pause."""
        if self._in_flight:
            try:
                node, future = self._finished.get(timeout=self._pause if self._locked else None)
            except queue.Empty:
                self._try_locked()
            else:
                self._handle_future(node, future)
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
        """Let other tasks go before one that another process runs; give it up when that takes too long."""
        if node.locked_since is None:
            node.locked_since = self._waited
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
            self._handle_outcome(node, future.result())
            return
        # An attempt states its outcome; an error here is the executor's: a worker died, or the task cannot go there.
        if isinstance(error, WorkersKilled):  # has been tried often enough
            self._release(node)
            self._end(node, _attempt(node).failed(error.running(display_name(node.task))))
            return
        if not isinstance(error, WorkerDied):
            self._handle_outcome(node, _attempt(node).failed(error))
            return
        outcome = _attempt(node).failed(error.running(display_name(node.task)))
        if node.failures:
            self._handle_outcome(node, outcome)
        else:
            logger.warning("%s The task is tried once more.", outcome.error)
            self._release(node)
            self._try_again(node, outcome)

    def _handle_outcome(self, node: Node, outcome: Outcome) -> None:
        self._release(node)
        if node.locked_since is not None and outcome.state is not AttemptState.LOCKED:
            node.locked_since, self._pause = None, _FIRST_PAUSE
        if outcome.state is AttemptState.SUSPENDED:
            self._suspend(node, outcome)
        elif outcome.state is AttemptState.LOCKED:
            self._requeue_locked(node, outcome)
        elif isinstance(outcome.error, LockLost) and node.failures + 1 < _TRIES_WITH_A_LOCK:
            # Whoever has the lock now may have stored the output: the next try waits for that, and looks.
            logger.warning("%s The task is tried again.", outcome.error)
            self._try_again(node, outcome)
        elif outcome.state is AttemptState.FAILED and node.failures + 1 < (node.task.retry_count or 1):
            self._try_again(node, outcome)
        else:
            self._end(node, outcome)

    def _release(self, node: Node) -> None:
        self._in_flight -= 1
        self._context.limits.give_back(node.needs)

    def _try_again(self, node: Node, outcome: Outcome) -> None:
        node.failures += 1
        node.attempt = None
        self._record(node, outcome)
        if self._context.listener is not None:
            self._context.listener(TaskFinished(node.task, outcome))
        self._ready.add(node)

    def _end(self, node: Node, outcome: Outcome) -> None:
        self._record(node, outcome)
        if self._context.listener is not None:
            self._context.listener(TaskFinished(node.task, outcome))
        node.attempt = None
        if outcome.state is AttemptState.FAILED:
            node.state = NodeState.FAILED
            self._failed[node.task] = outcome.error or RuntimeError("unknown")
            for dependent in node.dependents:
                self._block(dependent, node.task)
            return
        node.state = NodeState.DONE
        self._counts[outcome.state] += 1
        if node.engine is not None:
            node.engine.reran = True  # it may have run in another process
        for dependent in node.dependents:
            if dependent.state is NodeState.WAITING:
                dependent.n_pending -= 1
                if not dependent.n_pending:
                    self._ready.add(dependent)
        node.dependents = []

    def _fail(self, node: Node, error: BaseException) -> None:
        self._end(node, _attempt(node).failed(error))

    def _suspend(self, node: Node, outcome: Outcome) -> None:
        """Run what a task has yielded; the task is ready again when that is done."""
        try:
            plan = make_plan(outcome.waiting_for)
            self._check_output_clash(plan)
            self._add(plan, after=node.path_length)
        except KartError as error:  # what it yielded cannot be run: its own fault, and nobody else's
            self._fail(node, error)
            return
        _attempt(node).satisfied.update(outcome.waiting_for)
        self._wait_for(node, [self._nodes[one] for one in dict.fromkeys(outcome.waiting_for)])

    def _check_output_clash(self, plan: Plan) -> None:
        """Refuse what a task has yielded when it would write what another task of this build writes."""
        for url, tasks in plan.writers.items():
            others = [other for other in self._writers.get(url, ()) if other not in tasks]
            if others:
                check_output_clash(url, tasks[0], others, plan.graph)
            self._writers.setdefault(url, []).extend(tasks)

    def _fail_cycles(self) -> None:
        """Give up suspended tasks that wait, directly or not, for themselves: nothing else is left waiting at the end.

        No plan can see such a cycle, because one of its requirements was yielded by a task that already ran.
        """
        for node in list(self._nodes.values()):
            if node.state is NodeState.WAITING and node.attempt is not None:
                cycle = find_cycle(node)
                if cycle:
                    self._fail(node, CyclicDependency([display_name(one.task) for one in cycle]))

    # -- what is kept --------------------------------------------------------------------------------------------

    def _record(self, node: Node, outcome: Outcome) -> None:
        task, error = node.task, outcome.error
        if node.engine is None:  # luigi's own: it has no workspace to keep a record in
            return
        kart = cast("TaskOnKart[object]", task)
        record = {
            "task": type(task).__name__,
            "module": type(task).__module__,
            "unique_id": kart.make_unique_id(),
            "state": outcome.state,
            "started": outcome.started,
            "seconds": outcome.seconds,
            "seed": outcome.seed,
            "params": visible_params(kart),
            "outputs": outcome.stored,
            "log_files": outcome.log_files,
            "error": f"{type(error).__name__}: {error}" if error is not None else "",
            "reason": node.decision.text if node.decision is not None else "",
        }
        self._context.ledger.append(kart.workspace_directory, record)

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
        )


def _attempt(node: Node) -> Attempt:
    return node.attempt or Attempt(node.task)
