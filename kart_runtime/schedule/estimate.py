"""Estimate of the time that the rest of a build takes, and the numbers of a build in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import luigi

from kart_runtime.history.durations import estimate_durations
from kart_runtime.plan.decisions import Plan
from kart_runtime.schedule.critical_path import TaskClass, critical_path_lengths
from kart_runtime.schedule.progress_counts import ClassCount, Counts, states

_SHORT = 1.0
"""Seconds of a build after which an estimate is made."""


class Estimate:
    """Estimate of the seconds that the rest of a build takes, from the durations of earlier runs and of this one.

    The rest takes as long as its longest path, and at least its work divided by the number of tasks that run at once.
    """

    def __init__(self, plan: Plan, seconds: Mapping[TaskClass, float], workers: int | None) -> None:
        self._seconds, self._workers = seconds, workers
        self._tasks: list[luigi.Task] = []
        """The tasks to run, those first whose path to the end is longest."""
        self._lengths: list[float] = []
        if seconds:
            lengths = critical_path_lengths(plan, seconds)
            ids = set(map(id, plan.to_run))
            ranked = sorted(
                ((length, index) for index, length in enumerate(lengths) if id(plan.tasks[index]) in ids), reverse=True
            )
            self._tasks = [plan.tasks[index] for _, index in ranked]
            self._lengths = [length for length, _ in ranked]
        self._place = 0

    def left(self, counts: Counts, now: float) -> float | None:
        """Return the seconds that are left; None while less than half of what is left was ever timed."""
        classes = [count for count in list(counts.classes.values()) if count.left > 0]
        n_left = sum(count.left for count in classes)
        if not n_left:
            return 0.0
        means = {count.key: self._mean(count) for count in classes}
        known = {key: mean for key, mean in means.items() if mean is not None}
        n_known = sum(count.left for count in classes if count.key in known)
        if 2 * n_known < n_left:
            return None
        others = sum(known.values()) / len(known)
        work = sum(count.left * known.get(count.key, others) for count in classes)
        running = counts.longest_running()
        for each in running:
            mean = known.get((type(each.task).__module__, type(each.task).__name__), others)
            work -= min(now - each.since, mean)
        workers = max(self._workers or counts.most_running, 1)
        return max(self._path(counts, now), work / workers, 0.0)

    def _mean(self, count: ClassCount) -> float | None:
        mean = count.mean()
        return self._seconds.get(count.key) if mean is None else mean

    def _path(self, counts: Counts, now: float) -> float:
        """Return the length of the longest path of what is left."""
        while self._place < len(self._tasks) and self._is_over(counts, self._tasks[self._place]):
            self._place += 1
        if self._place == len(self._tasks):
            return 0.0
        length, task = self._lengths[self._place], self._tasks[self._place]
        running = counts.running.get(id(task))
        if running is None:
            return length
        cls: Any = type(task)
        return length - min(now - running.since, self._seconds.get((cls.__module__, cls.__name__), 0.0))

    def _is_over(self, counts: Counts, task: luigi.Task) -> bool:
        return id(task) in counts.ended or counts.is_blocked(task)


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: 0:41, 12:05, 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(seconds: float) -> str:
    """Return the estimate of a duration, not finer than it can be."""
    step = 1 if seconds < 10 else 5 if seconds < 120 else 10 if seconds < 600 else 60
    return f"about {clock(-(-seconds // step) * step)} left"


class Estimating:
    """Estimate of a build, from the durations in its workspace, once it takes a while and these are read."""

    def __init__(self, plan: Plan, workers: int | None) -> None:
        self._plan, self._workers = plan, workers
        self._is_asked = False
        self._estimate: Estimate | None = None

    def _prepare(self) -> None:
        with suppress(Exception):  # they are no reason to fail
            workspaces = (getattr(task, "workspace_directory", None) for task in self._plan.to_run)
            workspace = next((path for path in workspaces if isinstance(path, str)), None)
            seconds = {} if workspace is None else estimate_durations(workspace)
            self._estimate = Estimate(self._plan, seconds, self._workers)

    def words(self, counts: Counts) -> str:
        """Return the time that has passed, and that is left if it can be told."""
        now = time.time()
        if not self._is_asked and now - counts.began > _SHORT:
            self._is_asked = True  # in a thread: a remote store may take its time
            threading.Thread(target=self._prepare, name="kart-estimate", daemon=True).start()
        left = self._estimate.left(counts, now) if self._estimate is not None else None
        passed = clock(now - counts.began)
        return passed if left is None else f"{passed}, {about(left)}"


def numbers(counts: Counts, estimate: Estimating) -> str:
    """Return the numbers of a build in one line."""
    done = f"{counts.done:,}/{counts.total:,} done"
    return f"{', '.join([done, *states(counts)])} ({estimate.words(counts)})"
