# mypy: disable-error-code="no-untyped-call, import-untyped, untyped-decorator"
"""luigi with its local scheduler and one worker: one file per task, no logs."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import luigi
from luigi.format import Nop

from bench_lib.graphs import dependencies

SHAPE, COUNT = sys.argv[1], int(sys.argv[2])
Task: Any = luigi.Task


class Work(Task):  # type: ignore[misc]
    """Task number `i`."""

    i = luigi.IntParameter()

    def requires(self) -> Any:
        """Return the dependencies in the shape."""
        return [Work(i=other) for other in dependencies(SHAPE, COUNT, self.i)]

    def output(self) -> Any:
        """Name the pickle by luigi's own id."""
        return luigi.LocalTarget(f"resources/{self.task_id}.pkl", format=Nop)

    def run(self) -> None:
        """Write the number; LocalTarget uses a temporary file."""
        with self.output().open("w") as file:
            file.write(pickle.dumps(self.i))


if __name__ == "__main__" and COUNT and not luigi.build([Work(i=COUNT - 1)], local_scheduler=True, log_level="ERROR"):
    raise SystemExit("luigi.build reports a failure")
