"""Differences between two runs: what they were asked for, code, versions, tasks, time and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kart_runtime.history.compare import is_higher_better, is_task_text
from kart_runtime.history.index import Index, Measured, RunRow
from kart_runtime.history.names import task_labels
from kart_runtime.history.runs import TaskName
from kart_runtime.history.tables import named_counts


class Change(NamedTuple):
    """Something that differs; None where one of the runs has nothing."""

    name: str
    before: Any
    after: Any


class TaskChange(NamedTuple):
    """Task of the first run, and the one that takes its place in the second; None if there is none."""

    before: Measured | None
    after: Measured | None
    changed: tuple[Change, ...]
    """Own parameters that differ; empty if only something upstream does."""
    is_first: bool = False
    """Whether neither its parameters nor anything upstream differ: a file from outside has another content, or so."""


@dataclass(frozen=True)
class RunDifference:
    """Differences between two runs.

    Attributes
    ----------
    before, after
        The runs.
    settings
        Values that were given, and settings.
    versions
        Libraries that both have imported.
    code
        Names of the classes whose code differs, and the commits.
    inputs
        Files from outside whose content differs.
    same
        Number of tasks in both.
    tasks
        Tasks that are not in both.
    metrics
        Class of a task, or its label, to its metrics that differ.
    """

    before: RunRow
    after: RunRow
    settings: tuple[Change, ...] = ()
    versions: tuple[Change, ...] = ()
    code: tuple[Change, ...] = ()
    inputs: tuple[Change, ...] = ()
    same: int = 0
    tasks: tuple[TaskChange, ...] = ()
    metrics: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each difference."""
        rows = [
            {"section": section, "task": "", **change._asdict()}
            for section, changes in (
                ("settings", self.settings),
                ("versions", self.versions),
                ("code", self.code),
                ("inputs", self.inputs),
            )
            for change in changes
        ]
        for task in self.tasks:
            known = task.after or task.before
            ids = [each.unique_id if each is not None else None for each in (task.before, task.after)]
            rows.append(
                {"section": "tasks", "task": known.task if known else "", "name": "", "before": ids[0], "after": ids[1]}
            )
            rows += [
                {"section": "params", "task": known.task if known else "", **each._asdict()} for each in task.changed
            ]
        rows.append(
            {
                "section": "time",
                "task": "",
                "name": "seconds",
                "before": self.before.seconds,
                "after": self.after.seconds,
            }
        )
        rows += [
            {"section": "metrics", "task": name, **change._asdict()}
            for name, changes in self.metrics.items()
            for change in changes
        ]
        return rows

    def as_json(self) -> dict[str, Any]:
        """Return the differences as values of JSON."""
        return {"before": self.before.id, "after": self.after.id, "same_tasks": self.same, "differences": self.rows()}


def difference(index: Index, before: RunRow, after: RunRow) -> RunDifference:
    """Return the differences between two runs."""
    tasks = [index.run(run.id).tasks for run in (before, after)]
    ids = [{task.unique_id for task in each} for each in tasks]
    every = {name.unique_id: name for each in tasks for name in each}
    known = index.measured_of(every)
    own = [index.measured_in(run.id) for run in (before, after)]

    def gone(which: int) -> list[Measured]:
        return [_measured(every[uid], known) for uid in sorted(ids[which] - ids[1 - which])]

    pairs, inputs = _with_first(index, _pairs(gone(0), gone(1)))
    same = [
        TaskChange(_measured(every[uid], known | own[0]), _measured(every[uid], known | own[1]), ())
        for uid in ids[0] & ids[1]
    ]
    return RunDifference(
        before,
        after,
        _changes(_asked(before), _asked(after)),
        tuple(change for change in _changes(_versions(before), _versions(after)) if None not in change),
        _code(index, before, after),
        inputs,
        len(ids[0] & ids[1]),
        tuple(pairs),
        _metrics(index, [*same, *pairs]),
    )


def _measured(name: TaskName, known: Mapping[str, Measured]) -> Measured:
    return known.get(name.unique_id) or Measured(name.unique_id, name.module, name.task, "", "", {}, {})


def _asked(run: RunRow) -> dict[str, Any]:
    """Return what a run was asked for: values, settings, environment and tasks, by short names."""
    values = {".".join(key.split(".")[-2:]): text for key, text in {**run.settings, **run.overrides}.items()}
    return {
        "env": run.env or None,
        "workspace": run.header.get("workspace"),
        "tasks": " ".join(named_counts(run.root_names)),
        **values,
    }


def _versions(run: RunRow) -> dict[str, Any]:
    """Return the versions of libraries: those at the start, and those that were imported later."""
    versions: dict[str, Any] = {}
    for part in (run.header, run.end or {}):
        found = part.get("versions")
        versions.update(found if isinstance(found, dict) else {})
    return versions


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = dict.fromkeys([*before, *after])
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _code(index: Index, before: RunRow, after: RunRow) -> tuple[Change, ...]:
    """Return the commits if both are known and differ, and the classes that both ran whose code differs."""
    commits = [_commit(run) for run in (before, after)]
    changes = [Change("git", *commits)] if commits[0] != commits[1] and None not in commits else []
    codes = [index.codes(run.id) for run in (before, after)]
    changes += [
        Change(name, codes[0][name], code) for name, code in codes[1].items() if codes[0].get(name, code) != code
    ]
    return tuple(changes)


def _commit(run: RunRow) -> str | None:
    commit = run.git.get("commit")
    return f"{str(commit)[:7]}{' (changed files)' if run.git.get('dirty') else ''}" if commit else None


def _pairs(before: Sequence[Measured], after: Sequence[Measured]) -> list[TaskChange]:
    """Return tasks of a class side by side, those with the fewest different parameters first."""
    left, right = list(before), list(after)
    options = sorted(
        ((len(_own(a, b)), a.task, i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a.task == b.task)
        if len(left) * len(right) < _MOST_PAIRS
        else (
            (0, a.task, i, j) for i, a in enumerate(left) for j, b in enumerate(right[i : i + 1], i) if a.task == b.task
        ),
    )
    used: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for _, _, i, j in options:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            pairs.append(TaskChange(left[i], right[j], _own(left[i], right[j])))
    pairs += [TaskChange(each, None, ()) for i, each in enumerate(left) if i not in used[0]]
    pairs += [TaskChange(None, each, ()) for j, each in enumerate(right) if j not in used[1]]
    return pairs


_MOST_PAIRS = 1_000_000
"""Pairs of tasks to compare; beyond that they are taken in order."""


def _with_first(index: Index, pairs: Sequence[TaskChange]) -> tuple[list[TaskChange], tuple[Change, ...]]:
    """Mark the tasks that all others follow though their parameters are the same; return also the files that differ."""
    new = {each.after.unique_id for each in pairs if each.after}
    upstream = index.upstream_of(new)
    first = {uid for uid in new if uid in upstream and new.isdisjoint(upstream[uid])}
    marked = [
        each._replace(is_first=bool(each.before and each.after and each.after.unique_id in first and not each.changed))
        for each in pairs
    ]
    first = {each.after.unique_id for each in marked if each.after and each.is_first}
    return marked, _inputs(index, marked, {uid for uid in new if uid in first or first & set(upstream.get(uid, ()))})


def _inputs(index: Index, pairs: Sequence[TaskChange], users: set[str]) -> tuple[Change, ...]:
    """Return the files from outside that tasks have loaded, and that had another content then."""
    loaded = [(each.before.unique_id, each.after.unique_id) for each in pairs if each.before and each.after]
    loaded = [pair for pair in loaded if pair[1] in users]
    records = index.newest_of(uid for pair in loaded for uid in pair)
    found = {
        path: Change(path, before, after)
        for pair in loaded
        if pair[0] in records and pair[1] in records
        for path, after in records[pair[1]].inputs.items()
        if (before := records[pair[0]].inputs.get(path, after)) != after
    }
    return tuple(found[path] for path in sorted(found))


def _own(before: Measured, after: Measured) -> tuple[Change, ...]:
    return _changes(_plain_params(before), _plain_params(after))


def _plain_params(measured: Measured) -> dict[str, str]:
    return {name: text for name, text in measured.params.items() if not is_task_text(text)}


def _metrics(index: Index, tasks: Iterable[TaskChange]) -> dict[str, tuple[Change, ...]]:
    """Return the metrics that differ, by class, or by class and parameters if there are several of one."""
    found = [
        (task.after, changes)
        for task in tasks
        if task.before and task.after and (changes := _changes(task.before.metrics, task.after.metrics))
    ]
    names = task_labels(index, [after for after, _ in found])
    return {name: changes for name, (_, changes) in sorted(zip(names, found, strict=True), key=lambda each: each[0])}


def relative_change(change: Change) -> str:
    """Return how much a metric has changed: ` (+0.3 %, better)`."""
    try:
        before, after = float(change.before), float(change.after)
    except (TypeError, ValueError):
        return ""
    if not before or before in (float("inf"), float("-inf")) or not abs(after - before) < float("inf"):
        return ""
    percent = (after - before) / abs(before) * 100
    word = "better" if (after > before) == is_higher_better(change.name) else "worse"
    return f" ({percent:+.1f} %, {word})"
