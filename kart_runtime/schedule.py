"""In which order do tasks run? A ready set and counters: each task and each edge is touched a constant number of times.

The state of the loop:

- ``waiting``: task to the number of its requirements that have not finished,
- ``ready``: tasks whose number has come to nought, a heap by priority, then by place in the plan,
- ``running``: what the executor has, at most ``workers``,
- ``locked``: attempts that gave way to another process,
- ``suspended``: attempts whose `run()` has yielded tasks that are not complete yet,
- ``ended``: task to how it ended.

A failure blocks what is downstream of it and nothing else. luigi's own scheduler sorts all tasks for each one that it
hands out; that is why this is not it.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial

import luigi

from kart_runtime.attempt import Attempt, Outcome, State, lock_name
from kart_runtime.errors import CyclicTasks, LockTimeout, PlanError
from kart_runtime.events import BuildFinished, Listener, PlanMade, Summary, TaskFinished, TaskStarted
from kart_runtime.identity import kept_with
from kart_runtime.ledger import Ledger, RunRecord
from kart_runtime.locks import Locks
from kart_runtime.plan import Action, Plan, Reason, check_writers, describe, plan
from kart_runtime.run_logs import visible_params
from kart_runtime.task import TaskOnKart

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries at a task that another process runs."""


@dataclass(frozen=True)
class Surroundings:
    """What a loop works with.

    Attributes
    ----------
    executor
        Where attempts run.
    workers
        How many of them at once.
    locks, lock_wait
        Who gives turns, and how long to wait for one, in seconds.
    ledger
        Where records go.
    listen
        Who is told of events.
    """

    executor: Executor
    workers: int
    locks: Locks
    lock_wait: float
    ledger: Ledger
    listen: Listener


class Loop:
    """Runs a plan.

    Parameters
    ----------
    made
        The plan.
    around
        What to work with.

    Attributes
    ----------
    tasks
        All tasks of the build, also those that a `run()` has yielded.
    """

    def __init__(self, made: Plan, around: Surroundings) -> None:
        self._plan = made
        self.tasks: list[luigi.Task] = []
        self._around = around
        self._waiting: dict[luigi.Task, int] = {}
        self._dependents: dict[luigi.Task, list[luigi.Task]] = defaultdict(list)
        self._ready: list[tuple[float, int, luigi.Task]] = []
        self._running = 0
        self._finished: queue.SimpleQueue[tuple[Attempt, Future[Outcome]]] = queue.SimpleQueue()
        self._suspended: dict[luigi.Task, Attempt] = {}
        self._locked: dict[luigi.Task, tuple[Attempt, Outcome]] = {}
        self._locked_since: dict[luigi.Task, float] = {}
        self._pause = _FIRST_PAUSE
        self._ended: dict[luigi.Task, str] = {}
        self._reasons: dict[luigi.Task, str] = {}
        self._failed: dict[luigi.Task, BaseException] = {}
        self._blocked: dict[luigi.Task, luigi.Task] = {}
        self._missing: list[luigi.Task] = []
        self._writers = {url: list(tasks) for url, tasks in made.writers.items()}
        self._failures: Counter[luigi.Task] = Counter()
        self._place = 0
        self._began = time.perf_counter()

    def run(self) -> Summary:
        """Run everything that can be run; return what it came to. Ctrl-C ends the build and goes through."""
        self._around.listen(PlanMade(self._plan))
        self._add(self._plan)
        try:
            while self._ready or self._running or self._locked:
                self._submit()
                self._wait()
            self._fail_circles()
        except KeyboardInterrupt:
            self._around.listen(BuildFinished(self._summary(interrupted=True)))
            raise
        summary = self._summary()
        self._around.listen(BuildFinished(summary))
        return summary

    # -- the graph -----------------------------------------------------------------------------------------------

    def _add(self, made: Plan) -> None:
        """Take in the tasks of a plan that are not known yet, or were not needed until now."""
        self.tasks.extend(made.tasks)
        for task in made.tasks:
            decision = made.decisions[task]
            if task in self._waiting or self._ended.get(task, Reason.NOT_NEEDED.name) != Reason.NOT_NEEDED.name:
                continue
            if decision.action is Action.SKIP:
                self._ended[task] = decision.reason.name
            elif decision.action is Action.MISSING:
                self._ended[task] = decision.reason.name
                self._missing.append(task)
            else:
                self._ended.pop(task, None)
                self._reasons[task] = decision.text
                self._wait_for(task, made.requires[task])

    def _wait_for(self, task: luigi.Task, upstream: Sequence[luigi.Task]) -> None:
        """Count what a task waits for; it is ready when that is nothing, and blocked when something has failed."""
        self._waiting[task] = 0
        for one in upstream:
            if one in self._waiting:
                self._dependents[one].append(task)
                self._waiting[task] += 1
            elif one in self._failed or one in self._missing:
                self._block(task, one)
                return
            elif one in self._blocked:
                self._block(task, self._blocked[one])
                return
        if not self._waiting[task]:
            self._make_ready(task)

    def _make_ready(self, task: luigi.Task) -> None:
        self._place += 1
        heapq.heappush(self._ready, (-task.priority, self._place, task))

    def _block(self, task: luigi.Task, cause: luigi.Task) -> None:
        """Give up a task, and everything downstream of it, because of one that failed or is missing."""
        blocked = [task]
        while blocked:
            one = blocked.pop()
            if one in self._blocked or one in self._failed:
                continue
            self._blocked[one] = cause
            self._waiting.pop(one, None)
            self._suspended.pop(one, None)
            blocked.extend(self._dependents.pop(one, ()))

    # -- attempts ------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        while self._ready and self._running < self._around.workers:
            _, _, task = heapq.heappop(self._ready)
            if task not in self._waiting:
                continue
            attempt = self._suspended.pop(task, None)
            if attempt is None:
                attempt = Attempt(task, self._around.locks, self._around.lock_wait)
                self._around.listen(TaskStarted(task))
            self._running += 1
            future = self._around.executor.submit(attempt.run)
            future.add_done_callback(partial(self._put, attempt))

    def _wait(self) -> None:
        """Take what ends next; locked tasks are tried again when nothing else can go on, or after a pause."""
        if self._running:
            try:
                self._take(*self._finished.get(timeout=self._pause if self._locked else None))
            except queue.Empty:
                self._try_locked()
        elif self._locked and not self._ready:
            time.sleep(self._pause)
            self._try_locked()

    def _try_locked(self) -> None:
        self._pause = min(self._pause * 1.5, _LAST_PAUSE)
        locked, self._locked = self._locked, {}
        for task, (attempt, outcome) in locked.items():
            waited = time.monotonic() - self._locked_since[task]
            if waited >= self._around.lock_wait:
                holder = getattr(outcome.error, "holder", "another process")
                self._end(task, attempt.failed(LockTimeout(lock_name(task), waited, holder)))
            else:
                self._suspended[task] = attempt
                self._make_ready(task)

    def _put(self, attempt: Attempt, future: Future[Outcome]) -> None:
        self._finished.put((attempt, future))  # called in whichever thread the executor has

    def _take(self, attempt: Attempt, future: Future[Outcome]) -> None:
        self._running -= 1
        task, outcome = attempt.task, _outcome(attempt, future)
        if outcome.state is State.SUSPENDED:
            self._suspend(attempt, outcome)
        elif outcome.state is State.LOCKED:
            self._locked_since.setdefault(task, time.monotonic())
            self._locked[task] = attempt, outcome
        elif outcome.state is State.FAILED and self._may_retry(task):
            self._record(task, outcome)
            self._around.listen(TaskFinished(task, outcome))
            self._make_ready(task)
        else:
            self._end(task, outcome)

    def _may_retry(self, task: luigi.Task) -> bool:
        """Count a failure; return whether the task declares (luigi's `retry_count`) that it may fail more often."""
        self._failures[task] += 1
        return self._failures[task] < (task.retry_count or 1)

    def _end(self, task: luigi.Task, outcome: Outcome) -> None:
        self._record(task, outcome)
        self._around.listen(TaskFinished(task, outcome))
        if outcome.state is State.FAILED:
            self._fail(task, outcome.error or RuntimeError("unknown"))
            return
        self._ended[task] = outcome.state.name
        kept = kept_with(task)
        if kept is not None:
            kept.reran = True  # it may have run in another process
        del self._waiting[task]
        for dependent in self._dependents.pop(task, ()):
            if dependent in self._waiting:
                self._waiting[dependent] -= 1
                if not self._waiting[dependent]:
                    self._make_ready(dependent)

    def _fail(self, task: luigi.Task, error: BaseException) -> None:
        self._failed[task] = error
        self._waiting.pop(task, None)
        for dependent in self._dependents.pop(task, ()):
            self._block(dependent, task)

    def _suspend(self, attempt: Attempt, outcome: Outcome) -> None:
        """Run what a task has yielded; the task is ready again when that is done."""
        task = attempt.task
        try:
            made = plan(outcome.wanted)
            self._check_writers(made)
        except PlanError as error:  # what it yielded cannot be put into an order: its own fault, and nobody else's
            self._end(task, attempt.failed(error))
            return
        self._suspended[task] = attempt
        attempt.fulfilled += outcome.wanted
        self._add(made)
        self._wait_for(task, outcome.wanted)

    def _check_writers(self, made: Plan) -> None:
        """Refuse what a task has yielded when it would write what another task of this build writes."""
        for url, tasks in made.writers.items():
            others = [other for other in self._writers.get(url, ()) if other not in tasks]
            if others:
                check_writers(url, tasks[0], others, made.requires)
            self._writers.setdefault(url, []).extend(tasks)

    def _fail_circles(self) -> None:
        """Give up suspended tasks that wait, directly or not, for themselves: nothing else is left waiting at the end.

        No plan can see such a circle, because one of its requirements was yielded by a task that already ran.
        """
        for task, attempt in list(self._suspended.items()):
            circle = self._circle(task)
            if circle:
                self._end(task, attempt.failed(CyclicTasks([describe(one) for one in circle])))

    def _circle(self, task: luigi.Task) -> list[luigi.Task]:
        """Return the tasks of a circle through `task`, each waiting for the next; empty when there is none."""
        waits_for: dict[luigi.Task, luigi.Task] = {}
        following = [task]
        while following:
            one = following.pop()
            for dependent in self._dependents.get(one, ()):
                if dependent not in waits_for:
                    waits_for[dependent] = one
                    following.append(dependent)
        if task not in waits_for:
            return []
        circle = [task]
        while waits_for[circle[-1]] != task:
            circle.append(waits_for[circle[-1]])
        return circle

    # -- what is kept --------------------------------------------------------------------------------------------

    def _record(self, task: luigi.Task, outcome: Outcome) -> None:
        if not isinstance(task, TaskOnKart):
            return
        record = RunRecord(
            task=type(task).__name__,
            module=type(task).__module__,
            unique_id=task.make_unique_id(),
            state=outcome.state.value,
            started=outcome.started,
            seconds=round(outcome.seconds, 6),
            seed=outcome.seed,
            params=visible_params(task),
            outputs=outcome.stored,
            log_files=outcome.log_files,
            error=f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error is not None else "",
            reason=self._reasons.get(task, ""),
        )
        self._around.ledger.append(task.workspace_directory, record)

    def _summary(self, interrupted: bool = False) -> Summary:
        counts: dict[str, int] = defaultdict(int)
        for ending in self._ended.values():
            counts[ending] += 1
        ran = counts[State.DONE.name]
        complete = counts[Reason.COMPLETE.name]
        not_needed = counts[Reason.NOT_NEEDED.name]
        left = len(self._waiting) if interrupted else 0
        others = len(self._failed) + len(self._blocked) + len(self._missing) + left
        return Summary(
            total=ran + complete + not_needed + others,
            ran=ran,
            complete=complete,
            not_needed=not_needed,
            failed=self._failed,
            not_started=self._blocked,
            missing=tuple(self._missing),
            seconds=time.perf_counter() - self._began,
            interrupted=interrupted,
        )


def _outcome(attempt: Attempt, future: Future[Outcome]) -> Outcome:
    error = future.exception()
    # An attempt states its outcome; an error here is the executor's: a worker that died, a task that cannot be pickled.
    return future.result() if error is None else attempt.failed(error)
