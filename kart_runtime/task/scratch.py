"""Scratch folder of a task, for what a later try of it can go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kart_runtime.storage.scratch import open_scratch, scratch_path, scratch_root


def scratch_folder(task: Any) -> Path:
    """Return the scratch folder of a task, by its class and id.

    While a run goes on, no other process gets the same folder. Without one, when a program calls `run()` itself,
    nobody knows when it ends.
    """
    root = scratch_root(task.workspace_directory, task.local_temporary_directory)
    name = f"{type(task).__name__}_{task.make_unique_id()}"
    run = task._kart_run
    if run is None:
        return scratch_path(root, name)
    if run.scratch is None:
        run.scratch = open_scratch(root, name)
    path: Path = run.scratch.path
    path.mkdir(parents=True, exist_ok=True)  # the task may have deleted it
    return path
