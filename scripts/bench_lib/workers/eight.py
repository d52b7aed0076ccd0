"""Eight tasks that compute or sleep: ``eight ENGINE KIND AMOUNT EXECUTOR WORKERS [BUILDS]``.

AMOUNT is turns of a loop to compute, or seconds to sleep. ENGINE ``bare`` runs the same without any engine, in forked
processes or in threads: what the machine can give. KIND ``calibrate`` says how many turns take AMOUNT seconds.
Of two BUILDS in one process, the second has other tasks and may find the workers of the first.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import luigi

from bench_lib.child import say
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
    """Task number ``i`` of a turn."""

    turn = Parameter()
    i = Parameter()

    def run(self) -> None:
        """Compute or sleep, and store the number."""
        work()
        self.dump(self.i)


class Root(Base):  # type: ignore[misc]
    """What needs all of them."""

    turn = Parameter()

    def requires(self) -> Any:
        """Return the eight."""
        return [Work(turn=self.turn, i=i) for i in range(TASKS)]

    def run(self) -> None:
        """Store something."""
        self.dump(self.turn)


def bare() -> None:
    """Do the work without an engine."""
    if WORKERS == 1:
        for _ in range(TASKS):
            work()
        return
    kind = ThreadPoolExecutor(WORKERS) if EXECUTOR == "threads" else ProcessPoolExecutor(WORKERS, get_context("fork"))
    pool: Executor = kind
    with pool:
        for future in [pool.submit(work) for _ in range(TASKS)]:
            future.result()


def timed(turn: int) -> float:
    """Return the seconds that one build takes."""
    root = None if ENGINE == "bare" else Root(turn=turn)
    started = time.perf_counter()
    if root is None:
        bare()
    else:
        engines.build(ENGINE, root, EXECUTOR, WORKERS)
    return time.perf_counter() - started


def turns(seconds: float) -> int:
    """Return how many turns of the loop take so long: from the fastest of five, since others only slow it down."""
    fastest, sample = float("inf"), 2_000_000
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(sample):
            pass
        fastest = min(fastest, time.perf_counter() - started)
    return int(sample * seconds / fastest)


if __name__ == "__main__":
    if KIND == "calibrate":
        say(iterations=turns(AMOUNT))
    else:
        say(**{name: timed(turn) for turn, name in enumerate(("first", "second")[:BUILDS])})
