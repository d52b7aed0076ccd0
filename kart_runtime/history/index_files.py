"""Refresh of the index of the history: reads the files of runs that are new or have grown, and nothing twice."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from stat import S_ISDIR
from typing import Any, NamedTuple

from kart_runtime.errors import warn
from kart_runtime.history.runs import MOST_SECONDS, RunLines, TaskName, run_of_file, runs_folder, started_at, text_of
from kart_runtime.history.signed_lines import signed_text
from kart_runtime.storage.stores import Stat, Store, is_remote
from kart_runtime.storage.stores.local import LocalStore

logger = logging.getLogger(__name__)

_BATCH = 64
"""Runs that are read, and then written to the index at once."""

_PARALLEL_REQUESTS = 16

_BACK = timedelta(days=2)
"""How much older than the newest known run a run may be that a remote store is asked for each time: it may go on."""

_DAY = 86_400.0
"""Seconds after which all files of a remote store are listed again, because some may have been deleted."""

_TAIL = 200
"""Bytes before the place up to which a file was read, by which the file is recognized."""


class _File(NamedTuple):
    """File of a run as it is listed: `stamp` changes if it is written without growing."""

    key: str
    size: int
    stamp: str
    written: float


class _Known(NamedTuple):
    """File of a run as the index knows it."""

    size: int
    stamp: str
    read: int
    tail: bytes


class _Job(NamedTuple):
    """Run of which something is to be read; `files` have a place to start, and `is_whole` means all of them."""

    run: str
    files: Mapping[str, _File]
    known: Mapping[str, _Known]
    is_whole: bool

    @property
    def place(self) -> str:
        """The folder of the files, for messages."""
        return next((file.key.rpartition("/")[0] for file in self.files.values()), "")


class _Text(NamedTuple):
    """Text that was read from a file up to a place, and the bytes before that place."""

    text: str
    read: int
    tail: bytes


def refresh(connection: sqlite3.Connection, workspace: str) -> None:
    """Bring the index up to date with the files of a workspace."""
    store, folder = runs_folder(workspace)
    listed, first = _listed(connection, store, folder)
    known = _known(connection, first)
    gone = [(run, known[run]) for run in known if run not in listed]
    jobs = [job for run, files in sorted(listed.items()) for job in _job(run, files, known.get(run, {}))]
    for start in range(0, len(gone), _BATCH):
        with _writing(connection):
            for run, before in gone[start : start + _BATCH]:
                if _known_of(connection, run) == before:
                    _forget(connection, run)
    for start in range(0, len(jobs), _BATCH):
        _read(connection, store, jobs[start : start + _BATCH])


# -- listing ---------------------------------------------------------------------------------------------------------


def _listed(connection: sqlite3.Connection, store: Store, folder: str) -> tuple[dict[str, dict[str, _File]], str]:
    """Return the files by run and name, and the first run that they could be of."""
    first = ""
    if isinstance(store, LocalStore):
        files: Iterable[_File] = _scanned(folder)
    else:
        first = _first_to_list(connection) if hasattr(store, "page") else ""
        files = _requested(connection, store, folder, first)
    listed: dict[str, dict[str, _File]] = {}
    for file in files:
        name = file.key[file.key.rfind(os.sep if isinstance(store, LocalStore) else "/") + 1 :]
        run = run_of_file(name)
        if name.endswith(".jsonl") and run >= first:
            listed.setdefault(run, {})[name] = file
    return listed, first


def _scanned(folder: str) -> Iterator[_File]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                with suppress(OSError):  # deleted meanwhile, or not readable
                    status = entry.stat()
                    if S_ISDIR(status.st_mode):
                        continue
                    stamp = f"{status.st_mtime_ns}-{status.st_ino}"
                    yield _File(entry.path, status.st_size, stamp, status.st_mtime)


def _first_to_list(connection: sqlite3.Connection) -> str:
    """Return the first run that a remote store is asked for; "" for all of them, once a day."""
    last = connection.execute("SELECT value FROM facts WHERE name = 'listed'").fetchone()
    if last is None or not 0 <= time.time() - float(last[0]) < _DAY:
        return ""
    newest = connection.execute("SELECT max(started) FROM runs").fetchone()[0]
    if not newest:
        return ""
    newest = min(newest, time.time())  # the clock of a machine may be ahead
    return f"{datetime.fromtimestamp(newest, UTC) - _BACK:%Y%m%dT%H%M%SZ}"


def _requested_stats(store: Any, folder: str, first: str) -> list[Stat]:
    if not first:
        return [stat for stat in store.list(folder) if stat.key.rfind("/") == len(folder)]
    stats: list[Stat] = []
    token = None
    while True:
        page = store.page(f"{folder}/", token, after=f"{folder}/{first}")
        stats += page.found
        token = page.token
        if token is None:
            return stats


def _requested(connection: sqlite3.Connection, store: Any, folder: str, first: str) -> list[_File]:
    """Return the files of a remote store from a run on; those that are known if it does not answer."""
    try:
        stats = _requested_stats(store, folder, first)
    except OSError as error:
        if connection.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None:
            raise
        warn(logger, "Showing the runs that are known here, because the store does not answer: %s", error)
        query = "SELECT name, size, stamp, written FROM files WHERE run >= ?"
        return [_File(f"{folder}/{name}", *rest) for name, *rest in connection.execute(query, (first,))]
    if not first:
        with _writing(connection):
            connection.execute("REPLACE INTO facts VALUES ('listed', ?)", (str(time.time()),))
    return [_File(stat.key, stat.size, stat.version, stat.modified) for stat in stats]


def _known(connection: sqlite3.Connection, first: str) -> dict[str, dict[str, _Known]]:
    known: dict[str, dict[str, _Known]] = {}
    query = "SELECT run, name, size, stamp, read, tail FROM files WHERE run >= ?"
    for run, name, *rest in connection.execute(query, (first,)):
        known.setdefault(run, {})[name] = _Known(*rest)
    return known


def _known_of(connection: sqlite3.Connection, run: str) -> dict[str, _Known]:
    query = "SELECT name, size, stamp, read, tail FROM files WHERE run = ?"
    return {name: _Known(*rest) for name, *rest in connection.execute(query, (run,))}


def _job(run: str, files: Mapping[str, _File], known: Mapping[str, _Known]) -> Iterator[_Job]:
    """Yield what is to be read of a run, unless it is known as it is."""
    changed = {
        name: file
        for name, file in files.items()
        if name not in known or (file.size, file.stamp) != (known[name].size, known[name].stamp)
    }
    is_whole = any(name not in files for name in known)
    if changed or is_whole:
        yield _Job(run, files if is_whole else changed, known, is_whole)


# -- reading ---------------------------------------------------------------------------------------------------------


def _read(connection: sqlite3.Connection, store: Store, jobs: Sequence[_Job]) -> None:
    """Read files of some runs, and add what they say."""
    if is_remote(store):
        with ThreadPoolExecutor(_PARALLEL_REQUESTS, "kart-index") as threads:
            texts = list(threads.map(lambda job: _texts(store, job), jobs))
    else:
        texts = [_texts(store, job) for job in jobs]
    rows = [
        _Rows.of(job, contents, _names(connection, job.run) if job.known and not is_whole else ())
        for job, (contents, is_whole) in zip(jobs, texts, strict=True)
    ]
    with _writing(connection):
        for job, (_, is_whole), each in zip(jobs, texts, rows, strict=True):
            if _known_of(connection, job.run) == job.known:  # else another process has read it meanwhile
                if is_whole and job.known:
                    _forget(connection, job.run)
                each.insert(connection)


def _texts(store: Store, job: _Job) -> tuple[dict[str, tuple[_File, _Text]], bool]:
    """Return the texts of files from where they were read last; all of a run whose files do not continue."""
    if not job.is_whole:
        try:
            found = {name: (file, _text(store, file, job.known.get(name))) for name, file in sorted(job.files.items())}
            return {name: (file, text) for name, (file, text) in found.items() if text is not None}, False
        except _Replaced:
            pass
    found = {name: (file, _text(store, file, None)) for name, file in sorted(job.files.items())}
    return {name: (file, text) for name, (file, text) in found.items() if text is not None}, True


class _Replaced(Exception):
    """A file does not continue what was read of it."""


def _text(store: Store, file: _File, known: _Known | None) -> _Text | None:
    """Return what is new in a file; None if it cannot be read."""
    if known is not None and (is_remote(store) or file.size < known.read):
        raise _Replaced
    start = 0 if known is None else known.read - len(known.tail)
    try:
        if is_remote(store):
            data = text_of(store, file.key).encode()
        else:
            with store.open(file.key) as opened:
                opened.seek(start)
                data = opened.read()
    except OSError as error:
        logger.warning("Ignoring a run's file that cannot be read: %s", error)
        return None
    tail = b"" if known is None else known.tail
    if not data.startswith(tail):
        raise _Replaced
    end = data.rfind(b"\n") + 1
    if _is_whole(data[end:]):
        end = len(data)
    return _Text(data[len(tail) : end].decode(errors="replace"), start + end, data[max(end - _TAIL, 0) : end])


def _is_whole(line: bytes) -> bool:
    """Return whether a last line without its end is complete."""
    try:
        return bool(line) and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _names(connection: sqlite3.Connection, run: str) -> list[TaskName]:
    row = connection.execute("SELECT names FROM runs WHERE run = ?", (run,)).fetchone()
    return [TaskName(*name) for name in json.loads(row[0])] if row is not None and row[0] else []


# -- rows ------------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """Rows of the index that the new lines of one run make."""

    run: str
    files: list[tuple[Any, ...]]
    lines: RunLines
    names_before: int
    tasks: Sequence[TaskName]
    verdicts: str
    edges: list[tuple[str, str]]
    attempts: list[tuple[Any, ...]]

    @classmethod
    def of(cls, job: _Job, contents: Mapping[str, tuple[_File, _Text]], names: Sequence[TaskName]) -> _Rows:
        """Return the rows of what was read; `names` are the tasks of the lines before."""
        lines = RunLines(names)
        for _, text in contents.values():
            lines.add(signed_text(text.text, job.run, job.place))
        graph = lines.graph()
        tasks = graph.tasks if graph is not None else ()
        edges = [
            (_plain(task.unique_id), " ".join([_plain(_id_of(each, tasks)) for each in requires]))
            for task, requires in zip(tasks, graph.requires if graph is not None else (), strict=True)
        ]
        files = [
            (job.run, name, file.size, file.stamp, file.written, text.read, text.tail)
            for name, (file, text) in contents.items()
        ]
        attempts = [row for line in lines.attempts for row in _attempt(job.run, line)]
        return cls(
            job.run, files, lines, len(names), tasks, graph.verdicts if graph is not None else "", edges, attempts
        )

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write the rows."""
        if not self.files:
            return
        connection.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", self.files)
        connection.executemany("INSERT INTO attempts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self.attempts)
        # What an id requires is the same in each run, but for what its run() yields.
        connection.executemany("INSERT OR IGNORE INTO edges VALUES (?, ?)", self.edges[self.names_before :])
        for number in self.lines.yielded:
            _add_edges(connection, *self.edges[number])
        for user, others in self.lines.uses.items():
            _add_edges(connection, _plain(user), " ".join(map(_plain, others)))
        self._insert_run(connection)

    def _insert_run(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT * FROM runs WHERE run = ?", (self.run,)).fetchone()
        row = row or (self.run, 0.0, "", "", "", 0, "{}", "[]", "", 0, "")
        _, started, _, header, ended, tasks, verdicts, root_names, _, lines, damage = row
        known = json.loads(header) if header else self.lines.header
        roots = known.get("roots")
        wanted = set(roots) if isinstance(roots, list) and all(isinstance(each, str) for each in roots) else set()
        new = self.tasks[self.names_before :] or sorted(self.lines.tasks)
        names = json.loads(root_names) + [name.task for name in new if name.unique_id in wanted]
        counts = Counter(json.loads(verdicts)) + Counter(self.verdicts[self.names_before :])
        ended = json.dumps(self.lines.end) if self.lines.end is not None else ended
        connection.execute(
            "REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.run,
                started or _started(self.run, known),
                _plain(known.get("label")),
                header or json.dumps(known),
                ended,
                tasks + len(new),
                json.dumps(counts),
                json.dumps(names),
                "" if ended else json.dumps(self.tasks),  # for lines that refer to them
                lines + self.lines.count,
                damage or self.lines.damage,
            ),
        )


def _started(run: str, header: Mapping[str, Any]) -> float:
    """Return when a run started, in seconds since the epoch; 0 if nothing says so."""
    started = started_at(run)
    if started is None:
        with suppress(ValueError, TypeError, OverflowError, OSError):
            return datetime.fromisoformat(header["started"]).timestamp() if "started" in header else 0.0
    return started or 0.0


def _id_of(upstream: int | str, tasks: Sequence[TaskName]) -> str:
    return upstream if isinstance(upstream, str) else tasks[upstream].unique_id


def _add_edges(connection: sqlite3.Connection, uid: str, requires: str) -> None:
    row = connection.execute("SELECT requires FROM edges WHERE uid = ?", (uid,)).fetchone()
    every = dict.fromkeys([*(row[0].split() if row is not None else ()), *requires.split()])
    connection.execute("REPLACE INTO edges VALUES (?, ?)", (uid, " ".join(every)))


_USUAL_LINE = re.compile(
    r'\{"task": "([^"\\]*)", "module": "([^"\\]*)", "unique_id": "([^"\\]*)", "state": "([^"\\]*)", '
    r'"started": "([^"\\]*)",(?: "ended": "[^"\\]*", "waited": [\d.]+,)? "seconds": (\d{1,9}\.\d{1,30}),.*\}'
)
"""Line of an attempt as the ledger writes it; decoding 100,000 of them would take most of the time."""

_METRICS = re.compile(r'"metrics": (\{[^{}]*\})')


def _attempt(run: str, line: str) -> Iterator[tuple[Any, ...]]:
    """Yield the row of an attempt, unless the line is something else."""
    usual = _USUAL_LINE.fullmatch(line) if line.isascii() else None
    if usual is not None:
        metrics = _METRICS.search(line)
        task, module, uid, state, started, seconds = usual.groups()
        yield run, uid, task, module, state, started, float(seconds), "" if metrics is None else metrics[1], line
        return
    with suppress(ValueError, RecursionError):
        yield from _decoded_attempt(run, line, json.loads(line))


def _decoded_attempt(run: str, line: str, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    names = [values.get(name) for name in ("unique_id", "task", "module")]
    seconds, metrics = values.get("seconds"), values.get("metrics")
    if not all(isinstance(name, str) for name in names) or not isinstance(values.get("outputs", []), list):
        return
    if isinstance(seconds, int | float):
        duration = float(seconds) if abs(seconds) < MOST_SECONDS else 0.0
        text = json.dumps(metrics) if metrics and isinstance(metrics, dict) else ""
        yield run, *map(_plain, (*names, values.get("state"), values.get("started"))), duration, text, line


def _plain(value: Any) -> str:
    """Return a text that sqlite can store, "" for what is none."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode(errors="replace").decode()


# -- writing ---------------------------------------------------------------------------------------------------------


def _forget(connection: sqlite3.Connection, run: str) -> None:
    for table in ("files", "runs", "attempts"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608 - the tables above


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the changes of a block at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
