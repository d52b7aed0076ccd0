"""kart_runtime and gokart: a fan-in whose root reads all others, in a remote workspace.

``remote_graph ENGINE SCHEME ADDRESS COUNT OPTIONS``; OPTIONS are those of `build`, as JSON.

Reports the seconds of the build, and the number of tasks that ran.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import luigi

from bench_lib.child import report
from bench_lib.graphs import dependencies
from bench_lib.workers import remote_service

ENGINE, SCHEME, ADDRESS, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
remote_service.use_service(ENGINE, SCHEME, ADDRESS)
engine: Any = importlib.import_module(ENGINE)
TaskOnKart, build = engine.TaskOnKart, engine.build
WORKSPACE = f"{SCHEME}://{remote_service.BUCKET}/resources"
ran: list[int] = []


class Work(TaskOnKart):  # type: ignore[misc, valid-type]
    """Task number `i`."""

    i = luigi.IntParameter()

    def requires(self) -> Any:
        """Return all other tasks if this is the root."""
        return [task(other) for other in dependencies("fan-in", COUNT, self.i)]

    def run(self) -> None:
        """Store the number, or the sum of all dependencies."""
        ran.append(self.i)
        if self.i < COUNT - 1:
            self.dump(self.i)
            return
        total = sum(self.load())
        if total != (COUNT - 1) * (COUNT - 2) // 2:
            raise SystemExit(f"wrong: the sum is {total}")
        self.dump(total)


def task(i: int) -> Any:
    """Return task number ``i``, which writes to the service."""
    return Work(i=i, workspace_directory=WORKSPACE)


if __name__ == "__main__":
    started = time.perf_counter()
    build(task(COUNT - 1), return_value=False, **json.loads(sys.argv[5]))
    report(wall=time.perf_counter() - started, ran=len(ran))
