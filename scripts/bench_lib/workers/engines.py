# mypy: disable-error-code="no-untyped-call, import-untyped, import-not-found, untyped-decorator"
"""Base class and `build` of each engine, in one form for kart_runtime, gokart and luigi, so that programs are the same.

Used by the programs `eight_tasks` and `dynamic`.
"""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import luigi
from luigi.format import Nop

Task: Any = luigi.Task


class StoringTask(Task):  # type: ignore[misc]
    """Base class that luigi's users write themselves: an output named by luigi's id, and `dump`."""

    def output(self) -> Any:
        """Name the pickle by luigi's own id."""
        return luigi.LocalTarget(f"resources/{self.task_id}.pkl", format=Nop)

    def dump(self, value: object) -> None:
        """Write the value; LocalTarget uses a temporary file."""
        with self.output().open("w") as file:
            file.write(pickle.dumps(value))


def base(engine: str) -> Any:
    """Return the base class of an engine's tasks."""
    return StoringTask if engine == "luigi" else importlib.import_module(engine).TaskOnKart


def build(engine: str, task: Any, executor: str, workers: int) -> None:
    """Run a task and its dependencies; only kart_runtime takes an executor."""
    if engine == "luigi":
        if not luigi.build([task], local_scheduler=True, log_level="ERROR", workers=workers):
            raise SystemExit("luigi.build reports a failure")
        return
    # By default gokart resets luigi's register, and then does not find the classes of yielded tasks.
    options = {"executor": executor} if engine == "kart_runtime" else {"reset_register": False}
    importlib.import_module(engine).build(task, return_value=False, workers=workers, **options)
