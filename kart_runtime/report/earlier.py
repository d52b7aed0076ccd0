"""What came before a run: the run before, the nearest earlier run of each task, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from kart_runtime.history.runs import Run, RunRecord
from kart_runtime.report.data import Contents
from kart_runtime.report.texts import seconds_text

_MOST_TASKS = 2_000
"""Tasks to look up earlier runs for; more of them make a report slow, and nobody opens them all."""

_MOST_CANDIDATES, _MOST_COMPARED = 1_000, 50

Candidates = Callable[[str, int], Sequence[RunRecord]]
"""From the name of a class and a number to the newest record of that many of its tasks that are done, newest first."""


class Nearest(NamedTuple):
    """Nearest earlier run of a task: the record, and the parameters that differ, as (name, before, now)."""

    record: RunRecord
    differences: list[tuple[str, str, str]]


def nearest_runs(contents: Contents, candidates: Candidates) -> dict[int, Nearest]:
    """Return the nearest earlier run of each task that ran: with the fewest parameters that differ, then the newest."""
    by_class: dict[tuple[str, str], list[RunRecord]] = {}
    found: dict[int, Nearest] = {}
    own = Counter(task.name.task for task in contents.tasks)  # they are the newest of their class
    began = min((record.started for record in contents.run.records if record.started), default="")
    for number, task in enumerate(contents.tasks):
        if not task.attempts or task.record is None:
            continue
        if len(found) >= _MOST_TASKS:
            break
        key = (task.name.task, task.name.module)
        if key not in by_class:
            by_class[key] = [
                record
                for record in candidates(task.name.task, min(own[task.name.task] + 200, _MOST_CANDIDATES))
                if record.run_id != contents.run.id and record.started < began and record.module == task.name.module
            ][:_MOST_COMPARED]
        if by_class[key]:
            found[number] = _nearest(task.record, by_class[key])
    return found


def _nearest(record: RunRecord, earlier: Iterable[RunRecord]) -> Nearest:
    compared = [Nearest(each, _differences(each.params, record.params)) for each in earlier]
    return min(compared, key=lambda each: (each.record.unique_id != record.unique_id, len(each.differences)))


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys((*now, *before))
    return [
        (name, before.get(name, "(none)"), now.get(name, "(none)"))
        for name in names
        if before.get(name) != now.get(name)
    ]


def run_differences(before: Run, run: Run) -> dict[str, list[str]]:
    """Return what differs between two runs: a line for each difference, by kind."""
    old, new = _facts(before), _facts(run)
    found = {name: _changes(old[name], new[name]) for name in new}
    shared = old["versions"].keys() & new["versions"].keys()  # a run that did less imports less
    found["versions"] = [
        line for name in sorted(shared) for line in _changes(*({name: each["versions"][name]} for each in (old, new)))
    ]
    classes = _changed_classes(before, run)
    seconds = [(each.end or {}).get("seconds") for each in (before, run)]
    if all(isinstance(each, int | float) for each in seconds):
        found["time"] = [" → ".join(seconds_text(float(each)) for each in seconds if each is not None)]
    found["tasks"] = classes
    found["metrics"] = _changes(_metrics(before), _metrics(run))
    return {
        name: lines[:12] + [f"… {len(lines) - 12} more"] * (len(lines) > 12) for name, lines in found.items() if lines
    }


def _facts(run: Run) -> dict[str, Mapping[str, object]]:
    header, end = run.header, run.end or {}
    git = end.get("git") or header.get("git") or {}
    commit = f"{str(git.get('commit', ''))[:12]}{' with changes' if git.get('dirty') else ''}" if git else ""
    return {
        "overrides": _mapping(header.get("overrides")),
        "settings": _mapping(header.get("settings")),
        "environment": {"": header.get("env", "")},
        "host": {"": header.get("host", "")},
        "git": {"": commit},
        "versions": {**_mapping(header.get("versions")), **_mapping(end.get("versions"))},
    }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _changes(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    lines = []
    for name in dict.fromkeys((*now, *before)):
        old, new = before.get(name, ""), now.get(name, "")
        if old != new:
            lines.append(f"{name} {_shown(old)} → {_shown(new)}".strip())
    return lines


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value) if value != "" else "(none)"


def _changed_classes(before: Run, run: Run) -> list[str]:
    """Return a line for each class of which other tasks are used."""
    old, new = (Counter({(name.module, name.task): 0 for name in each.tasks}) for each in (before, run))
    for counter, names in ((old, before.tasks - run.tasks), (new, run.tasks - before.tasks)):
        counter.update((name.module, name.task) for name in names)
    lines = []
    for key in dict.fromkeys((*sorted(new), *sorted(old))):
        gone, added = old.get(key, 0), new.get(key, 0)
        if added and added == gone:
            lines.append(f"{key[1]}: {added} replaced")
        elif added or gone:
            parts = [f"{added} new" if added else "", f"{gone} no longer used" if gone else ""]
            lines.append(f"{key[1]}: {', '.join(filter(None, parts))}")
    return lines


def _metrics(run: Run) -> dict[str, object]:
    """Return the metrics of classes that ran one task only: those can be told apart."""
    counts = Counter((record.module, record.task) for record in run.records if record.metrics)
    return {
        f"{record.task} {name}": value
        for record in run.records
        if counts[record.module, record.task] == 1
        for name, value in record.metrics.items()
    }
