"""Index of the history of a workspace: runs, attempts and what is upstream, without reading the files of all runs.

It is only a cache, a database in the user's cache folder: it may be deleted at any time, and is brought up to date when
it is opened.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from kart_runtime.history.html_tables import html_pairs
from kart_runtime.history.index_files import refresh
from kart_runtime.history.index_schema import delete_tables, index_path, is_damage, open_tables
from kart_runtime.history.run_state import state_of
from kart_runtime.history.runs import Run, RunFiles, RunRecord, read_runs, record_in, runs_folder
from kart_runtime.storage.stores import Stat

logger = logging.getLogger(__name__)

T = TypeVar("T")

_IS_RUN = """(tasks > 0 OR EXISTS (SELECT 1 FROM attempts a WHERE a.run = r.run AND a.state != 'accepted')
              OR (header != '{}' AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run = r.run)))"""
"""Condition for the rows of what ran something: `kart accept` has a file, too, and some files hold no run."""

_HAS_WORK = """(verdicts LIKE '%"r"%'
                OR EXISTS (SELECT 1 FROM attempts a WHERE a.run = r.run AND a.state IN ('done', 'failed')))"""
"""Condition for the rows of runs that did not find everything complete."""

_RUN_ROWS = """SELECT run, started, label, header, ended, tasks, verdicts, root_names, names,
               (SELECT max(written) FROM files f WHERE f.run = r.run) FROM runs r"""

_STATES = {"done": "ran", "failed": "failed", "complete": "complete"}
"""State of an attempt to the name of its count."""


@dataclass(frozen=True)
class RunRow:
    """One run, as a list of runs shows it.

    Attributes
    ----------
    id
        Id of the run.
    started
        Start time in seconds since the epoch; 0 if nothing says when.
    seconds
        Duration; of a run that goes on, until now; of one that died, up to the last write to its file.
    state
        "done", "failed", "interrupted", "running", "died" if its process has ended before it, or "died?" if this is not
        the machine of the process, and its file is not written any more.
    counts
        Numbers of tasks: `ran`, `failed`, `complete`, and of a run with an end also `not_needed`, `missing` and
        `not_started`.
    tasks
        Number of tasks that it uses.
    label, env, host
        As in its header.
    overrides, settings
        Full key to text of the values that were given.
    roots, root_names
        Unique ids and class names of the requested tasks.
    git
        `commit` and `dirty`; empty if they are not known.
    header, end
        As in `Run`.
    """

    id: str
    started: float
    seconds: float
    state: str
    counts: Mapping[str, int]
    tasks: int = 0
    label: str = ""
    env: str = ""
    host: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    root_names: tuple[str, ...] = ()
    git: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.items() if number)
        return f"<Run {self.id}: {self.state} in {self.seconds:.1f} s, {counts or 'nothing ran'}>"

    def _repr_html_(self) -> str:
        pairs = [
            ("state", self.state),
            ("took", f"{self.seconds:.1f} s"),
            *((name.replace("_", " "), number) for name, number in self.counts.items() if number),
            ("roots", ", ".join(self.root_names)),
            *((key, text) for key, text in self.overrides.items()),
            *((f"run.{key}", text) for key, text in self.settings.items()),
            ("label", self.label),
            ("git", f"{str(self.git.get('commit', ''))[:12]}{' (changed files)' if self.git.get('dirty') else ''}"),
        ]
        return html_pairs(f"Run {self.id}", [(name, value) for name, value in pairs if value != ""])


class Measured(NamedTuple):
    """Parameters and metrics of the newest attempt at a task.

    Attributes
    ----------
    unique_id, module, task, run_id, started, params, metrics
        As in `RunRecord`.
    """

    unique_id: str
    module: str
    task: str
    run_id: str
    started: str
    params: Mapping[str, str]
    metrics: Mapping[str, Any]


class _HasId(Protocol):
    @property
    def unique_id(self) -> str: ...


R = TypeVar("R", bound=_HasId)

_NEWEST = "ORDER BY a.started DESC, a.run DESC, a.id DESC"


class Index:
    """History of one workspace; use `open_index`, which brings it up to date."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self._path = index_path(workspace)
        self._changing = threading.RLock()
        self._connection = open_tables(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def refresh(self) -> None:
        """Read what runs have written since the last time."""

        def read() -> None:
            try:
                refresh(self._connection, self.workspace)
            except sqlite3.OperationalError as error:  # another process writes for long, or the disk is full
                if is_damage(error):
                    raise
                logger.warning("The index of the history may lack the newest runs: %s", error)

        self._safely(read)

    # -- runs --------------------------------------------------------------------------------------------------------

    def runs(
        self,
        limit: int | None = None,
        *,
        failed: bool = False,
        task: str | None = None,
        since: float | None = None,
        label: str | None = None,
    ) -> list[RunRow]:
        """Return the runs, newest first.

        Parameters
        ----------
        limit
            Number of runs. None: all.
        failed
            Only runs that did not end well.
        task
            Only runs that ran a task of this class.
        since
            Only runs that started at this time, in seconds since the epoch, or later.
        label
            Only runs with this label.
        """
        conditions: list[str] = [_IS_RUN]
        values: list[Any] = []
        if task is not None:
            conditions.append("r.run IN (SELECT run FROM attempts WHERE task = ? AND state IN ('done', 'failed'))")
            values.append(task)
        if label is not None:
            conditions.append("label = ?")
            values.append(label)
        if since is not None:
            conditions.append("started >= ?")
            values.append(since)
        query = f"{_RUN_ROWS} WHERE {' AND '.join(conditions)} ORDER BY started DESC, run DESC"
        if limit is not None and not failed:
            query += f" LIMIT {int(limit)}"
        now, rows = time.time(), []
        for row in self._query(query, values):
            run = self._run_row(row, now)
            if failed and run.state in {"done", "running"}:
                continue
            rows.append(run)
            if len(rows) == limit:
                break
        return rows

    def run_labels(self) -> dict[str, str]:
        """Return id and label of all runs, newest first."""
        return dict(self._query(f"SELECT run, label FROM runs r WHERE {_IS_RUN} ORDER BY started DESC, run DESC", ()))  # noqa: S608

    def runs_with_work(self, limit: int) -> list[str]:
        """Return the newest runs in which something ran or is to run, newest first."""
        query = f"SELECT run FROM runs r WHERE {_HAS_WORK} ORDER BY started DESC, run DESC LIMIT ?"  # noqa: S608
        return [run for (run,) in self._query(query, (limit,))]

    def _run_row(self, row: Sequence[Any], now: float) -> RunRow:
        run, started, _, header_text, end_text, tasks, verdicts, root_names, _, written = row
        header = json.loads(header_text)
        end = json.loads(end_text) if end_text else None
        states = dict(self._query("SELECT state, count(*) FROM attempts WHERE run = ? GROUP BY state", (run,)))
        counts = _counts(states, end, json.loads(verdicts))
        state = state_of(header, end, written or 0.0, now, has_failed=bool(states.get("failed")))
        return RunRow(
            run,
            started,
            _seconds(end, started, now if state == "running" else written),
            state,
            counts,
            tasks,
            _text(header.get("label")),
            _text(header.get("env")),
            _text(header.get("host")),
            _texts(header.get("overrides")),
            _texts(header.get("settings")),
            tuple(each for each in _list(header.get("roots")) if isinstance(each, str)),
            tuple(json.loads(root_names)),
            _map((end or {}).get("git")),
            header,
            end,
        )

    def run(self, run_id: str) -> Run:
        """Return a run as its file has it; raise KeyError if there is none."""
        store_folder = runs_folder(self.workspace)[1]
        query = "SELECT name, size, written FROM files WHERE run = ? ORDER BY name"
        files = [Stat(f"{store_folder}/{name}", size, written) for name, size, written in self._query(query, (run_id,))]
        if not files:
            raise KeyError(run_id)
        return next(read_runs(self.workspace, [RunFiles(run_id, tuple(files))]))

    # -- attempts ----------------------------------------------------------------------------------------------------

    def attempts(
        self, *, run_id: str | None = None, unique_id: str | None = None, task: str | None = None
    ) -> list[RunRecord]:
        """Return the records of attempts of a run, of an id, of a class, or of all, oldest first."""
        given = {"a.run": run_id, "a.uid": unique_id, "a.task": task}
        conditions = {f"{name} = ?": value for name, value in given.items() if value is not None}
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "ORDER BY a.id" if run_id is not None else "ORDER BY a.started, a.run, a.id"
        return list(self._records(f"{where} {order}", list(conditions.values())))

    def newest(self, unique_id: str, module: str | None = None) -> RunRecord | None:
        """Return the newest record of a task that is done; None if it never was."""
        where = "WHERE a.uid = ? AND a.state = 'done'" + ("" if module is None else " AND a.module = ?")
        values = [unique_id] if module is None else [unique_id, module]
        return next(self._records(f"{where} ORDER BY a.started DESC, a.run DESC, a.id DESC LIMIT 1", values), None)

    def upstream(self, unique_id: str) -> tuple[str, ...]:
        """Return the unique ids of the tasks directly upstream, which an id fixes."""
        rows = self._query("SELECT requires FROM edges WHERE uid = ?", (unique_id,))
        return tuple(rows[0][0].split()) if rows else ()

    def newest_of(self, unique_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the newest records of tasks; those that are done, else those of other attempts."""
        return self._of_ids(self._records, unique_ids)

    def _of_ids(self, select: Callable[[str, Sequence[Any]], Iterable[R]], unique_ids: Iterable[str]) -> dict[str, R]:
        """Return the newest row of each task; of those that are done, else of other attempts."""
        found: dict[str, R] = {}
        ids = list(dict.fromkeys(unique_ids))
        for condition in ("AND state = 'done'", ""):
            for some in _chunks([uid for uid in ids if uid not in found]):
                marks = ",".join("?" * len(some))
                newest = f"""SELECT id FROM (SELECT id, max(started) FROM attempts WHERE uid IN ({marks}) {condition}
                             GROUP BY uid)"""  # noqa: S608 - only marks
                found.update({row.unique_id: row for row in select(f"WHERE a.id IN ({newest})", some)})
        return found

    def upstream_of(self, unique_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the unique ids directly upstream of each task that is known."""
        found: dict[str, tuple[str, ...]] = {}
        for some in _chunks(list(dict.fromkeys(unique_ids))):
            query = f"SELECT uid, requires FROM edges WHERE uid IN ({','.join('?' * len(some))})"  # noqa: S608
            found.update({uid: tuple(requires.split()) for uid, requires in self._query(query, some)})
        return found

    def run_words(self) -> dict[str, str]:
        """Return id and name of each run: `last`, `last~1`, and so on."""
        return {run: f"last~{number}" if number else "last" for number, run in enumerate(self.run_labels())}

    def candidates(self, task: str, limit: int = 1000) -> list[RunRecord]:
        """Return the newest record of each id of a class that is done, newest first."""
        return list(self._records(f"WHERE a.id IN ({self._newest_of_class(task, limit)}) {_NEWEST} LIMIT ?", [limit]))

    def measured(self, task: str, limit: int = 1000) -> list[Measured]:
        """Return what is known of the newest result of each id of a class, newest first."""
        return list(self._measured(f"WHERE a.id IN ({self._newest_of_class(task, limit)}) {_NEWEST} LIMIT ?", [limit]))

    def measured_of(self, unique_ids: Iterable[str]) -> dict[str, Measured]:
        """Return what is known of tasks, by the rules of `newest_of`."""
        return self._of_ids(self._measured, unique_ids)

    def measured_in(self, run_id: str) -> dict[str, Measured]:
        """Return what is known of the tasks that a run ran to their end."""
        rows = self._measured("WHERE a.run = ? AND a.state = 'done' ORDER BY a.id", [run_id])
        return {row.unique_id: row for row in rows}

    def codes(self, run_id: str) -> dict[str, str]:
        """Return the fingerprint of the code of each class that a run ran."""
        return {record.task: record.code for record in self.attempts(run_id=run_id) if record.code}

    def run_row(self, run_id: str) -> RunRow:
        """Return a run; raise KeyError if there is none."""
        rows = self._query(f"{_RUN_ROWS} WHERE r.run = ?", (run_id,))
        if not rows:
            raise KeyError(run_id)
        return self._run_row(rows[0], time.time())

    def count(self) -> int:
        """Return how many runs there are."""
        return int(self._query(f"SELECT count(*) FROM runs r WHERE {_IS_RUN}", ())[0][0])  # noqa: S608

    def _newest_of_class(self, task: str, limit: int) -> str:
        """Return the numbers of the newest attempts of each id of a class that are done, for a query."""
        query = """SELECT id, max(started) FROM
                   (SELECT id, uid, started FROM attempts WHERE task = ? AND state = 'done'
                    ORDER BY started DESC LIMIT ?) GROUP BY uid"""
        (number,) = self._query("SELECT count(*) FROM attempts WHERE task = ? AND state = 'done'", (task,))[0]
        most = 4 * limit
        while True:  # usually each id ran once or twice
            rows = self._query(query, (task, most))
            if len(rows) >= limit or most >= number:
                return ",".join(str(row[0]) for row in rows)
            most *= 8

    def tasks(self) -> list[tuple[str, str]]:
        """Return class name and unique id of each task that was ever run."""
        return [(task, uid) for task, uid in self._query("SELECT DISTINCT task, uid FROM attempts", ())]

    def classes(self) -> set[tuple[str, str]]:
        """Return module and name of each class of which a task was run."""
        return {(module, task) for module, task in self._query("SELECT DISTINCT module, task FROM attempts", ())}

    def knows(self, run: RunFiles) -> bool:
        """Return whether the files of a run have been read as they are."""
        sizes = dict(self._query("SELECT name, size FROM files WHERE run = ?", (run.id,)))
        return sizes == {PurePath(stat.key).name: stat.size for stat in run.files}

    def class_names(self) -> list[str]:
        """Return the names of the classes of which tasks were run."""
        return [task for (task,) in self._query("SELECT DISTINCT task FROM attempts ORDER BY task", ())]

    def ids_from(self, prefix: str) -> list[tuple[str, str]]:
        """Return unique id and class name of the tasks whose id begins with a prefix, of which attempts are known."""
        query = "SELECT DISTINCT uid, task FROM attempts WHERE uid >= ? AND uid < ? ORDER BY uid"
        return [(uid, task) for uid, task in self._query(query, (prefix, prefix + "\uffff"))]

    def _records(self, where: str, values: Sequence[Any]) -> Iterator[RunRecord]:
        query = f"SELECT a.run, a.line, e.requires FROM attempts a LEFT JOIN edges e ON e.uid = a.uid {where}"  # noqa: S608
        for run, line, requires in self._query(query, values):
            yield from record_in(line, run, requires.split() if requires else ())

    def _measured(self, where: str, values: Sequence[Any]) -> Iterator[Measured]:
        query = f"""SELECT a.uid, a.module, a.task, a.run, a.started, a.metrics,
                    CASE WHEN json_valid(a.line) THEN json_extract(a.line, '$.params') END FROM attempts a {where}"""  # noqa: S608
        for uid, module, task, run, started, metrics, params in self._query(query, values):
            texts = json.loads(params) if isinstance(params, str) and params.startswith("{") else {}
            yield Measured(uid, module, task, run, started, texts, json.loads(metrics) if metrics else {})

    def select(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """Return the rows of a query, for the modules of this package that need other columns."""
        return self._query(query, values)

    # -- the database ------------------------------------------------------------------------------------------------

    def _query(self, query: str, values: Iterable[Any]) -> list[Any]:
        given = list(values)
        return self._safely(lambda: self._connection.execute(query, given).fetchall())

    def _safely(self, function: Callable[[], T]) -> T:
        """Call a function; if the database is damaged, build it anew and call it again."""
        with self._changing:
            try:
                return function()
            except sqlite3.DatabaseError as error:
                if self._path is None or not is_damage(error):
                    raise
                logger.info("Building the index of the history anew: %s", error)
                self._connection.close()
                delete_tables(self._path)
                self._connection = open_tables(self._path)
                refresh(self._connection, self.workspace)
                return function()


def open_index(workspace: str) -> Index:
    """Return the index of a workspace, up to date."""
    index = Index(workspace)
    try:
        index.refresh()
    except BaseException:
        index.close()
        raise
    return index


# -- rows ------------------------------------------------------------------------------------------------------------


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield parts that fit into one statement."""
    for start in range(0, len(values), 500):
        yield values[start : start + 500]


def _counts(states: Mapping[str, int], end: Mapping[str, Any] | None, verdicts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of tasks: those of the end of a run, else those of its attempts so far."""
    counts = {name: states.get(state, 0) for state, name in _STATES.items()}
    if end is None:
        counts["complete"] += verdicts.get("s", 0)
        return counts
    names = (*counts, "not_needed", "missing", "not_started", "lost_records")
    return counts | {name: number for name in names if isinstance(number := end.get(name), int)}


def _seconds(end: Mapping[str, Any] | None, started: float, written: float | None) -> float:
    seconds = (end or {}).get("seconds")
    if isinstance(seconds, int | float):
        return float(seconds)
    return max((written or 0.0) - started, 0.0) if started else 0.0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    return {key: str(text) for key, text in _map(value).items()}
