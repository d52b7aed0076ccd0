"""Files of earlier runs that no retained run uses, and their deletion, for `kart gc`.

A run uses all tasks of its graphs, also those that had nothing to do; its file names them. It also uses what these have
yielded when they ran, in whichever run that was. A file is garbage when no retained run uses the id in its name, and a
record of another run names it under that id. Whatever is in doubt stays: files that no record names, files without an
id in their names (a task of another id may take them for its own), and everything written in the last day.

Only the id counts and not module and class: a class that has moved still loads what it stored under a name of its own
choice, and log files have no module in their names.

The file of a run that is not retained goes when nothing that it names is left, or a later one names it, too: a file
that no record names would stay for ever. Outputs go first and files of runs last, so that the next call can continue
after an interruption at any point. Runs whose files were deleted are noted, since all other gaps in the chain of runs
stop a deletion: a lost file may have named what is needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kart_runtime.history.cleanup.deleted_runs import deleted_runs, note_deleted
from kart_runtime.history.cleanup.files import RemovalResult, WorkspaceFiles, files_of
from kart_runtime.history.cleanup.notice import deleting_from, store_time
from kart_runtime.history.cleanup.recorded import NamedFile, id_in, named_files
from kart_runtime.history.cleanup.retention import (
    DAY,
    RetentionPolicy,
    check_damage,
    check_missing,
    check_readable,
    check_references,
    check_version,
    missing_runs,
    own_part,
)
from kart_runtime.history.cleanup.summaries import summaries
from kart_runtime.history.index import Index, open_index
from kart_runtime.history.runs import Run, RunFiles, list_runs, read_runs
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Stat, Unfinished, UnfinishedUpload, is_remote


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
    retained
        Id of each retained run to the reason.
    named
        Places of all files that records name.
    in_use
        Those that retained runs use.
    missing
        Runs whose files are gone, which was ignored, with what says so.
    now
        Time of the search, in seconds since the epoch, by the clock of the store if that is behind.
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
    retained: dict[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    in_use: frozenset[str] = frozenset()
    missing: dict[str, str] = field(default_factory=dict)
    now: float = 0.0

    def sizes(self) -> dict[str, int]:
        """Return all places with their sizes, files of runs last."""
        tasks = {place: size for sizes in self.by_task.values() for place, size in sizes.items()}
        return tasks | self.temporary | self.runs


def find_garbage(
    workspaces: Iterable[str],
    root: Path,
    policy: RetentionPolicy | None = None,
    now: float | None = None,
    *,
    ignore_missing: bool = False,
) -> list[Garbage]:
    """Return the garbage of workspaces; nothing is deleted.

    What a run of one workspace uses stays in all of them, since one may lie inside another. Paths on this machine are
    relative to `root`; `now` is in seconds since the epoch. Raises `UnsafeWorkspace` when it is not known what a
    retained run uses, or the file of a run is missing, unless that is to `ignore_missing`.
    """
    with ExitStack() as opened:
        histories: dict[str, _History] = {}
        for files in (files_of(workspace, root) for workspace in workspaces):
            url = files.url(files.key)
            if url not in histories:
                history = histories[url] = _History(files, now)
                history.read(opened.enter_context(open_index(files.workspace)), policy or RetentionPolicy())
                if not ignore_missing:
                    check_missing(files, history.missing)
        ids = frozenset[str]().union(*(history.ids for history in histories.values()))
        if any(history.has_dropped for history in histories.values()):
            while more := frozenset[str]().union(*(history.upstream(ids) for history in histories.values())) - ids:
                ids |= more
        in_use = frozenset[str]().union(*(history.places_in_use(ids) for history in histories.values()))
        return [history.garbage(in_use) for history in histories.values()]


class _History:
    """Runs of a workspace: the ids that the retained ones use, and the files that the others name."""

    def __init__(self, files: WorkspaceFiles, now: float | None) -> None:
        self._files = files
        self._listed = list_runs(files.workspace)
        if now is None:
            now = min(time.time(), store_time(files.workspace)) if self._listed else time.time()
        self._now = now
        self.ids: set[str] = set()
        self.missing: dict[str, str] = {}
        self._named_by_retained: set[str] = set()
        self._dropped: list[tuple[RunFiles, list[NamedFile]]] = []
        self._retained: dict[str, str] = {}
        self._edges: dict[str, set[str]] = {}

    def read(self, index: Index, policy: RetentionPolicy) -> None:
        """Read what the runs say: from the index if it knows their files as they are, since it is most."""
        self._index = index
        unknown = [run for run in self._listed if not index.knows(run)]  # it is a cache
        read = {run.id: run for run in read_runs(self._files.workspace, unknown)}
        found = summaries(index, self._files.workspace, self._listed, read)
        for run in read.values():
            check_readable(self._files, run)
            self._add_edges(run)
        for summary in found:
            check_version(self._files, summary)
            check_damage(self._files, summary)
        if missing := missing_runs(found):
            known = set(map(own_part, deleted_runs(self._files.workspace)))
            self.missing = {run: why for run, why in missing.items() if own_part(run) not in known}
        self._retained = policy.retained(found, self._now)
        self._read_retained([run for run in self._listed if run.id in self._retained], read)
        for files in reversed(self._listed):
            if files.id not in self._retained:
                dropped = read.get(files.id)
                records = index.attempts(run_id=files.id) if dropped is None else dropped.records
                self._dropped.append((files, list(named_files(self._files, records))))

    @property
    def has_dropped(self) -> bool:
        """Return whether there are runs that are not retained."""
        return bool(self._dropped)

    def _read_retained(self, runs: Sequence[RunFiles], read: Mapping[str, Run]) -> None:
        """Take what is in use from the files themselves."""
        others = read_runs(self._files.workspace, [run for run in runs if run.id not in read])
        for run in (*(read[run.id] for run in runs if run.id in read), *others):
            check_references(self._files, run, self._now)
            self._add_edges(run)
            self.ids |= {task.unique_id for task in run.tasks}
            self._named_by_retained |= {file.place for file in named_files(self._files, run.records)}

    def _add_edges(self, run: Run) -> None:
        """Add what the tasks of a run require and have yielded."""
        for user, others in run.uses.items():
            self._edges.setdefault(user, set()).update(others)
        tasks = run.graph.tasks if run.graph is not None else ()
        for task, requires in zip(tasks, run.graph.requires if run.graph is not None else (), strict=True):
            ids = {each if isinstance(each, str) else tasks[each].unique_id for each in requires}
            self._edges.setdefault(task.unique_id, set()).update(ids)

    def upstream(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids of what the tasks with some ids require or have yielded, in any run."""
        known = self._index.upstream_of(ids)
        own = (self._edges[uid] for uid in self._edges.keys() & ids)
        return frozenset[str]().union(*known.values(), *own)

    def places_in_use(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the files that retained runs wrote, and those that any run wrote for tasks with some ids."""
        of_ids = {file.place for _, named in self._dropped for file in named if file.unique_id in ids}
        return frozenset(self._named_by_retained | of_ids)

    def garbage(self, in_use: frozenset[str]) -> Garbage:
        """Return the garbage, given the places in use in all workspaces."""
        garbage = Garbage(self._files, all_runs=len(self._listed), seen=frozenset(self._listed))
        garbage.retained, garbage.missing, garbage.now = self._retained, self.missing, self._now
        named = {file.place for _, files in self._dropped for file in files}
        garbage.in_use, garbage.named = in_use, frozenset(self._named_by_retained.union(named))
        garbage.retained_runs = garbage.all_runs - len(self._dropped)
        stats = self._files.stats(named)
        unused: set[str] = set()
        for _, own in self._dropped:
            for file in own:
                if self._is_unused(file, stats.get(file.place), in_use):
                    unused.add(file.place)
                    garbage.by_task.setdefault(file.task, {})[file.place] = stats[file.place].size
        garbage.runs = {stat.key: stat.size for stat in self._spent_runs(frozenset(stats) - unused)}
        garbage.temporary = {place: stat.size for place, stat in self._files.stale_temp_files(self._now).items()}
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
            and id_in(file.place) == file.unique_id
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

    New builds wait meanwhile. Raises `UnsafeWorkspace`, before anything is deleted, when it is not known what such a
    run uses.
    """
    result = RemovalResult()
    with ExitStack() as notices:
        moments = []
        for garbage in entries:
            notice = notices.enter_context(deleting_from(garbage.files.workspace)) if garbage.sizes() else None
            if notice is not None:
                garbage.files.check = notice.check
                moments.append(notice.moment)
        moment = min(time.time(), *moments) if now is None and moments else time.time() if now is None else now
        in_use = _places_in_use_since(entries, moment)
        for garbage in entries:
            stays = in_use.union(_written_since(garbage, moment), garbage.runs)
            outputs = {place: size for place, size in garbage.sizes().items() if place not in stays}
            if result.delete(garbage.files, outputs) and not in_use:  # it stays as long as a file that it names
                note_deleted(garbage.files, garbage.runs)
                result.delete(garbage.files, garbage.runs)
            note_deleted(garbage.files, (), garbage.missing)
    _abort_uploads(entries, result)
    return result


def _written_since(garbage: Garbage, now: float) -> frozenset[str]:
    """Return the files of a disk that were written in the last day; asking a remote store again costs too much."""
    if is_remote(store_for(garbage.files.workspace)[0]):
        return frozenset()
    outputs = {place for sizes in garbage.by_task.values() for place in sizes}
    return frozenset(place for place, stat in garbage.files.stats(outputs).items() if stat.modified >= now - DAY)


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
    return frozenset(place for place in candidates if place in places or id_in(place) in ids)


def _abort_uploads(entries: Sequence[Garbage], result: RemovalResult) -> None:
    """Abort the incomplete uploads, and add their number and the failures to the result."""
    for garbage in entries:
        store: Any = store_for(garbage.files.workspace)[0]
        for upload in sorted(garbage.uploads):
            try:
                result.uploads += store.discard(upload)
            except OSError as error:
                result.warnings += (str(error),)
