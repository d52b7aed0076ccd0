"""Contents of a report: one run with its tasks, their states and edges, its timeline, and the results of a sweep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kart_runtime.history.index import Index
from kart_runtime.history.run_state import state_of
from kart_runtime.history.runs import Run, RunRecord, TaskName
from kart_runtime.report.critical import Timeline, critical_path, epoch, timeline

STATES = ("ran", "failed", "complete", "not started", "missing", "not needed", "pending")
"""States of a task; its number is its place here, and in the page."""

MARKS = ("✓", "✗", "=", "○", "?", "–", "…")
"""Marks of the states, for those who do not see colors."""

RAN, FAILED, COMPLETE, NOT_STARTED, MISSING, NOT_NEEDED, PENDING = range(len(STATES))


@dataclass(frozen=True)
class ReportTask:
    """A task of the run.

    Attributes
    ----------
    name
        Module, class and id.
    state
        A number of `STATES`.
    record
        Its last attempt in this run; of a task that did not run, its newest record; None if there is none.
    attempts
        Number of attempts in this run.
    """

    name: TaskName
    state: int
    record: RunRecord | None
    attempts: int


@dataclass(frozen=True)
class Contents:
    """What a report shows.

    Attributes
    ----------
    run, state
        The run, and its state: "done", "failed", "interrupted", "running", "died" or "died?".
    tasks, requires
        Its tasks, and by number the numbers of the tasks directly upstream.
    has_graph
        Whether edges are known.
    timeline, path
        Its attempts, and the numbers of those on the critical path.
    """

    run: Run
    state: str
    tasks: Sequence[ReportTask]
    requires: Sequence[tuple[int, ...]]
    has_graph: bool
    timeline: Timeline
    path: Sequence[int]

    def counts(self) -> dict[int, int]:
        """Return the number of tasks in each state that occurs."""
        return dict(sorted(Counter(task.state for task in self.tasks).items()))

    def seconds(self) -> float:
        """Return how long the run took: so far, if it has not ended."""
        seconds = (self.run.end or {}).get("seconds")
        return float(seconds) if isinstance(seconds, int | float) else self.timeline.seconds

    def path_seconds(self) -> float:
        """Return how long the attempts on the critical path took."""
        return sum(self.timeline.bars[bar].seconds for bar in self.path)


def contents(run: Run, index: Index) -> Contents:
    """Return what the report of a run shows; of tasks that it did not run, what the index knows from other runs."""
    names = _names(run)
    ran = {record.unique_id for record in run.records}
    newest = index.newest_of(name.unique_id for name in names if name.unique_id not in ran)
    newest = {unique_id: sane(record) for unique_id, record in newest.items()}
    numbers = {name: number for number, name in enumerate(names)}
    attempts: dict[int, list[RunRecord]] = defaultdict(list)
    of_record = []
    records = [sane(record) for record in run.records]
    for record in records:
        number = numbers[TaskName(record.module, record.task, record.unique_id)]
        of_record.append(number)
        attempts[number].append(record)
    recorded = len(run.graph.tasks) if run.graph is not None else 0
    requires = _requires(run, names, index.upstream_of(name.unique_id for name in names[recorded:]))
    state = run_state(run)
    tasks = []
    for number, name in enumerate(names):
        own = attempts.get(number, [])
        verdict = run.graph.verdicts[number] if run.graph is not None and number < len(run.graph.verdicts) else "s"
        last = own[-1] if own else newest.get(name.unique_id)
        tasks.append(ReportTask(name, _state(own, verdict, state), last, len(own)))
    bars = timeline(records, of_record, epoch(run.header.get("started")) or run.started)
    path = critical_path(bars.bars, dict(enumerate(requires)))
    return Contents(run, state, tasks, requires, any(requires), bars, path)


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("state", "started", "error", "reason", "run_id", "worker", "code", "trace"), str),
    **dict.fromkeys(("waited", "logged"), (int, float)),
    **dict.fromkeys(("cpu", "peak_mb", "seed"), (int, float, type(None))),
    "params": dict,
}
_DEFAULTS = RunRecord("", "", "", "", "", 0.0)


def sane(record: RunRecord) -> RunRecord:
    """Return a record without values of foreign types, which a damaged or foreign file may hold."""
    wrong = {name for name, types in _TYPES.items() if not isinstance(getattr(record, name), types)}
    if "params" not in wrong and any(type(text) is not str for text in record.params.values()):
        wrong.add("params")
    measured: Iterable[Any] = record.metrics.values()
    if any(not isinstance(value, int | float | str) for value in measured):
        wrong.add("metrics")
    if any(type(each.size) is not int or type(each.checksum) is not str for each in record.outputs):
        wrong.add("outputs")
    return replace(record, **{name: getattr(_DEFAULTS, name) for name in wrong}) if wrong else record


def mapping(value: object) -> Mapping[str, Any]:
    """Return a value that should be a mapping; an empty one if it is none."""
    return value if isinstance(value, Mapping) else {}


def run_state(run: Run, now: float | None = None) -> str:
    """Return how a run ended; "running", "died" or "died?" if that is not recorded."""
    if run.end is None and run.header.get("format") is None:  # before ends were recorded
        return "failed" if any(record.state == "failed" for record in run.records) else "done"
    return state_of(run.header, run.end, run.written, now)


def _names(run: Run) -> list[TaskName]:
    """Return the tasks of a run: those of its graph first, whose numbers are those of the file."""
    names: dict[TaskName, None] = dict.fromkeys(run.graph.tasks if run.graph is not None else ())
    if run.graph is not None and len(names) < len(run.graph.tasks):  # a damaged file
        return [*run.graph.tasks, *sorted(run.tasks.difference(names))]
    names.update(dict.fromkeys(sorted(run.tasks)))
    return list(names)


def _requires(run: Run, names: Sequence[TaskName], upstream: Mapping[str, Sequence[str]]) -> list[tuple[int, ...]]:
    """Return what each task requires, as recorded by this run or, by the same ids, by earlier ones."""
    by_id = {name.unique_id: number for number, name in enumerate(names)}
    recorded: Sequence[Iterable[int | str]] = run.graph.requires if run.graph is not None else ()
    requires = []
    for number, name in enumerate(names):
        found = recorded[number] if number < len(recorded) else upstream.get(name.unique_id, ())
        each = (by_id.get(one) if isinstance(one, str) else one for one in found)
        requires.append(tuple(dict.fromkeys(one for one in each if one is not None and one != number)))
    return requires


def _state(attempts: Sequence[RunRecord], verdict: str, run: str) -> int:
    if attempts:
        return {"failed": FAILED, "complete": COMPLETE}.get(attempts[-1].state, RAN)
    if verdict in "rm":
        if run == "running":
            return PENDING
        return COMPLETE if verdict == "m" and run == "done" else NOT_STARTED
    return {"n": NOT_NEEDED, "x": MISSING}.get(verdict, COMPLETE)


def variants(contents: Contents) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    """Return the keys of a sweep, the values of each variant, and the metrics of each; all empty without a sweep."""
    sweep = contents.run.header.get("sweep")
    if not isinstance(sweep, Mapping):
        return [], [], []
    keys, rows, roots = (sweep.get(name) for name in ("keys", "variants", "roots"))
    if not all(isinstance(each, list) for each in (keys, rows)):
        return [], [], []
    values = [[str(value) for value in row] if isinstance(row, list) else [str(row)] for row in rows or ()]
    closures = _closures(contents, roots if isinstance(roots, list) else [], len(values))
    shared = set.intersection(*closures) if len(closures) > 1 else set()
    metrics = [_metrics(contents, sorted(closure - shared)) for closure in closures]
    return [str(key) for key in keys or ()], values, metrics


def _closures(contents: Contents, roots: Sequence[Any], count: int) -> list[set[int]]:
    """Return the numbers of the tasks that each variant needs."""
    by_id = {task.name.unique_id: number for number, task in enumerate(contents.tasks)}
    closures = []
    for place in range(count):
        given = roots[place] if place < len(roots) else []
        ids = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        reached = {by_id[str(one)] for one in ids if str(one) in by_id}
        waiting = list(reached)
        while waiting:
            new = set(contents.requires[waiting.pop()]) - reached
            reached |= new
            waiting += new
        closures.append(reached)
    return closures


def _metrics(contents: Contents, numbers: Iterable[int]) -> dict[str, Any]:
    """Return the metrics of some tasks, with the class in front where two have one of a name."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for number in numbers:
        task = contents.tasks[number]
        for name, value in (task.record.metrics if task.record is not None else {}).items():
            found[name][task.name.task] = value
    return {
        name if len(by_class) == 1 else f"{cls} {name}": value
        for name, by_class in found.items()
        for cls, value in by_class.items()
    }
