"""Files that running runs use, which `kart clean` leaves where they are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kart_runtime.history.cleanup.files import RemovalResult, WorkspaceFiles
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.cleanup.notice import deleting_from
from kart_runtime.history.cleanup.recorded import RecordedFiles, id_in
from kart_runtime.history.cleanup.retention import check_readable
from kart_runtime.history.index import open_index
from kart_runtime.history.run_state import state_of
from kart_runtime.history.runs import Run, list_runs, read_runs, started_at


def running_runs(workspace: str) -> list[Run]:
    """Return the runs of a workspace that go on, or may go on."""
    listed = list_runs(workspace)
    with open_index(workspace) as index:
        rows = {run: (header, ended) for run, header, ended in index.select("SELECT run, header, ended FROM runs")}
        ended = {run.id for run in listed if index.knows(run) and run.id in rows and rows[run.id][1]}
    headers = {run: json.loads(header or "{}") for run, (header, _) in rows.items()}
    now = time.time()
    open_ones = [
        run
        for run in listed
        if run.id not in ended
        and started_at(run.id) is not None
        and _may_go_on(headers.get(run.id, {}), max(stat.modified for stat in run.files), now)
    ]
    runs = read_runs(workspace, open_ones)
    return [run for run in runs if run.end is None and _may_go_on(run.header, run.written, now)]


def _may_go_on(header: Mapping[str, Any], written: float, now: float) -> bool:
    return not header or state_of(header, None, written, now) == "running"


def delete_recorded(recorded: Sequence[RecordedFiles], result: RemovalResult) -> dict[str, str]:
    """Delete recorded files, except those that running runs use; return these, with the run.

    New builds wait meanwhile. Raises `UnsafeWorkspace` when it is not known what a running run uses.
    """
    in_use: dict[str, str] = {}
    for one in recorded:
        with deleting_from(one.files.workspace) as notice:
            if notice is not None:
                one.files.check = notice.check
            own = places_in_use(one)
            result.delete(one.files, {place: size for place, size in one.sizes().items() if place not in own})
            in_use |= {one.files.url(place): run for place, run in own.items()}
    return in_use


def places_in_use(recorded: RecordedFiles) -> dict[str, str]:
    """Return those of some files that running runs use, with the run; raise `UnsafeWorkspace` if that is not known."""
    ids = _ids_in_use(recorded.files)
    return {place: ids[uid] for place in recorded.sizes() for uid in recorded.ids[place] & ids.keys()}


def used_by_running(recorded: RecordedFiles) -> Callable[[str], bool]:
    """Return what says whether a running run uses a file, also one that no record names but whose name has an id."""
    ids, own = _ids_in_use(recorded.files), places_in_use(recorded)
    return lambda path: path in own or (id_in(path) or "") in ids


def _ids_in_use(files: WorkspaceFiles) -> dict[str, str]:
    ids: dict[str, str] = {}
    for run in running_runs(files.workspace):
        check_readable(files, run)
        if not run.has_references and run.header:
            reason = f"run {run.id} goes on and has not recorded its tasks. Retry in a moment."
            raise UnsafeWorkspace(files.workspace, reason)
        ids |= dict.fromkeys((task.unique_id for task in run.tasks), run.id)
    return ids
