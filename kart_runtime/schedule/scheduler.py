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
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import luigi

from kart_runtime.errors import CyclicTasks, KartError, LockLost, LockTimeout, WorkerDied, WorkersKilled
from kart_runtime.execution.attempt import Attempt, Outcome, State
from kart_runtime.execution.executors import Executors, SerialExecutor, hint_of
from kart_runtime.execution.locks import Locks
from kart_runtime.execution.log_writer import visible_params
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.decisions import Action, Plan, Reason, check_writers, plan
from kart_runtime.schedule.critical_path import TaskClass, longest_paths
from kart_runtime.schedule.events import BuildFinished, Event, Listener, PlanMade, Summary, TaskFinished, TaskStarted
from kart_runtime.schedule.ready_queue import Is, Node, Ready, circle_through
from kart_runtime.schedule.resources import Limits
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import describe

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries at tasks that other processes run; the first again after one of them has ended."""

_TRIES_WITH_A_LOCK = 3
"""How often a task is tried that loses its lock each time."""


@dataclass(frozen=True)
class Surroundings:
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
    listen
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
    listen: Listener | None
    limits: Limits
    seconds: Mapping[TaskClass, float] = field(default_factory=dict)


class Loop:
    """Runs a plan.

    Parameters
    ----------
    made
        The plan.
    around
        What to work with.

    Raises
    ------
    ConfigError
        When a task needs more of a resource than there is.
    """

    def __init__(self, made: Plan, around: Surroundings) -> None:
        self._plan = made
        self._around = around
        self._nodes: dict[luigi.Task, Node] = {}
        self._ready = Ready(around.limits)
        self._homes: dict[type, Executor] = {}
        """Task class to where its tasks run."""
        self._in_flight = 0
        self._finished: queue.SimpleQueue[tuple[Node, Future[Outcome]]] = queue.SimpleQueue()
        self._locked: list[Node] = []
        self._pause = _FIRST_PAUSE
        self._waited = 0.0
        """Seconds in which nothing else could be started than what is locked."""
        self._counts: Counter[State | Reason] = Counter()
        self._failed: dict[luigi.Task, BaseException] = {}
        self._blocked: dict[luigi.Task, luigi.Task] = {}
        self._writers = {url: list(tasks) for url, tasks in made.writers.items()}
        self._began = time.perf_counter()
        self._add(made)

    @property
    def tasks(self) -> Iterable[luigi.Task]:
        """Return all tasks of the build, also those that a `run()` has yielded."""
        return self._nodes

    def run(self) -> Summary:
        """Run everything that can be run; return what it came to. Ctrl-C ends the build and goes through."""
        self._tell(PlanMade(self._plan))
        try:
            while self._submit() or self._in_flight or self._locked:
                self._wait()
            self._fail_circles()
        except KeyboardInterrupt:
            self._tell(BuildFinished(self._summary(interrupted=True)))
            raise
        summary = self._summary()
        self._tell(BuildFinished(summary))
        return summary

    def _tell(self, event: Event) -> None:
        if self._around.listen is not None:
            self._around.listen(event)

    # -- the graph -----------------------------------------------------------------------------------------------

    def _add(self, made: Plan, after: float = 0.0) -> None:
        """Take in the tasks of a plan that are not known yet, or were not needed until now.

        `after` is the length of the way that follows the plan's last tasks.
        """
        lengths = longest_paths(made, self._around.seconds) if self._around.workers > 1 else None
        # Before anything is changed, because these may raise.
        needs = {task: found for task in made.with_action(Action.RUN) if (found := self._around.limits.needs_of(task))}
        for cls in {type(task) for task in made.with_action(Action.RUN)}:
            self._around.executors.check_hint(cls)
        nodes: list[Node] = []
        for number, task in enumerate(made.tasks):
            node = self._nodes.get(task)
            if node is None:
                node = self._nodes[task] = Node(task)
            nodes.append(node)
            if node.state is not Is.IDLE:
                continue
            decision = made.verdicts[number]
            if decision.action is Action.RUN:
                node.decision = decision
                node.length = lengths[number] + after if lengths else 0.0
                node.needs = needs.get(task, ())
                node.state = Is.WAITING
                self._wait_for(node, [nodes[one] for one in made.graph.upstream[number]])
            elif decision.action is Action.MISSING:
                node.state = Is.MISSING
            elif decision.reason is Reason.COMPLETE:
                node.state = Is.ENDED
                self._counts[Reason.COMPLETE] += 1

    def _wait_for(self, node: Node, upstream: Sequence[Node]) -> None:
        """Count what a task waits for; it is ready when that is nothing, and blocked when something has failed."""
        node.waits = 0
        for one in upstream:
            if one.state is Is.WAITING:
                one.dependents.append(node)
                node.waits += 1
            elif one.state is Is.FAILED or one.state is Is.MISSING:
                self._block(node, one.task)
                return
            elif one.state is Is.BLOCKED:
                self._block(node, self._blocked[one.task])
                return
        if not node.waits:
            self._ready.add(node)

    def _block(self, node: Node, cause: luigi.Task) -> None:
        """Give up a task, and everything downstream of it, because of one that failed or is missing."""
        blocked = [node]
        while blocked:
            one = blocked.pop()
            if one.state is not Is.WAITING:
                continue
            one.state, one.attempt = Is.BLOCKED, None
            self._blocked[one.task] = cause
            blocked += one.dependents

    # -- attempts ------------------------------------------------------------------------------------------------

    def _submit(self) -> bool:
        """Start what may start; return whether something did that is over already."""
        over = False
        while self._in_flight < self._around.workers:
            node = self._ready.next()
            if node is None:
                break
            over = self._start(node) or over
        return over

    def _start(self, node: Node) -> bool:
        if node.attempt is None:
            node.attempt = Attempt(node.task, self._around.locks)
            if self._around.listen is not None:
                self._around.listen(TaskStarted(node.task))
        attempt, cls = node.attempt, type(node.task)
        executor = self._homes.get(cls)
        if executor is None:
            executor = self._homes[cls] = self._around.executors.of(hint_of(cls))
        self._in_flight += 1
        self._around.limits.take(node.needs)
        if isinstance(executor, SerialExecutor):  # a future that is done at once would cost more than a small task
            self._take(node, attempt.run())
            return True
        ranked = getattr(executor, "submit_ranked", None)  # a cluster has a queue of its own
        rank = (node.task.priority, node.length)
        future = executor.submit(attempt.run) if ranked is None else ranked(rank, attempt.run)
        future.add_done_callback(partial(self._put, node))
        return False

    def _wait(self) -> None:
        """Take what ends next; locked tasks are tried again when nothing else can go on, or after a pause."""
        if self._in_flight:
            try:
                node, future = self._finished.get(timeout=self._pause if self._locked else None)
            except queue.Empty:
                self._try_locked()
            else:
                self._take_future(node, future)
        elif self._locked and not self._ready:
            time.sleep(self._pause)
            self._try_locked()

    def _try_locked(self) -> None:
        self._waited += self._pause
        self._pause = min(self._pause * 1.5, _LAST_PAUSE)
        locked, self._locked = self._locked, []
        for node in locked:
            self._ready.add(node)

    def _give_way(self, node: Node, outcome: Outcome) -> None:
        """Let other tasks go before one that another process runs; give it up when that takes too long."""
        if node.locked_since is None:
            node.locked_since = self._waited
        waited = self._waited - node.locked_since
        if waited >= self._around.lock_wait:
            holder = getattr(outcome.error, "holder", "another process")
            self._fail(node, LockTimeout(describe(node.task), waited, holder))
        else:
            self._locked.append(node)

    def _put(self, node: Node, future: Future[Outcome]) -> None:
        self._finished.put((node, future))  # called in whichever thread the executor has

    def _take_future(self, node: Node, future: Future[Outcome]) -> None:
        error = future.exception()
        if error is None:
            self._take(node, future.result())
            return
        # An attempt states its outcome; an error here is the executor's: a worker died, or the task cannot go there.
        if isinstance(error, WorkersKilled):  # has been tried often enough
            self._release(node)
            self._end(node, _attempt(node).failed(error.running(describe(node.task))))
            return
        if not isinstance(error, WorkerDied):
            self._take(node, _attempt(node).failed(error))
            return
        outcome = _attempt(node).failed(error.running(describe(node.task)))
        if node.failures:
            self._take(node, outcome)
        else:
            logger.warning("%s The task is tried once more.", outcome.error)
            self._release(node)
            self._try_again(node, outcome)

    def _take(self, node: Node, outcome: Outcome) -> None:
        self._release(node)
        if node.locked_since is not None and outcome.state is not State.LOCKED:
            node.locked_since, self._pause = None, _FIRST_PAUSE
        if outcome.state is State.SUSPENDED:
            self._suspend(node, outcome)
        elif outcome.state is State.LOCKED:
            self._give_way(node, outcome)
        elif isinstance(outcome.error, LockLost) and node.failures + 1 < _TRIES_WITH_A_LOCK:
            # Whoever has the lock now may have stored the output: the next try waits for that, and looks.
            logger.warning("%s The task is tried again.", outcome.error)
            self._try_again(node, outcome)
        elif outcome.state is State.FAILED and node.failures + 1 < (node.task.retry_count or 1):  # luigi's retry_count
            self._try_again(node, outcome)
        else:
            self._end(node, outcome)

    def _release(self, node: Node) -> None:
        self._in_flight -= 1
        self._around.limits.give_back(node.needs)

    def _try_again(self, node: Node, outcome: Outcome) -> None:
        node.failures += 1
        node.attempt = None
        self._record(node, outcome)
        if self._around.listen is not None:
            self._around.listen(TaskFinished(node.task, outcome))
        self._ready.add(node)

    def _end(self, node: Node, outcome: Outcome) -> None:
        self._record(node, outcome)
        if self._around.listen is not None:
            self._around.listen(TaskFinished(node.task, outcome))
        node.attempt = None
        if outcome.state is State.FAILED:
            node.state = Is.FAILED
            self._failed[node.task] = outcome.error or RuntimeError("unknown")
            for dependent in node.dependents:
                self._block(dependent, node.task)
            return
        node.state = Is.ENDED
        self._counts[outcome.state] += 1
        if node.kept is not None:
            node.kept.reran = True  # it may have run in another process
        for dependent in node.dependents:
            if dependent.state is Is.WAITING:
                dependent.waits -= 1
                if not dependent.waits:
                    self._ready.add(dependent)
        node.dependents = []

    def _fail(self, node: Node, error: BaseException) -> None:
        self._end(node, _attempt(node).failed(error))

    def _suspend(self, node: Node, outcome: Outcome) -> None:
        """Run what a task has yielded; the task is ready again when that is done."""
        try:
            made = plan(outcome.wanted)
            self._check_writers(made)
            self._add(made, after=node.length)
        except KartError as error:  # what it yielded cannot be run: its own fault, and nobody else's
            self._fail(node, error)
            return
        _attempt(node).fulfilled.update(outcome.wanted)
        self._wait_for(node, [self._nodes[one] for one in dict.fromkeys(outcome.wanted)])

    def _check_writers(self, made: Plan) -> None:
        """Refuse what a task has yielded when it would write what another task of this build writes."""
        for url, tasks in made.writers.items():
            others = [other for other in self._writers.get(url, ()) if other not in tasks]
            if others:
                check_writers(url, tasks[0], others, made.graph)
            self._writers.setdefault(url, []).extend(tasks)

    def _fail_circles(self) -> None:
        """Give up suspended tasks that wait, directly or not, for themselves: nothing else is left waiting at the end.

        No plan can see such a circle, because one of its requirements was yielded by a task that already ran.
        """
        for node in list(self._nodes.values()):
            if node.state is Is.WAITING and node.attempt is not None:
                circle = circle_through(node)
                if circle:
                    self._fail(node, CyclicTasks([describe(one.task) for one in circle]))

    # -- what is kept --------------------------------------------------------------------------------------------

    def _record(self, node: Node, outcome: Outcome) -> None:
        task, error = node.task, outcome.error
        if node.kept is None:  # luigi's own: it has no workspace to keep a record in
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
        self._around.ledger.append(kart.workspace_directory, record)

    def _summary(self, interrupted: bool = False) -> Summary:
        states = Counter(node.state for node in self._nodes.values())
        missing = [node.task for node in self._nodes.values() if node.state is Is.MISSING]
        return Summary(
            total=len(self._nodes) - (0 if interrupted else states[Is.WAITING]),
            ran=self._counts[State.DONE],
            complete=self._counts[Reason.COMPLETE] + self._counts[State.COMPLETE],
            not_needed=states[Is.IDLE],
            failed=self._failed,
            not_started=self._blocked,
            missing=tuple(missing),
            seconds=time.perf_counter() - self._began,
            interrupted=interrupted,
        )


def _attempt(node: Node) -> Attempt:
    return node.attempt or Attempt(node.task)
