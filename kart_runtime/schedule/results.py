"""What came out of a run, in its last lines: metrics and outputs of the tasks that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.history.tables import number_text
from kart_runtime.storage.folder_target import FolderTarget
from kart_runtime.storage.target import path_of
from kart_runtime.task.identity import dependencies
from kart_runtime.task.nested import iter_flat

Metrics = Mapping[str, float | str]
Label = Callable[[luigi.Task], str]

_MOST_OUTPUTS = 20
"""Outputs to list; of more, which a range of dates has, only the first and the last."""

_MOST_MEASURED = 10
"""Tasks whose metrics are listed; of more, only the first and the last."""

_MOST_METRICS = 8
_MOST_ASKED = 200
"""Tasks that are asked for their metrics; no more is learned from a thousand."""


def asked_for(roots: Iterable[luigi.Task]) -> dict[luigi.Task, list[Any]]:
    """Return the tasks whose results were asked for, with their targets: of one without any, those that it requires."""
    found: dict[luigi.Task, list[Any]] = {}
    waiting, seen = list(roots)[::-1], set[luigi.Task]()
    while waiting:
        task = waiting.pop()
        if task in seen:
            continue
        seen.add(task)
        targets = list(iter_flat(task.output()))
        required = () if targets else dependencies(task)
        if required:
            waiting += required[::-1]
        else:
            found[task] = targets
    return found


def nearest_metrics(
    tasks: Iterable[luigi.Task], metrics_of: Callable[[luigi.Task], Metrics]
) -> dict[luigi.Task, Metrics]:
    """Return the metrics of some tasks; for one that has none, those of the nearest tasks upstream that have."""
    found: dict[luigi.Task, Metrics] = {}
    asked: dict[luigi.Task, Metrics] = {}
    for task in tasks:
        level, seen = [task], {task}
        while level:
            for each in level:
                if each not in asked and len(asked) < _MOST_ASKED:
                    asked[each] = metrics_of(each)
            measured = {each: asked[each] for each in level if asked.get(each)}
            found.update(measured)
            if measured or len(asked) >= _MOST_ASKED:
                break
            further = dict.fromkeys(upstream for each in level for upstream in dependencies(each))
            level = [each for each in further if each not in seen]
            seen.update(level)
    return found


def result_lines(roots: Sequence[luigi.Task], metrics_of: Callable[[luigi.Task], Metrics], label: Label) -> list[str]:
    """Return lines with what came out of a run that went well: metrics, then where the outputs are.

    Parameters
    ----------
    roots
        The tasks that were asked for.
    metrics_of
        Function that returns the metrics of a task, such as ``lambda task: summary.metrics.get(task, {})``.
    label
        Function that returns the name of a task, such as `Plan.labels`.
    """
    tasks = asked_for(roots)
    measured = nearest_metrics(tasks, metrics_of)
    outputs = [(task, target) for task, targets in tasks.items() for target in targets]
    return [
        *(
            line if isinstance(line, str) else f"{label(line[0])}: {metrics_text(line[1])}"
            for line in _shortened(list(measured.items()), _MOST_MEASURED)
        ),
        *(
            line if isinstance(line, str) else f"{label(line[0])} -> {_relative(place_of(line[1]))}"
            for line in _shortened(outputs, _MOST_OUTPUTS)
        ),
    ]


def metrics_text(metrics: Metrics) -> str:
    """Return metrics on one line; of many, the first."""
    shown = [f"{name} {number_text(value)}" for name, value in list(metrics.items())[:_MOST_METRICS]]
    more = len(metrics) - len(shown)
    return ", ".join(shown) + (f", ... and {more} more" if more else "")


def place_of(target: Any) -> str:
    """Return the path or url to print for a target: of a folder, that of its files."""
    return target.place() if isinstance(target, FolderTarget) else path_of(target)


def _shortened(lines: list[Any], most: int) -> list[Any]:
    """Return the first and the last of many."""
    return [lines[0], f"... and {len(lines) - 2} more", lines[-1]] if len(lines) > most else lines


def _relative(url: str) -> str:
    path = Path(url)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else url
