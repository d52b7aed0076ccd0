"""Reader of the files of earlier runs, which `ledger` wrote."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

from kart_runtime.history.html_tables import html_table
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.staging import OutputRecord
from kart_runtime.storage.stores import Stat, Store, is_remote
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

_PARALLEL_REQUESTS = 16
"""Number of files of runs to read from a remote store in parallel."""

_SUFFIX = re.compile(r"(?:\.part(\d+))?\.jsonl$")
_ZEROS = "a part of its file is full of zeros"
_RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-\w+")


class TaskName(NamedTuple):
    """Module and name of a task's class, and the task's id, as the files of runs have them."""

    module: str
    task: str
    unique_id: str


@dataclass(frozen=True)
class RunRecord:
    """Record of one attempt at one task.

    Attributes
    ----------
    task, module, unique_id
        Class name, module and id of the task.
    state
        End of the attempt: "done", "failed", "complete" (another process ran the task first).
    started
        Start time, ISO 8601 in UTC.
    seconds
        Duration.
    seed
        Random seed of the attempt.
    params
        Significant parameters as text, secrets masked.
    outputs
        Stored files.
    log_files
        Kinds of the written log files, of `KEPT_FILES`; `LogFiles` has their urls.
    error
        Message of the error, or "".
    reason
        Reason for running the task.
    run_id
        The run that the attempt belongs to.
    inputs
        Loaded files, with the checksums of what was loaded; empty in records of earlier versions.
    peak_mb
        The most memory that the attempt's process held, in megabytes; None outside of worker processes.
    ended
        End time, ISO 8601 in UTC.
    waited
        Seconds from when all tasks upstream were complete to the start.
    cpu
        Seconds of processor time: of the process, or of the thread where several tasks run in one process.
    worker
        Where it ran: ``host:process id:thread``.
    requires
        Unique ids of the tasks directly upstream, as far as the run recorded them.
    code, origin
        Fingerprint of the code, and what else tells the class from another one of its name, such as its file.
    metrics
        Name to last value of what was measured; "nan", "inf" and "-inf" are texts.
    series
        Names of the metrics that have a value for each step.
    logged
        Number of log records of the attempt.
    trace
        End of the traceback of a failure.
    timeout
        Seconds that the attempt might take, if it was ended because it took longer.
    """

    task: str
    module: str
    unique_id: str
    state: str
    started: str
    seconds: float
    seed: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputRecord, ...] = ()
    log_files: tuple[str, ...] = ()
    error: str = ""
    reason: str = ""
    run_id: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    peak_mb: float | None = None
    ended: str = ""
    waited: float = 0.0
    cpu: float | None = None
    worker: str = ""
    requires: tuple[str, ...] = ()
    code: str = ""
    origin: str = ""
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    series: tuple[str, ...] = ()
    logged: int = 0
    trace: str = ""
    timeout: float | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunRecord:
        """Return the record of a decoded line, without fields of later versions; raise TypeError if it is none."""
        fields = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        for name, types in _TYPES.items():
            if name in fields and not isinstance(fields[name], types):
                del fields[name]  # foreign
        if not isinstance(fields.get("seconds"), int | float):
            raise TypeError("no record of an attempt")
        for name in _NUMBERS & fields.keys():
            if _is_no_number(fields[name]):
                fields[name] = 0.0 if name == "seconds" else cls.__dataclass_fields__[name].default
        fields["outputs"] = tuple(map(_stored, fields.get("outputs", ())))
        fields["inputs"] = dict(fields.get("inputs", {}))
        fields["metrics"] = dict(fields.get("metrics", {}))
        for name in ("log_files", "requires", "series"):
            fields[name] = tuple(fields.get(name, ()))
        record = cls(**fields)
        texts = (record.task, record.module, record.unique_id, *record.log_files)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("no record of an attempt")
        return record


_TEXTS = ("state", "started", "ended", "worker", "error", "reason", "run_id", "code", "origin", "trace")
MOST_SECONDS = 1e12
"""More than that is no duration; nor is what is no number."""

_NUMBERS = frozenset({"seconds", "waited", "cpu", "peak_mb", "timeout", "logged"})
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("cpu", "peak_mb", "seed", "timeout"), (int, float, type(None))),
    **dict.fromkeys(("waited", "logged"), (int, float)),
    **dict.fromkeys(("params", "inputs", "metrics"), dict),
}
"""Types of the fields that may be missing."""


def _is_no_number(value: Any) -> bool:
    """Return whether a value is a number that cannot be one of seconds, or of anything else that is measured."""
    return isinstance(value, int | float) and not abs(value) < MOST_SECONDS


def _stored(values: Mapping[str, Any]) -> OutputRecord:
    checksum = values.get("checksum", "")
    if not checksum and values.get("sha256"):  # what versions before 0.1.0 wrote
        checksum = f"sha256:{values['sha256']}"
    stored = OutputRecord(values.get("url", ""), values.get("size", 0), checksum, values.get("version", ""))
    if not isinstance(stored.url, str):
        raise TypeError("no record of an output")
    return stored


class RunGraph(NamedTuple):
    """Tasks of a run, and which require which.

    Attributes
    ----------
    tasks
        The tasks, in the order of the file; those that a `run()` yielded are at the end.
    requires
        By index: the indexes of the tasks directly upstream, or the unique ids of those in another workspace.
    verdicts
        By index: "r" runs, "m" runs if the results upstream change, "s" complete, "n" not needed, "x" an external
        input that is missing.
    """

    tasks: tuple[TaskName, ...]
    requires: tuple[tuple[int | str, ...], ...]
    verdicts: str


class RunFiles(NamedTuple):
    """Id of a run, and its files; on a remote store a long run has several."""

    id: str
    files: tuple[Stat, ...]


@dataclass(frozen=True)
class Run:
    """Contents of the files of one run.

    Attributes
    ----------
    id, files
        As in `RunFiles`.
    started
        Start time in seconds since the epoch; None if the file is not named like that of a run.
    written
        Time of the last write to its files, in seconds since the epoch.
    records
        Its attempts. Cut and foreign lines are ignored.
    tasks
        The tasks that it uses: those of its attempts, and all others of its graphs.
    has_references
        Whether the tasks of its graphs are recorded. They are not if it was killed early, or had an early version.
    unread
        Reason why a file could not be read, or "".
    cut
        Other damage, because of which the run may use more tasks; or "".
    damage
        What is gone of lines that were there; or "". A last line may be cut because the run was killed.
    header
        What was asked for, where, and with which versions; empty if it cannot be read.
    end
        How the run ended; None while it goes on, or if it died.
    graph
        The tasks with what they require; None if nothing was to run, or if it cannot be read.
    uses
        Unique id of a task to those of the complete tasks that its `run()` has yielded.
    definitions
        Fingerprint of code to the hash of each definition by label, of those that were new in the workspace.
    """

    id: str
    files: tuple[Stat, ...]
    started: float | None
    written: float
    records: tuple[RunRecord, ...]
    tasks: frozenset[TaskName]
    has_references: bool
    unread: str = ""
    cut: str = ""
    damage: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] | None = None
    graph: RunGraph | None = None
    definitions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    uses: Mapping[str, Collection[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self._state()}, {len(self.records):,} attempts>"

    def _repr_html_(self) -> str:
        rows = ((record.task, record.unique_id[:8], record.state, f"{record.seconds:.1f} s") for record in self.records)
        return html_table(("task", "id", "state", "took"), rows, title=f"Run {self.id}: {self._state()}")

    def _state(self) -> str:
        return str(self.end.get("state", "ended")) if self.end is not None else "without an end"


def read_records(workspace: str) -> Iterator[RunRecord]:
    """Yield the records of a workspace, oldest run first, without cut and foreign lines and unreadable files."""
    for run in read_runs(workspace, list_runs(workspace)):
        yield from run.records


def list_runs(workspace: str) -> list[RunFiles]:
    """Return the runs of a workspace, oldest first."""
    files: dict[str, list[Stat]] = {}
    for stat in list_files(*runs_folder(workspace)):
        name = stat.key[stat.key.rfind("/") + 1 :]
        files.setdefault(run_of_file(name), []).append(stat)
    return [RunFiles(run, tuple(stats)) for run, stats in sorted(files.items())]


def run_of_file(name: str) -> str:
    """Return the id of the run that a file belongs to."""
    return _SUFFIX.sub("", name)


def part_number(name: str) -> int:
    """Return the number of a part of a run's file; the first one has none in its name."""
    match = _SUFFIX.search(name)
    return int(match[1] or 0) if match else 0


def list_files(store: Store, folder: str, listed: Iterable[Stat] | None = None) -> list[Stat]:
    """Return the files of the runs in a folder, oldest run first; `listed` is what is in it, if that is known."""
    files = listed
    if files is None:
        files = _local_files(folder) if isinstance(store, LocalStore) else store.list(folder)
    return sorted(stat for stat in files if _SUFFIX.search(stat.key) and stat.key.rfind("/") == len(folder))


def read_runs(workspace: str, listed: Sequence[RunFiles]) -> Iterator[Run]:
    """Yield the listed runs of a workspace; a file that cannot be read gives a warning, and is `unread` of its run."""
    store, _ = runs_folder(workspace)
    if not is_remote(store):
        for files in listed:
            yield _read_run(store, files)
        return
    with ThreadPoolExecutor(_PARALLEL_REQUESTS, "kart-runs") as threads:
        for start in range(0, len(listed), 4 * _PARALLEL_REQUESTS):  # a long history does not fit into memory
            yield from threads.map(
                lambda files: _read_run(store, files), listed[start : start + 4 * _PARALLEL_REQUESTS]
            )


def runs_folder(workspace: str) -> tuple[Any, str]:
    """Return the store of a workspace, and the key of its folder of runs."""
    store, key = store_for(Workspace(workspace).runs)
    return store, str(Path(key)) if isinstance(store, LocalStore) else key


def _local_files(folder: str) -> Iterator[Stat]:
    for path in sorted(Path(folder).glob("*.jsonl")):
        try:
            status = path.stat()
            if not S_ISDIR(status.st_mode):  # no run's, whatever its name
                yield Stat(str(path), status.st_size, status.st_mtime)
        except OSError:  # reading it gives the reason
            yield Stat(str(path), 0, 0.0)


def _read_run(store: Store, run: RunFiles) -> Run:
    lines, unread = RunLines(), ""
    for stat in run.files:
        try:
            lines.add(text_of(store, stat.key))
        except OSError as error:
            logger.warning("Ignoring a run's file that cannot be read: %s", error)
            unread = str(error)
    graph = lines.graph()
    found = [record for line in lines.attempts for record in records_in(line)]
    records = tuple(found if graph is None else _with_requires(found, graph))
    tasks = lines.tasks.union(TaskName(record.module, record.task, record.unique_id) for record in records)
    written = max(stat.modified for stat in run.files)
    return Run(
        run.id,
        run.files,
        started_at(run.id),
        written,
        records,
        tasks,
        lines.has_references,
        unread,
        lines.cut,
        lines.damage or lost_lines(lines.count, lines.end),
        lines.header,
        lines.end,
        graph,
        lines.definitions,
        lines.uses,
    )


def _with_requires(records: Iterable[RunRecord], graph: RunGraph) -> Iterator[RunRecord]:
    """Yield the records with the unique ids of the tasks directly upstream."""
    tasks = graph.tasks
    numbers = {task: number for number, task in enumerate(tasks)}
    for record in records:
        number = numbers.get(TaskName(record.module, record.task, record.unique_id))
        upstream = graph.requires[number] if number is not None else ()
        yield replace(record, requires=tuple(_id_of(each, tasks) for each in upstream)) if upstream else record


def _id_of(upstream: int | str, tasks: Sequence[TaskName]) -> str:
    return upstream if isinstance(upstream, str) else tasks[upstream].unique_id


def text_of(store: Store, key: str) -> str:
    """Return the text of a run's file."""
    with store.open(key) as file:
        return file.read().decode(errors="replace")


def started_at(run_id: str) -> float | None:
    """Return when a run started, in seconds since the epoch; None if the id is not that of a run."""
    match = _RUN_ID.fullmatch(run_id)
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() if match else None
    except ValueError:
        return None


class RunLines:
    """Contents of the lines of one run, added file by file; `names` are the tasks of the lines before."""

    def __init__(self, names: Sequence[TaskName] = ()) -> None:
        self.attempts: list[str] = []
        """Lines of attempts, which may be cut: the line of all tasks names their tasks, too."""
        self.yielded: set[int] = set()
        """Numbers of the tasks of which it is known what their `run()` yielded."""
        self.tasks: frozenset[TaskName] = frozenset()
        self.has_references = False
        self.count = 0
        """Lines, but for those that only say that the run goes on."""
        self.cut = ""
        self.damage = ""
        self.header: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.definitions: dict[str, dict[str, str]] = {}
        self.uses: dict[str, dict[str, None]] = {}
        """Unique id of a task to those of the complete tasks that its `run()` has yielded."""
        self._names: list[TaskName] = list(names)
        self._requires: list[tuple[int | str, ...]] = [()] * len(names)
        self._verdicts = " " * len(names)

    def add(self, text: str) -> None:
        """Add the lines of a file."""
        for line in text.splitlines():
            if line.startswith('{"beat":'):
                continue
            self.count += 1
            if line.startswith('{"task":'):
                self.attempts.append(line)
                continue
            values = _decoded(line)
            if values is not None:
                self._add_values(line, values)
                continue
            self.cut = f"a line of its file is cut: {line[:40]}" if line[:1] != "\0" else _ZEROS
            if line and not (text.endswith(line) or line.startswith('{"code":')):  # code names no task
                self.damage = self.cut
        if "\0" in text and "\0" in text[: text.rfind("\n") + 1]:  # in an attempt's line, others may be in the gap
            self.damage = self.damage or _ZEROS

    def _add_values(self, line: str, values: dict[str, Any]) -> None:
        if "tasks" in values:
            self._add_references(values)
        elif "unique_id" in values:
            self.attempts.append(line)
        elif "end" in values:
            self.end = {key: each for key, each in values.items() if not _is_no_number(each)}
        elif "run" in values and not self.header:
            self.header = values
        elif "code" in values and isinstance(values.get("definitions"), dict):
            self.definitions[str(values["code"])] = values["definitions"]

    def _add_references(self, values: Mapping[str, Any]) -> None:
        try:
            names = [
                TaskName(module, task, unique_id)
                for module, classes in values["tasks"].items()
                for task, ids in classes.items()
                for unique_id in ids
            ]
            self.tasks |= frozenset(names)
            self.has_references = True
        except (AttributeError, TypeError):
            self.cut = self.damage = "a line of its file that should name tasks does not"
            return
        requires, verdicts = values.get("requires"), values.get("verdicts", "")
        if not isinstance(verdicts, str) or not isinstance(requires, list | None):
            self.cut = self.damage = "a line of its file that should say what tasks require does not"
        elif requires is not None and len(requires) == len(names) == len(verdicts):
            self._names += names
            self._requires += [tuple(upstream) if isinstance(upstream, list) else () for upstream in requires]
            self._verdicts += verdicts
        uses = values.get("uses")
        for user, others in uses.items() if isinstance(uses, dict) else ():
            if isinstance(others, list):
                self.uses.setdefault(user, {}).update(dict.fromkeys(map(str, others)))
        yielded = values.get("yielded")
        for number, others in yielded.items() if isinstance(yielded, dict) else ():
            if number.isdecimal() and int(number) < len(self._requires) and isinstance(others, list):
                self.yielded.add(int(number))
                before = self._requires[int(number)]
                self._requires[int(number)] = (*before, *(each for each in others if each not in before))

    def graph(self) -> RunGraph | None:
        """Return the tasks with what they require, as far as that was recorded."""
        if not self._names:
            return None
        known = range(len(self._names))
        requires = [tuple(each for each in upstream if _is_known(each, known)) for upstream in self._requires]
        return RunGraph(tuple(self._names), tuple(requires), self._verdicts)


def lost_lines(count: int, end: Mapping[str, Any] | None) -> str:
    """Return that some of a run's lines are gone, of which `count` were read; "" if all are there, or nobody knows."""
    told = (end or {}).get("lines")
    return f"{told + 1 - count} of the lines of its file are gone" if type(told) is int and count <= told else ""


def _is_known(upstream: Any, known: range) -> bool:
    return isinstance(upstream, str) or (type(upstream) is int and upstream in known)


def _decoded(line: str) -> dict[str, Any] | None:
    """Return the values of a line, empty if it is not one of a run's; None if it cannot be decoded."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else {}


def _record(values: Mapping[str, Any]) -> Iterator[RunRecord]:
    try:
        yield RunRecord.from_json(values)
    except (AttributeError, KeyError, TypeError, ValueError):
        return


def record_in(line: str, run_id: str, requires: Sequence[str]) -> Iterator[RunRecord]:
    """Yield the record in a line of a run's file, unless it is something else, with its run and what it requires."""
    yield from _record({**(_decoded(line) or {}), "run_id": run_id, "requires": requires})


def records_in(text: str) -> Iterator[RunRecord]:
    """Yield the records in the text of a run's file, or in its end, without cut and foreign lines."""
    for line in text.splitlines():
        values = _decoded(line)
        if values and "unique_id" in values:
            yield from _record(values)
