"""Note of the runs whose files `kart gc` has deleted, so that these are not missed."""

from __future__ import annotations

import json
from collections.abc import Iterable

from kart_runtime.history.cleanup.files import WorkspaceFiles
from kart_runtime.history.runs import run_of_file, runs_folder

_NAME = "deleted.json"
_MOST = 10_000
"""Runs that are noted. Others name only the newest runs before them, so older ones are not asked for."""


def deleted_runs(workspace: str) -> list[str]:
    """Return the ids of the runs whose files were deleted on purpose, oldest deletion first."""
    store, folder = runs_folder(workspace)
    try:
        with store.open(f"{folder}/{_NAME}") as file:
            runs = json.loads(file.read())["runs"]
    except (OSError, ValueError, KeyError, TypeError):  # missing, or damaged: then the runs are missing
        return []
    return [run for run in runs if isinstance(run, str)] if isinstance(runs, list) else []


def note_deleted(files: WorkspaceFiles, places: Iterable[str], missing: Iterable[str] = ()) -> None:
    """Note the runs whose files are about to be deleted, and those that are missing and not needed."""
    runs = [run_of_file(place.replace("\\", "/").rpartition("/")[2]) for place in places]
    new = dict.fromkeys([*runs, *missing])
    if not new:
        return
    store, folder = runs_folder(files.workspace)
    every = dict.fromkeys([*deleted_runs(files.workspace), *new])
    with store.write(f"{folder}/{_NAME}") as file:  # whole or as before
        file.write(json.dumps({"runs": [*every][-_MOST:]}).encode())
