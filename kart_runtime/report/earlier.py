"""What came before a run: the run before, the nearest earlier run of each task, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kart_runtime.history.differences import Change, RunDifference, difference, relative_change
from kart_runtime.history.earlier import Earlier, earlier_of_class, plain_params
from kart_runtime.history.index import Index
from kart_runtime.history.runs import Run, RunRecord
from kart_runtime.report.data import Contents
from kart_runtime.report.texts import seconds_text

_MOST_TASKS = 2_000
"""Tasks to look up earlier runs for; more of them make a report slow, and nobody opens them all."""

_MOST_READ, _MOST_COMPARED = 1_000, 50
"""Attempts at tasks of a class to read, and earlier tasks to compare each task with."""

_MOST_IN_RUN = 4_000
"""Tasks of a run that is compared with the run before."""

_MOST_LINES = 12


class Nearest(NamedTuple):
    """Nearest earlier run of a task: the task as it was, and the parameters that differ, as (name, before, now)."""

    earlier: Earlier
    differences: list[tuple[str, str, str]]


def nearest_runs(contents: Contents, index: Index) -> dict[int, Nearest]:
    """Return the nearest earlier run of each task that ran: with the fewest parameters that differ, then the newest."""
    by_class: dict[tuple[str, str], list[Earlier]] = {}
    found: dict[int, Nearest] = {}
    own = Counter(task.name.task for task in contents.tasks)  # they are the newest of their class
    began = min((record.started for record in contents.run.records if record.started), default="")
    for number, task in enumerate(contents.tasks):
        if not task.attempts or task.record is None:
            continue
        if len(found) >= _MOST_TASKS:
            break
        name, module = task.name.task, task.name.module
        if (name, module) not in by_class:
            by_class[name, module] = [
                each
                for each in earlier_of_class(index, name, min(2 * own[name] + 200, _MOST_READ))
                if each.run_id != contents.run.id and each.started < began and each.module == module
            ][:_MOST_COMPARED]
        if by_class[name, module]:
            found[number] = _nearest(task.record, by_class[name, module])
    return found


def _nearest(record: RunRecord, earlier: Iterable[Earlier]) -> Nearest:
    params = plain_params(record.params)
    compared = [Nearest(each, _differences(each.plain, params)) for each in earlier]
    return min(compared, key=lambda each: (each.earlier.unique_id != record.unique_id, len(each.differences)))


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, before.get(name, "(none)"), now.get(name, "(none)"))
        for name in dict.fromkeys((*now, *before))
        if before.get(name) != now.get(name)
    ]


def before(index: Index, run: Run) -> tuple[str, dict[str, list[str]]]:
    """Return the id of the run before and what differs from it, as lines by kind; an empty id if there is none."""
    rows = index.runs()
    place = next((place for place, row in enumerate(rows) if row.id == run.id), len(rows))
    if place + 1 >= len(rows):
        return "", {}
    earlier, later = rows[place + 1], rows[place]
    if max(earlier.tasks, later.tasks) > _MOST_IN_RUN:
        return earlier.id, {"tasks": [f"too many to compare here; run: kart diff {earlier.id} {later.id}"]}
    return earlier.id, _lines(difference(index, earlier, later))


def _lines(found: RunDifference) -> dict[str, list[str]]:
    """Return differences as lines by kind, without those that are empty."""
    lines = {
        "settings": list(map(_line, found.settings)),
        "versions": list(map(_line, found.versions)),
        "code": [_line(change) if change.name == "git" else change.name for change in found.code],
        "tasks": _tasks(found),
        "time": [f"{seconds_text(found.before.seconds)} → {seconds_text(found.after.seconds)}"],
        "metrics": [
            f"{task} {_line(change)}{relative_change(change)}"
            for task, changes in found.metrics.items()
            for change in changes
        ],
    }
    return {kind: _shortened(own) for kind, own in lines.items() if own}


def _line(change: Change) -> str:
    return f"{change.name} {_shown(change.before)} → {_shown(change.after)}"


def _shown(value: object) -> str:
    return "(none)" if value is None or value == "" else f"{value:.6g}" if isinstance(value, float) else str(value)


def _shortened(lines: list[str]) -> list[str]:
    return [*lines[:_MOST_LINES], f"… {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else lines


def _tasks(found: RunDifference) -> list[str]:
    """Return a line for each class of which other tasks are used, with the parameters that differ."""
    replaced, gone, new = (Counter[str]() for _ in range(3))
    changes: dict[str, dict[str, None]] = {}
    for task in found.tasks:
        if task.before and task.after:
            replaced[task.after.task] += 1
            changes.setdefault(task.after.task, {}).update(dict.fromkeys(map(_line, task.changed)))
        elif task.after:
            new[task.after.task] += 1
        elif task.before:
            gone[task.before.task] += 1
    words = ((replaced, "replaced"), (new, "new"), (gone, "no longer used"))
    return [
        f"{name}: {', '.join(f'{count[name]} {word}' for count, word in words if count[name])}"
        + (f" ({', '.join(list(changes[name])[:3])})" if changes.get(name) else "")
        for name in sorted({*replaced, *gone, *new})
    ]
