"""Timeline of a run: its attempts as bars in a lane for each worker, and the critical path among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from kart_runtime.history.runs import RunRecord

_CLOCKS = 0.5
"""Seconds by which the clocks of two machines may differ."""


class Bar(NamedTuple):
    """An attempt at a task.

    Attributes
    ----------
    task
        Number of the task.
    lane
        Number of the lane.
    start, seconds, waited
        Seconds since the run began, seconds that it took, and seconds from ready to started.
    state
        How it ended, as in `RunRecord`.
    """

    task: int
    lane: int
    start: float
    seconds: float
    waited: float
    state: str

    @property
    def end(self) -> float:
        """Seconds since the run began."""
        return self.start + self.seconds


class Timeline(NamedTuple):
    """Bars by the time when they started, the names of the lanes, and seconds from the first start to the last end."""

    bars: list[Bar]
    lanes: list[str]
    seconds: float


def timeline(records: Sequence[RunRecord], numbers: Sequence[int], began: float | None) -> Timeline:
    """Return the timeline of attempts; `numbers` are those of their tasks, `began` when the run did, if known."""
    timed = [
        (start, record, number)
        for record, number in zip(records, numbers, strict=True)
        if (start := epoch(record.started)) is not None
    ]
    timed.sort(key=lambda each: (each[0], each[2]))
    first = timed[0][0] if timed else 0.0
    origin = first if began is None or not 0 <= first - began < 24 * 3600 else began
    lanes: dict[str, int] = {}
    free: list[float] = []
    bars = []
    for start, record, number in timed:
        seconds = max(float(record.seconds), 0.0)
        lane = _lane(record.worker, start, start + seconds, lanes, free)
        bars.append(Bar(number, lane, start - origin, seconds, max(float(record.waited), 0.0), record.state))
    return Timeline(bars, list(lanes), max((bar.end for bar in bars), default=0.0))


def _lane(worker: str, start: float, end: float, lanes: dict[str, int], free: list[float]) -> int:
    """Return the lane of a worker; of a record without one, the first lane in which nothing else runs."""
    if worker:
        return lanes.setdefault(worker, len(lanes))
    place = next((place for place, until in enumerate(free) if until <= start + 0.001), len(free))
    free[place : place + 1] = [end]
    return lanes.setdefault(f"lane {place + 1}", len(lanes))


def critical_path(bars: Sequence[Bar], requires: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the numbers of the bars on the critical path, first to last.

    From the bar that ended last, back to whatever ended last before it started: a task upstream, or the bar before it
    in its lane.
    """
    if not bars:
        return []
    of_task, before = _predecessors(bars)
    bar = max(range(len(bars)), key=lambda each: bars[each].end)
    path: list[int] = []
    seen: set[int] = set()
    while bar not in seen:
        seen.add(bar)
        path.append(bar)
        earlier = [of_task[up] for up in requires.get(bars[bar].task, ()) if up in of_task]
        previous = before[bar]
        if previous is not None:
            earlier.append(previous)
        limit = bars[bar].start + _CLOCKS
        earlier = [each for each in earlier if bars[each].end <= limit and each not in seen]
        if not earlier:
            break
        bar = max(earlier, key=lambda each: bars[each].end)
    return path[::-1]


def _predecessors(bars: Sequence[Bar]) -> tuple[dict[int, int], list[int | None]]:
    """Return the last bar of each task, and for each bar the one before it in its lane."""
    of_task: dict[int, int] = {}
    last: dict[int, int] = {}
    before: list[int | None] = []
    for number, bar in enumerate(bars):
        of_task[bar.task] = number
        before.append(last.get(bar.lane))
        last[bar.lane] = number
    return of_task, before


def epoch(started: object) -> float | None:
    """Return a time of a record in seconds since the epoch; None if it is none."""
    try:
        return datetime.fromisoformat(started).timestamp()  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None
