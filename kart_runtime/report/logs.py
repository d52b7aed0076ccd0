"""Log records and steps of metrics of a run's tasks, as far as they fit into a report."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.runs import RunRecord
from kart_runtime.report.data import FAILED, Contents
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import is_remote

_MOST_FILES = 200
"""Files to read of each kind."""
_MOST_LINES, _MOST_TRACE = 8_000, 16_000
"""Characters of a log, and of a trace."""
_MOST_POINTS = 200
"""Points of a chart."""
_SERIES_BYTES = 2_000_000
"""Bytes of the longest file of steps to read."""

_Item = TypeVar("_Item")


def text_budget(contents: Contents) -> int:
    """Return how many compressed bytes logs and traces may take: what a report may grow by, less its columns."""
    return 3_000 + 30 * len(contents.tasks)


def logs_and_traces(contents: Contents, workspace: str) -> tuple[dict[int, str], dict[int, str], int]:
    """Return the logs and the traces by task, and the number of logs that did not fit; failed and slow tasks first."""
    left = text_budget(contents)
    numbers = _first_failed_and_slow(contents)
    traces: dict[int, str] = {}
    for number in numbers:
        trace = _record(contents, number).trace[-_MOST_TRACE:]
        if trace and (size := _compressed(trace)) <= left:
            traces[number] = trace
            left -= size
    logged = [number for number in numbers if _record(contents, number).logged]
    logs: dict[int, str] = {}
    for number, text in zip(logged, _read(workspace, "lines", contents, logged[:_MOST_FILES]), strict=False):
        shown = text if len(text) <= _MOST_LINES else f"… {len(text) - _MOST_LINES:,} characters\n{text[-_MOST_LINES:]}"
        if shown and (size := _compressed(shown)) <= left:
            logs[number] = shown
            left -= size
    return logs, traces, len(logged) - len(logs)


def series(contents: Contents, workspace: str) -> dict[int, dict[str, list[list[Any]]]]:
    """Return the metrics by step, of those tasks that have some: name to (step, value)."""
    numbers = [number for number in _first_failed_and_slow(contents) if _record(contents, number).series]
    texts = _read(workspace, "series", contents, numbers[:_MOST_FILES], _SERIES_BYTES)
    return {number: _points(text) for number, text in zip(numbers, texts, strict=False)}


def _points(text: str) -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for line in text.splitlines():
        try:
            name, step, value, *_ = json.loads(line)
            found.setdefault(str(name), []).append([int(step), value])
        except (ValueError, TypeError):  # a cut line
            continue
    return {name: _thinned(points) for name, points in found.items()}


def _thinned(points: Sequence[_Item]) -> list[_Item]:
    """Return at most 200 of the points, the last one among them."""
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:step], points[-1]] if step > 1 else list(points)


def _record(contents: Contents, number: int) -> RunRecord:
    record = contents.tasks[number].record
    assert record is not None  # of `_first_failed_and_slow`
    return record


def _first_failed_and_slow(contents: Contents) -> list[int]:
    ran = [number for number, task in enumerate(contents.tasks) if task.attempts and task.record is not None]
    return sorted(ran, key=lambda each: (contents.tasks[each].state != FAILED, -_record(contents, each).seconds))


def _read(workspace: str, kind: str, contents: Contents, numbers: Iterable[int], most: int = 10**6) -> Iterable[str]:
    """Return the log files of tasks as text, "" for one that cannot be read."""
    names = [contents.tasks[number].name for number in numbers]
    urls = [LogFiles(workspace, name.task, name.unique_id).url(kind) for name in names]
    reading: Callable[[str], str] = lambda url: _text(url, most)  # noqa: E731
    if not urls or not is_remote(store_for(urls[0])[0]):
        return map(reading, urls)
    with ThreadPoolExecutor(16, "kart-logs") as threads:
        return list(threads.map(reading, urls))


def _text(url: str, most: int) -> str:
    store, key = store_for(url)
    try:
        with store.open(key) as file:
            return file.read(most).decode(errors="replace")  # type: ignore[no-any-return]
    except OSError:
        return ""


def _compressed(text: str) -> int:
    return len(zlib.compress(text.encode(errors="replace"), 1))
