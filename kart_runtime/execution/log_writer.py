"""Log files of a run, gokart's five, what was logged and measured, and the seed, which one of them records.

An attempt uses it, and `luigi_bridge` if luigi's own worker runs the task.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pickle import dumps
from typing import Any

from kart_runtime.errors.secrets import masked_objects
from kart_runtime.execution.log_lines import LogLines
from kart_runtime.execution.seeds import set_seed
from kart_runtime.history import log_files
from kart_runtime.history.losses import report_loss
from kart_runtime.storage.codecs.pickles import PROTOCOL, Pickle
from kart_runtime.storage.target import path_of
from kart_runtime.storage.workspace import LOG_FILES
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.run_metadata import visible_params


class TaskLogWriter:
    """Writes the log files of one run of a task, and seeds it, whether or not files are written.

    Attributes
    ----------
    seed
        Seed of the run.
    written
        Kinds of the log files that have been written, from `workspace.LOG_FILES`.
    """

    __slots__ = ("_files", "_wanted", "seed", "task", "written")

    def __init__(self, task: TaskOnKart[Any]) -> None:
        self.task = task
        self.seed = task.get_random_seed()
        self.written: tuple[str, ...] = ()
        self._wanted = task.should_dump_supplementary_log_files
        self._files = task._log_files()

    def at_start(self) -> None:
        """Set the seed, and write seed, parameters and versions."""
        task, files = self.task, self._files
        methods = set_seed(task.fix_random_seed_methods, self.seed)
        if self._wanted:
            try:
                files.write("random_seed", dumps({"seed": self.seed, "seed_methods": methods}, PROTOCOL))
                files.write("task_params", dumps(visible_params(task), PROTOCOL))
                files.write("module_versions", log_files.versions_text())
                self.written = ("random_seed", "task_params", "module_versions")
            except Exception as error:  # noqa: BLE001 - log files only explain
                self._report_loss(error)

    def at_success(self, seconds: float, outputs: list[Any]) -> None:
        """Write the duration, and the task's own log with the paths of its outputs, as gokart does."""
        task, files = self.task, self._files
        task.task_log["file_path"] = list(map(path_of, outputs))
        if self._wanted:
            try:
                files.write("processing_time", dumps(seconds, PROTOCOL))
                files.write("task_log", _pickled(masked_objects(task.task_log, partial(dumps, protocol=PROTOCOL))))
                self.written = tuple(LOG_FILES)
            except Exception as error:  # noqa: BLE001 - as above
                self._report_loss(error)

    def at_end(
        self, lines: LogLines | None, steps: Sequence[tuple[str, int, float | str, float]], began: float
    ) -> tuple[str, ...]:
        """Write what was logged, and metrics by step with their times; return the kinds of files that were written."""
        written: tuple[str, ...] = ()
        try:
            if self._wanted and lines is not None:
                self._files.write("lines", lines.data())
                written += ("lines",)
            if steps:
                rows = [(name, step, value, round(max(at - began, 0.0), 3)) for name, step, value, at in steps]
                self._files.write("series", "".join(f"{json.dumps(row)}\n" for row in rows).encode())
                written += ("series",)
        except Exception as error:  # noqa: BLE001 - as above
            self._report_loss(error)
        return written

    def _report_loss(self, error: Exception) -> None:
        report_loss(f"write the log files of {self.task}", self._files.folder, error)


def _pickled(task_log: dict[str, Any]) -> bytes:
    if len(task_log) == 1:  # only `file_path`
        return dumps(task_log, PROTOCOL)
    buffer = BytesIO()
    Pickle().dump(task_log, buffer)
    return buffer.getvalue()
