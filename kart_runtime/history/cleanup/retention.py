"""Rules that decide which runs are retained, and whether it is known what a retained run uses.

Runs are retained for each project, environment and class of a requested task by itself: the last runs of one are no
reason to delete what another one needs. The values of parameters make no difference, because trying them is what
leaves files behind. A run that failed or died does not take the place of the last one that ended well.

Neither the name of a run nor the time of its file decides alone: the clock of the machine that named it, or that of the
disk, may have been wrong. A run counts as last if it is so by either, and as young if it is so by either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kart_runtime.history.cleanup.files import WorkspaceFiles
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.run_header import FORMAT
from kart_runtime.history.run_state import is_process_alive, state_of
from kart_runtime.history.runs import Run, RunFiles, part_number, started_at
from kart_runtime.history.used import is_part_in_row

DAY = 86_400.0
"""Seconds for which a run may be active, and a file may belong to a run that has not recorded it yet."""


@dataclass(frozen=True)
class RunSummary:
    """What decides whether a run is retained.

    Attributes
    ----------
    run
        Its id and files.
    header, end
        As in `Run`.
    has_references
        Whether it says which tasks it uses.
    root_classes
        Names of the classes of the requested tasks.
    damage
        As in `Run`.
    """

    run: RunFiles
    header: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] | None = None
    has_references: bool = True
    root_classes: Sequence[str] = ()
    damage: str = ""

    @property
    def written(self) -> float:
        """Time of the last write to its files."""
        return max(stat.modified for stat in self.run.files)

    @property
    def started(self) -> float | None:
        """When it started, by its name; None for what is not named like a run."""
        return started_at(self.run.id)

    def groups(self) -> Iterator[tuple[str, str, str]]:
        """Yield project, environment and class of each requested task."""
        known = self.header.get("root_classes")
        classes = known if isinstance(known, list) and known else self.root_classes
        project = self.header.get("project") or self.header.get("folder") or ""
        for name in map(str, classes or [""]):
            yield str(project), str(self.header.get("env") or ""), name.rpartition(".")[2] if not known else name


@dataclass(frozen=True)
class RetentionPolicy:
    """Rules that decide which runs `kart gc` retains. Runs that may still be active are always retained.

    Parameters
    ----------
    runs
        Number of most recent runs to retain of each project, environment and class of a requested task, whatever their
        age; and as many of those that ended well.
    days
        Retain runs that started, or wrote something, within this many days.
    """

    runs: int = 1
    days: float = 30.0

    def retained(self, runs: Sequence[RunSummary], now: float) -> dict[str, str]:
        """Return the ids of the runs to retain, with the reason; `now` is in seconds since the epoch."""
        reasons = self._last(runs)
        for run in runs:
            reason = self._by_itself(run, now)
            if reason:
                reasons[run.run.id] = reason
        return reasons

    def _by_itself(self, run: RunSummary, now: float) -> str:
        if run.started is None:  # it cannot be told from a run's
            return "its file is not named like that of a run"
        if run.end is None and state_of(run.header, run.end, run.written, now) == "running" and "format" in run.header:
            return "it is running"
        newest = max(run.written, run.started)
        if newest > now - DAY:
            return "it wrote something in the last day"
        return f"it is younger than {self.days:g} days" if newest > now - self.days * DAY else ""

    def _last(self, runs: Sequence[RunSummary]) -> dict[str, str]:
        """Return the last runs of each group, and the last ones that ended well, by names and by time."""
        groups: dict[tuple[str, str, str], list[RunSummary]] = defaultdict(list)
        for run in runs:
            if run.has_references and run.started is not None:
                for group in run.groups():
                    groups[group].append(run)
        reasons: dict[str, str] = {}
        for (_, _, name), members in groups.items():
            for some, text in ((_well(members), "the last one that ended well"), (members, "the last one")):
                last = {run.run.id for run in (*_newest(some, self.runs), *_newest(some, self.runs, by_time=True))}
                of = f" of {name.rpartition('.')[2]}" if name else ""
                reasons |= dict.fromkeys(last, f"it is {text if self.runs == 1 else 'one of the last'}{of}")
        return reasons


def _well(runs: Iterable[RunSummary]) -> list[RunSummary]:
    return [run for run in runs if run.end is not None and run.end.get("state") == "done"]


def _newest(runs: Sequence[RunSummary], number: int, *, by_time: bool = False) -> Sequence[RunSummary]:
    ordered = sorted(runs, key=lambda run: (run.written, run.run.id)) if by_time else runs
    return ordered[-number:] if number else ()


def check_readable(files: WorkspaceFiles, run: Run) -> None:
    """Raise `UnsafeWorkspace` when a run's file could not be read."""
    if run.unread:
        raise UnsafeWorkspace(
            files.workspace,
            f"cannot tell which tasks run {run.id} uses: {run.unread.rstrip('.')}. Make its file readable, or delete "
            "it if nothing of the run is needed.",
        )


def check_version(files: WorkspaceFiles, run: RunSummary) -> None:
    """Raise `UnsafeWorkspace` when a later version of kart has written a run's file."""
    version = run.header.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise UnsafeWorkspace(
            files.workspace,
            f"cannot tell which tasks run {run.run.id} uses, because a later version of kart wrote its file. Use that "
            "version.",
        )


def check_damage(files: WorkspaceFiles, run: RunSummary) -> None:
    """Raise `UnsafeWorkspace` when lines of a run's file are gone, which may have said what a task has yielded.

    A task that is complete does not yield again: the file of an old run may be the only one that says what it needs.
    """
    if run.damage and run.started is not None:
        raise _damaged(files, run.run.id, run.damage, run.run.files[0].key)


def _damaged(files: WorkspaceFiles, run_id: str, damage: str, key: str) -> UnsafeWorkspace:
    return UnsafeWorkspace(
        files.workspace,
        f"cannot tell which tasks run {run_id} uses: {damage}. Delete {files.url(key)} if nothing of the run is "
        "needed.",
    )


def check_references(files: WorkspaceFiles, run: Run, now: float) -> None:
    """Raise `UnsafeWorkspace` when it is not known which tasks a retained run uses."""
    check_readable(files, run)
    if run.started is None:  # what it names stays, but nobody can say what it should name
        return
    if run.cut:
        raise _damaged(files, run.id, run.cut, run.files[0].key)
    if run.has_references or run.end is not None or is_process_alive(run.header) is False:
        return
    if max(run.written, run.started) > now - DAY or is_process_alive(run.header):
        raise UnsafeWorkspace(
            files.workspace,
            f"run {run.id} may still be active and has not recorded its tasks. Retry when it has finished, or in 24 "
            "hours if it was killed.",
        )


def own_part(run_id: str) -> str:
    """Return the random part of a run's id: the time in the name of its file may have been corrected since."""
    return run_id[-8:]


def missing_runs(runs: Sequence[RunSummary]) -> dict[str, str]:
    """Return the runs whose files are gone, also those that were deleted on purpose, with what says so.

    Each run names those that it found before it. A run whose file lacks a part counts, too.
    """
    known = {own_part(run.run.id) for run in runs}
    missing: dict[str, str] = {}
    for run in runs:
        before = run.header.get("previous")
        for name in before if isinstance(before, list) else ():
            if isinstance(name, str) and own_part(name) not in known:
                missing[name] = f"run {run.run.id} found it there"
        parts = sorted(filter(is_part_in_row, (part_number(stat.key) for stat in run.run.files)))
        if parts and parts != list(range(len(parts))):
            missing[run.run.id] = "it lacks a part"
    return missing


def check_missing(files: WorkspaceFiles, missing: Mapping[str, str]) -> None:
    """Raise `UnsafeWorkspace` when files of runs are gone: nobody knows what these used."""
    if not missing:
        return
    run, why = next(iter(missing.items()))
    more = f" (and those of {len(missing) - 1} other runs)" if len(missing) > 1 else ""
    raise UnsafeWorkspace(
        files.workspace,
        f"the file of run {run} is missing{more}: {why}. So it is not known what the run used. Restore "
        f"{files.url(files.key).rstrip('/')}/log/runs/{run}.jsonl, or pass --ignore-missing-runs if nothing that only "
        "it used is needed.",
    )
