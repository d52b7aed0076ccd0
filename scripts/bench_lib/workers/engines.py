# mypy: disable-error-code="no-untyped-call, import-untyped, import-not-found, untyped-decorator"
"""Which base class and ``build`` has an engine? One form for kart_runtime, gokart and luigi: programs are the same.

Called by the programs ``eight`` and ``dynamic``.
"""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import luigi
from luigi.format import Nop

Task: Any = luigi.Task


class StoringTask(Task):  # type: ignore[misc]
    """What luigi's users write for themselves: an output named by luigi's id, and ``dump``."""

    def output(self) -> Any:
        """Name the pickle by luigi's own id."""
        return luigi.LocalTarget(f"resources/{self.task_id}.pkl", format=Nop)

    def dump(self, value: object) -> None:
        """Write the value; LocalTarget goes through a temporary file."""
        with self.output().open("w") as file:
            file.write(pickle.dumps(value))


def base(engine: str) -> Any:
    """Return the class that an engine's tasks inherit."""
    return StoringTask if engine == "luigi" else importlib.import_module(engine).TaskOnKart


def build(engine: str, task: Any, executor: str, workers: int) -> None:
    """Run a task and all that it needs; only kart_runtime can be told the kind of its workers."""
    if engine == "luigi":
        if not luigi.build([task], local_scheduler=True, log_level="ERROR", workers=workers):
            raise SystemExit("luigi.build reports a failure")
        return
    # gokart forgets task classes by default, and then cannot find those that are yielded.
    options = {"executor": executor} if engine == "kart_runtime" else {"reset_register": False}
    importlib.import_module(engine).build(task, return_value=False, workers=workers, **options)
