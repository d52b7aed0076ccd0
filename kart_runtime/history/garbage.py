"""What may be removed from a workspace? What earlier runs have stored and no kept run refers to.

A run refers to all tasks of its graphs, also to those that had nothing to do; its file says which. A file is garbage
when no kept run refers to the id in its name, and a record of a run that is not kept names it under that id. So
whatever is in doubt stays: files that no record names, files without an id in their names (a task of another id may
take them for its own), and everything that was written in the last day.

Only the id counts and not module and class: a class that has moved finds what it has stored under a name of its own
choice, and log files have no module in their names.

The file of a run that is not kept goes when nothing that it names is left, or else a later one names it, too: a file
that no record names would stay for ever. Outputs go first and files of runs last, so that whatever ends the removal in
between, the next one goes on. Called by ``kart gc``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.history.abandoned import UnsafeWorkspace, stale_temp_files
from kart_runtime.history.files import WorkspaceFiles, absolute, files_of, named_urls, url_of
from kart_runtime.history.runs import Run, RunFiles, list_runs, read_runs
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Stat, Unfinished, UnfinishedUpload
from kart_runtime.storage.stores.local import LocalStore

DAY = 86_400.0
"""Seconds for which a run may be running, and what was written belongs to one that has not said so yet."""

_ID_IN_NAME = re.compile(r"_([0-9a-f]{32})(?:\.[^./]*)?$")


@dataclass(frozen=True)
class RetentionPolicy:
    """Which runs are kept; always those that may still be running.

    Parameters
    ----------
    runs
        How many of the last ones, however old.
    days
        Those that began within so many days.
    """

    runs: int = 1
    days: float = 30.0


class _Named(NamedTuple):
    """A file that a record names."""

    task: str
    unique_id: str
    place: str


@dataclass
class Garbage:
    """What may be removed from one workspace.

    Attributes
    ----------
    workspace
        The workspace.
    files
        Its files.
    by_task
        Name of a task class to the places of its files, with their sizes in bytes.
    runs
        The places of the files of runs, with their sizes.
    temporary
        The places of files that were left behind, with their sizes.
    uploads
        What writes have left in the store that never ended; their sizes are not known.
    warnings
        What could not be found out.
    kept_runs, all_runs
        How many runs are kept, of how many.
    seen
        The runs as they were when this was found out.
    """

    workspace: str
    files: WorkspaceFiles
    by_task: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    temporary: dict[str, int] = field(default_factory=dict)
    uploads: frozenset[UnfinishedUpload] = frozenset()
    warnings: tuple[str, ...] = ()
    kept_runs: int = 0
    all_runs: int = 0
    seen: frozenset[RunFiles] = frozenset()

    def sizes(self) -> dict[str, int]:
        """Return all places with their sizes, files of runs last."""
        tasks = {place: size for sizes in self.by_task.values() for place, size in sizes.items()}
        return tasks | self.temporary | self.runs


@dataclass(frozen=True)
class RemovalResult:
    """What a removal came to.

    Attributes
    ----------
    gone
        The urls of the files that have gone, with their sizes in bytes.
    kept
        The urls of files that could not be removed, and why.
    uploads
        How many unfinished uploads were thrown away.
    warnings
        What else did not go as it should.
    """

    gone: dict[str, int]
    kept: dict[str, str]
    uploads: int
    warnings: tuple[str, ...]


# -- what may go -----------------------------------------------------------------------------------------------------


def find_garbage(
    workspaces: Iterable[str], root: Path, keep: RetentionPolicy | None = None, now: float | None = None
) -> list[Garbage]:
    """Return what may be removed from workspaces; nothing is.

    Parameters
    ----------
    workspaces
        The workspaces. What a run of one of them refers to stays in all of them, since one may lie inside another.
    root
        The folder that paths on this machine are relative to.
    keep
        Which runs are kept. None: the last one, and those of 30 days.
    now
        The time, in seconds since the epoch. None: the present.

    Raises
    ------
    UnsafeWorkspace
        When it cannot be known what a kept run refers to.
    """
    moment = time.time() if now is None else now
    histories: dict[str, _History] = {}
    for workspace in (absolute(workspace, root) for workspace in workspaces):
        files = files_of(workspace, root)
        place = url_of(workspace, files.key)
        if place not in histories:
            histories[place] = _History(workspace, files, keep or RetentionPolicy(), moment)
    ids = frozenset[str]().union(*(history.ids for history in histories.values()))
    in_use = frozenset[str]().union(*(history.places_in_use(ids) for history in histories.values()))
    return [history.garbage(in_use) for history in histories.values()]


class _History:
    """The runs of a workspace: what the kept ones refer to, and what the others name."""

    def __init__(self, workspace: str, files: WorkspaceFiles, keep: RetentionPolicy, now: float) -> None:
        self.workspace, self._files, self._now = workspace, files, now
        self._listed = list_runs(workspace)
        self.ids: set[str] = set()
        self._named_by_kept: set[str] = set()
        self._dropped: list[tuple[RunFiles, list[_Named]]] = []
        number = 0
        for run in read_runs(workspace, self._listed[::-1]):
            named = list(_named(workspace, files, run))
            if number < keep.runs or _is_kept(run, keep, now):
                _check_kept(workspace, run, now)
                self.ids |= {task.unique_id for task in run.tasks}
                self._named_by_kept |= {one.place for one in named}
            else:
                _check_read(workspace, run)
                self._dropped.append((RunFiles(run.id, run.files), named))
            number += run.started is not None

    def places_in_use(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the places of what kept runs have stored, and of what any run has stored for the tasks of some ids."""
        of_ids = {named.place for _, names in self._dropped for named in names if named.unique_id in ids}
        return frozenset(self._named_by_kept | of_ids)

    def garbage(self, in_use: frozenset[str]) -> Garbage:
        """Return what may be removed.

        Parameters
        ----------
        in_use
            The places of files that stay, of all workspaces.
        """
        found = Garbage(self.workspace, self._files, all_runs=len(self._listed), seen=frozenset(self._listed))
        found.kept_runs = found.all_runs - len(self._dropped)
        exists = self._files.found({named.place for _, names in self._dropped for named in names})
        gone: set[str] = set()
        for _, names in self._dropped:
            for named in names:
                if self._may_go(named, exists.get(named.place), in_use):
                    gone.add(named.place)
                    found.by_task.setdefault(named.task, {})[named.place] = exists[named.place].size
        found.runs = {stat.key: stat.size for stat in self._spent_runs(frozenset(exists) - gone)}
        self._add_unfinished(found)
        return found

    def _add_unfinished(self, found: Garbage) -> None:
        """Add what writes have left that never ended."""
        store = store_for(self.workspace)[0]
        if isinstance(store, LocalStore):
            left = self._files.found(list(stale_temp_files(self._files.key)))
            found.temporary = {place: stat.size for place, stat in left.items()}
        if not isinstance(store, Unfinished):
            return
        try:
            found.uploads = frozenset(store.unfinished(self._files.key, self._now - DAY))
        except OSError as error:  # to look for uploads needs a right of its own, which few have
            found.warnings = (f"unfinished uploads could not be looked for: {error}",)

    def _may_go(self, named: _Named, stat: Stat | None, in_use: frozenset[str]) -> bool:
        return (
            stat is not None
            and _id_in(named.place) == named.unique_id
            and named.place not in in_use
            and stat.modified < self._now - DAY
        )

    def _spent_runs(self, left: frozenset[str]) -> Iterator[Stat]:
        """Go through the files of the runs that name nothing that is left, but for what a later one names, too."""
        covered = set(self._named_by_kept)
        for run, names in self._dropped:
            here = {named.place for named in names if named.place in left}
            if here <= covered:
                yield from run.files
            covered |= here


def _is_kept(run: Run, keep: RetentionPolicy, now: float) -> bool:
    # A file without a time in its name is nobody's that could be told from a run's.
    return run.started is None or run.started > now - keep.days * DAY or _may_run(run, now)


def _may_run(run: Run, now: float) -> bool:
    return max(run.written, run.started or 0.0) > now - DAY


def _check_read(workspace: str, run: Run) -> None:
    if run.unread:
        raise UnsafeWorkspace(
            workspace,
            f"what run {run.id} refers to is not known: {run.unread.rstrip('.')}. Make its file readable, or delete it "
            "if nothing of the run is needed.",
        )


def _check_kept(workspace: str, run: Run, now: float) -> None:
    """Refuse to go on when it is not known what a kept run refers to."""
    _check_read(workspace, run)
    if run.started is None:  # what it names stays, but nobody can say what it should name
        return
    if run.cut:
        place = url_of(workspace, run.files[0].key)
        raise UnsafeWorkspace(
            workspace,
            f"what run {run.id} refers to is not known: {run.cut}. Delete {place} if nothing of the run is needed.",
        )
    if not run.has_told and _may_run(run, now):
        raise UnsafeWorkspace(
            workspace,
            f"run {run.id} may still be running, and has not said yet which tasks it refers to. Try again when it has "
            "ended, or tomorrow if it was killed.",
        )


def _named(workspace: str, files: WorkspaceFiles, run: Run) -> Iterator[_Named]:
    for record in run.records:
        for url in named_urls(workspace, record):
            place = files.place(url)
            if place is not None:
                yield _Named(record.task, record.unique_id, place)


# -- and goes --------------------------------------------------------------------------------------------------------


def remove(found: Sequence[Garbage], now: float | None = None) -> RemovalResult:
    """Remove garbage, but for what runs refer to that have begun or gone on since it was found.

    Parameters
    ----------
    found
        The garbage.
    now
        As for `find_garbage`.

    Raises
    ------
    UnsafeWorkspace
        When it cannot be known what such a run refers to; nothing was removed.
    """
    moment = time.time() if now is None else now
    spared = _spared(found, moment)
    gone: dict[str, int] = {}
    kept: dict[str, str] = {}
    for garbage in found:
        sizes = garbage.sizes()
        outputs = [place for place in sizes if place not in spared and place not in garbage.runs]
        failed = garbage.files.delete(outputs)
        runs = [] if failed or spared else list(garbage.runs)  # what names a file stays as long as the file does
        failed |= garbage.files.delete(runs)
        for place in (*outputs, *runs):
            url = url_of(garbage.workspace, place)
            if place in failed:
                kept[url] = failed[place]
            else:
                gone[url] = sizes[place]
    uploads, warnings = _discard_uploads(found)
    return RemovalResult(gone, kept, uploads, warnings)


def _spared(found: Sequence[Garbage], now: float) -> frozenset[str]:
    """Return the places of garbage that is garbage no more."""
    ids: set[str] = set()
    places: set[str] = set()
    for garbage in found:
        changed = [run for run in list_runs(garbage.workspace) if run not in garbage.seen]
        for run in read_runs(garbage.workspace, changed):
            _check_kept(garbage.workspace, run, now)
            ids |= {task.unique_id for task in run.tasks}
            places |= {named.place for named in _named(garbage.workspace, garbage.files, run)}
    everything = [place for garbage in found for place in garbage.sizes()]
    return frozenset(place for place in everything if place in places or _id_in(place) in ids)


def _id_in(place: str) -> str | None:
    found = _ID_IN_NAME.search(place)
    return found[1] if found else None


def _discard_uploads(found: Sequence[Garbage]) -> tuple[int, tuple[str, ...]]:
    """Throw away what uploads have left that never ended; return how many there were, and what went wrong."""
    number, warnings = 0, []
    for garbage in found:
        store: Any = store_for(garbage.workspace)[0]
        for upload in sorted(garbage.uploads):
            try:
                number += store.discard(upload)
            except OSError as error:
                warnings.append(str(error))
    return number, tuple(warnings)
