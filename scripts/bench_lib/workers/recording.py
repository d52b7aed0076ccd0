"""A build and the same one again, with or without records of the runs: ``recording on|off COUNT``.

Without: nothing is written of a run, of its tasks, and of what they log and measure; outputs and gokart's five log
files stay. Reports the CPU seconds of both builds.
"""

from __future__ import annotations

import sys
import time

import luigi
from luigi import task_register

from bench_lib.child import report
from kart_runtime import TaskOnKart, build
from kart_runtime.history.ledger import Ledger

MODE, COUNT = sys.argv[1], int(sys.argv[2])


class Work(TaskOnKart[int]):
    """Task number `i`."""

    i = luigi.IntParameter()

    def run(self) -> None:
        """Store the number."""
        self.dump(self.i)


def nothing(*_arguments: object, **_options: object) -> None:
    """Record nothing."""


def measured() -> float:
    """Return the CPU seconds of a build."""
    task_register.Register.clear_instance_cache()
    tasks = [Work(i=i) for i in range(COUNT)]
    began = time.process_time()
    build(tasks, return_value=False, keep_logs=MODE == "on")
    return time.process_time() - began


if __name__ == "__main__":
    if MODE == "off":
        for method in ("append", "append_definitions", "record_tasks", "ask_git", "finish"):
            setattr(Ledger, method, nothing)
    first = measured()
    report(first=first, again=measured())
