"""Files of earlier runs that no retained run uses, and their deletion, for `kart gc`.

A run uses all tasks of its graphs, also those that had nothing to do; its file names them. A file is garbage when no
retained run uses the id in its name, and a record of another run names it under that id. Whatever is in doubt stays:
files that no record names, files without an id in their names (a task of another id may take them for its own), and
everything written in the last day.

Only the id counts and not module and class: a class that has moved still loads what it stored under a name of its own
choice, and log files have no module in their names.

The file of a run that is not retained goes when nothing that it names is left, or a later one names it, too: a file
that no record names would stay for ever. Outputs go first and files of runs last, so that the next call can continue
after an interruption at any point.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kart_runtime.history.cleanup.files import RemovalResult, WorkspaceFiles, files_of
from kart_runtime.history.cleanup.recorded import NamedFile, named_files
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy, check_readable, check_references
from kart_runtime.history.index import open_index
from kart_runtime.history.runs import RunFiles, list_runs, read_runs, started_at
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Stat, Unfinished, UnfinishedUpload

_ID_IN_NAME = re.compile(r"_([0-9a-f]{32})(?:\.[^./]*)?$")


@dataclass
class Garbage:
    """Files that may be deleted from one workspace.

    Attributes
    ----------
    files
        All files of the workspace.
    by_task
        Class name of a task to the places of its files, with their sizes in bytes.
    runs, temporary
        Places of the files of runs, and of files that dead processes left behind, with their sizes.
    uploads
        Incomplete uploads in the store; their sizes are not known.
    warnings
        What could not be determined.
    retained_runs, all_runs
        Number of retained runs, and of all.
    seen
        The runs at the time of the search.
    """

    files: WorkspaceFiles
    by_task: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    temporary: dict[str, int] = field(default_factory=dict)
    uploads: frozenset[UnfinishedUpload] = frozenset()
    warnings: tuple[str, ...] = ()
    retained_runs: int = 0
    all_runs: int = 0
    seen: frozenset[RunFiles] = frozenset()

    def sizes(self) -> dict[str, int]:
        """Return all places with their sizes, files of runs last."""
        tasks = {place: size for sizes in self.by_task.values() for place, size in sizes.items()}
        return tasks | self.temporary | self.runs


def find_garbage(
    workspaces: Iterable[str], root: Path, policy: RetentionPolicy | None = None, now: float | None = None
) -> list[Garbage]:
    """Return the garbage of workspaces; nothing is deleted.

    What a run of one workspace uses stays in all of them, since one may lie inside another. Paths on this machine are
    relative to `root`; `now` is in seconds since the epoch. Raises `UnsafeWorkspace` when it is not known what a
    retained run uses.
    """
    moment = time.time() if now is None else now
    histories: dict[str, _History] = {}
    for files in (files_of(workspace, root) for workspace in workspaces):
        url = files.url(files.key)
        if url not in histories:
            histories[url] = _History(files, policy or RetentionPolicy(), moment)
    ids = frozenset[str]().union(*(history.ids for history in histories.values()))
    in_use = frozenset[str]().union(*(history.places_in_use(ids) for history in histories.values()))
    return [history.garbage(in_use) for history in histories.values()]


class _History:
    """Runs of a workspace: the ids that the retained ones use, and the files that the others name."""

    def __init__(self, files: WorkspaceFiles, policy: RetentionPolicy, now: float) -> None:
        self._files, self._now = files, now
        self._listed = list_runs(files.workspace)
        self.ids: set[str] = set()
        self._named_by_retained: set[str] = set()
        self._dropped: list[tuple[RunFiles, list[NamedFile]]] = []
        position = 0
        retained: list[RunFiles] = []
        dropped: list[RunFiles] = []
        for run in self._listed[::-1]:
            (retained if policy.retains(run, position, now) else dropped).append(run)
            position += started_at(run.id) is not None
        self._read_retained(retained)
        self._read_dropped(dropped)

    def _read_retained(self, runs: Sequence[RunFiles]) -> None:
        """Read what is in use from the files themselves."""
        for run in read_runs(self._files.workspace, runs):
            check_references(self._files, run, self._now)
            self.ids |= {task.unique_id for task in run.tasks}
            self._named_by_retained |= {file.place for file in named_files(self._files, run.records)}

    def _read_dropped(self, runs: Sequence[RunFiles]) -> None:
        """Read what other runs have written: from the index if it knows their files as they are, since it is most."""
        if not runs:
            return
        with open_index(self._files.workspace) as index:  # a cache: a file that it does not know is read
            unknown = [run for run in runs if not index.knows(run)]
            read = {run.id: run for run in read_runs(self._files.workspace, unknown)}
            for files in runs:
                run = read.get(files.id)
                if run is not None:
                    check_readable(self._files, run)
                records = index.attempts(run_id=files.id) if run is None else run.records
                self._dropped.append((files, list(named_files(self._files, records))))

    def places_in_use(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the files that retained runs wrote, and those that any run wrote for tasks with some ids."""
        of_ids = {file.place for _, named in self._dropped for file in named if file.unique_id in ids}
        return frozenset(self._named_by_retained | of_ids)

    def garbage(self, in_use: frozenset[str]) -> Garbage:
        """Return the garbage, given the places in use in all workspaces."""
        garbage = Garbage(self._files, all_runs=len(self._listed), seen=frozenset(self._listed))
        garbage.retained_runs = garbage.all_runs - len(self._dropped)
        stats = self._files.stats({file.place for _, named in self._dropped for file in named})
        unused: set[str] = set()
        for _, named in self._dropped:
            for file in named:
                if self._is_unused(file, stats.get(file.place), in_use):
                    unused.add(file.place)
                    garbage.by_task.setdefault(file.task, {})[file.place] = stats[file.place].size
        garbage.runs = {stat.key: stat.size for stat in self._spent_runs(frozenset(stats) - unused)}
        garbage.temporary = {place: stat.size for place, stat in self._files.stale_temp_files().items()}
        self._add_uploads(garbage)
        return garbage

    def _add_uploads(self, garbage: Garbage) -> None:
        store = store_for(self._files.workspace)[0]
        if not isinstance(store, Unfinished):
            return
        try:
            garbage.uploads = frozenset(store.unfinished(self._files.key, self._now - DAY))
        except OSError as error:  # listing uploads needs a permission of its own, which few have
            garbage.warnings = (f"cannot list incomplete uploads: {error}",)

    def _is_unused(self, file: NamedFile, stat: Stat | None, in_use: frozenset[str]) -> bool:
        return (
            stat is not None
            and _id_in(file.place) == file.unique_id
            and file.place not in in_use
            and stat.modified < self._now - DAY
        )

    def _spent_runs(self, left: frozenset[str]) -> Iterator[Stat]:
        """Yield the files of the runs that name no file that is left, except files that a later run names, too."""
        covered = set(self._named_by_retained)
        for run, named in self._dropped:
            places = {file.place for file in named if file.place in left}
            if places <= covered:
                yield from run.files
            covered |= places


def remove(entries: Sequence[Garbage], now: float | None = None) -> RemovalResult:
    """Delete garbage, except files that runs use which have begun or continued since it was found.

    Raises `UnsafeWorkspace`, before anything is deleted, when it is not known what such a run uses.
    """
    in_use = _places_in_use_since(entries, time.time() if now is None else now)
    result = RemovalResult()
    for garbage in entries:
        stays = in_use.union(garbage.runs)
        outputs = {place: size for place, size in garbage.sizes().items() if place not in stays}
        if result.delete(garbage.files, outputs) and not in_use:  # a run's file stays as long as a file that it names
            result.delete(garbage.files, garbage.runs)
    _abort_uploads(entries, result)
    return result


def _places_in_use_since(entries: Sequence[Garbage], now: float) -> frozenset[str]:
    """Return the places of garbage that runs have begun to use since it was found."""
    ids: set[str] = set()
    places: set[str] = set()
    for garbage in entries:
        changed = [run for run in list_runs(garbage.files.workspace) if run not in garbage.seen]
        for run in read_runs(garbage.files.workspace, changed):
            check_references(garbage.files, run, now)
            ids |= {task.unique_id for task in run.tasks}
            places |= {file.place for file in named_files(garbage.files, run.records)}
    candidates = [place for garbage in entries for place in garbage.sizes()]
    return frozenset(place for place in candidates if place in places or _id_in(place) in ids)


def _id_in(place: str) -> str | None:
    match = _ID_IN_NAME.search(place)
    return match[1] if match else None


def _abort_uploads(entries: Sequence[Garbage], result: RemovalResult) -> None:
    """Abort the incomplete uploads, and add their number and the failures to the result."""
    for garbage in entries:
        store: Any = store_for(garbage.files.workspace)[0]
        for upload in sorted(garbage.uploads):
            try:
                result.uploads += store.discard(upload)
            except OSError as error:
                result.warnings += (str(error),)
