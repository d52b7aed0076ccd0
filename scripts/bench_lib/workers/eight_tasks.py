"""Eight tasks that compute or sleep: ``eight_tasks ENGINE KIND AMOUNT EXECUTOR WORKERS [BUILDS]``.

AMOUNT is the number of loop iterations to compute, or of seconds to sleep. ENGINE ``bare`` runs the same without an
engine, in forked processes or in threads: the limit of the machine. KIND ``calibrate`` reports the number of iterations
that take AMOUNT seconds. Of two BUILDS in one process, the second has other tasks and may reuse the first workers.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import luigi

from bench_lib.child import report
from bench_lib.workers import engines

ENGINE, KIND, AMOUNT = sys.argv[1], sys.argv[2], float(sys.argv[3])
EXECUTOR, WORKERS, BUILDS = sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
TASKS = 8
Base: Any = object if ENGINE == "bare" else engines.base(ENGINE)
Parameter: Any = luigi.IntParameter


def work() -> None:
    """Compute or sleep."""
    if KIND == "sleep":
        time.sleep(AMOUNT)
    else:
        for _ in range(int(AMOUNT)):
            pass


class Work(Base):  # type: ignore[misc]
    """Task number `i` of a batch."""

    batch = Parameter()
    i = Parameter()

    def run(self) -> None:
        """Compute or sleep, and store the number."""
        work()
        self.dump(self.i)


class Root(Base):  # type: ignore[misc]
    """Task that requires all of them."""

    batch = Parameter()

    def requires(self) -> Any:
        """Return the eight."""
        return [Work(batch=self.batch, i=i) for i in range(TASKS)]

    def run(self) -> None:
        """Store something."""
        self.dump(self.batch)


def bare() -> None:
    """Run the work without an engine."""
    if WORKERS == 1:
        for _ in range(TASKS):
            work()
        return
    kind = ThreadPoolExecutor(WORKERS) if EXECUTOR == "threads" else ProcessPoolExecutor(WORKERS, get_context("fork"))
    pool: Executor = kind
    with pool:
        for future in [pool.submit(work) for _ in range(TASKS)]:
            future.result()


def timed(batch: int) -> float:
    """Return the seconds that one build takes."""
    root = None if ENGINE == "bare" else Root(batch=batch)
    started = time.perf_counter()
    if root is None:
        bare()
    else:
        engines.build(ENGINE, root, EXECUTOR, WORKERS)
    return time.perf_counter() - started


def iterations_in(seconds: float) -> int:
    """Return the number of loop iterations in this time, by the fastest of five samples: load only slows it down."""
    fastest, sample = float("inf"), 2_000_000
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(sample):
            pass
        fastest = min(fastest, time.perf_counter() - started)
    return int(sample * seconds / fastest)


if __name__ == "__main__":
    if KIND == "calibrate":
        report(iterations=iterations_in(AMOUNT))
    else:
        report(**{name: timed(batch) for batch, name in enumerate(("first", "second")[:BUILDS])})
