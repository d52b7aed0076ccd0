"""What happened before? What the files of earlier runs say, which `ledger` has written.

Asked by `durations`, and by the commands that tidy up a workspace.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.history.ledger import RUNS_FOLDER
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Stat, Store
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.target import OutputRecord

logger = logging.getLogger(__name__)

_AT_ONCE = 16
"""Files of runs that are read at once from a remote store."""

_SUFFIX = re.compile(r"(?:\.part\d+)?\.jsonl")
_RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-\w+")


class TaskName(NamedTuple):
    """A task, as the files of runs name it.

    Attributes
    ----------
    module, task, unique_id
        Its class's module and name, and its id.
    """

    module: str
    task: str
    unique_id: str


@dataclass(frozen=True)
class RunRecord:
    """What is kept of one attempt at one task.

    Attributes
    ----------
    task, module, unique_id
        Class name, module and id of the task.
    state
        How the attempt ended: "done", "failed", "complete" (somebody else was faster).
    started
        When it started, ISO 8601 in UTC.
    seconds
        How long it took.
    seed
        The seed that it ran with.
    params
        The significant parameters as text, secrets masked.
    outputs
        What it stored.
    log_files
        The kinds of log files that were written, of `LOG_FILES`; `LogFiles` says where they lie.
    error
        What went wrong, "" when nothing did.
    reason
        Why the task was run.
    run_id
        The run that the attempt belongs to.
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

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RunRecord:
        """Return the record of a decoded line; what a later version added is left out.

        Parameters
        ----------
        found
            The decoded line.

        Raises
        ------
        TypeError
            When it is no record.
        """
        known = {name: found[name] for name in cls.__dataclass_fields__ if name in found}
        known["outputs"] = tuple(map(_stored, known.get("outputs", ())))
        known["log_files"] = tuple(known.get("log_files", ()))
        record = cls(**known)
        texts = (record.task, record.module, record.unique_id, *record.log_files)
        if not all(isinstance(text, str) for text in texts) or not isinstance(record.seconds, int | float):
            raise TypeError("no record of an attempt")
        return record


def _stored(found: Mapping[str, Any]) -> OutputRecord:
    checksum = found.get("checksum", "")
    if not checksum and found.get("sha256"):  # what versions before 0.1.0 wrote
        checksum = f"sha256:{found['sha256']}"
    stored = OutputRecord(found.get("url", ""), found.get("size", 0), checksum)
    if not isinstance(stored.url, str):
        raise TypeError("no record of an output")
    return stored


class RunFiles(NamedTuple):
    """Where the lines of one run lie.

    Attributes
    ----------
    id
        The run.
    files
        Its files; on a remote store a long run has several.
    """

    id: str
    files: tuple[Stat, ...]


@dataclass(frozen=True)
class Run:
    """What the files of one run say.

    Attributes
    ----------
    id
        The run.
    files
        Its files.
    started
        When it began, in seconds since the epoch. None: the file is not named like that of a run.
    written
        When something was last written to its files, in seconds since the epoch.
    records
        Its attempts. Cut and foreign lines are passed over.
    tasks
        The tasks that it refers to: those of its attempts, and all others of its graphs.
    has_told
        Whether it has said which tasks it refers to. One that was killed has not, nor has one of an early version.
    unread
        Why a file could not be read, "" when all were.
    cut
        What else is wrong with a file, so that the run may refer to more tasks; "" when nothing is.
    """

    id: str
    files: tuple[Stat, ...]
    started: float | None
    written: float
    records: tuple[RunRecord, ...]
    tasks: frozenset[TaskName]
    has_told: bool
    unread: str = ""
    cut: str = ""


def read_records(workspace: str) -> Iterator[RunRecord]:
    """Go through the records of a workspace, oldest run first.

    Parameters
    ----------
    workspace
        The workspace. Cut and foreign lines are passed over, and so are files that cannot be read, with a warning.
    """
    for run in read_runs(workspace, list_runs(workspace)):
        yield from run.records


def list_runs(workspace: str) -> list[RunFiles]:
    """Return the runs of a workspace, oldest first.

    Parameters
    ----------
    workspace
        The workspace.
    """
    store, folder = runs_folder(workspace)
    found: dict[str, list[Stat]] = {}
    for stat in _local_files(folder) if isinstance(store, LocalStore) else store.list(folder):
        name = stat.key[stat.key.rfind("/") + 1 :]
        suffix = _SUFFIX.search(name)
        if suffix and suffix.end() == len(name) and stat.key == f"{folder}/{name}":
            found.setdefault(name[: suffix.start()], []).append(stat)
    return [RunFiles(run, tuple(files)) for run, files in sorted(found.items())]


def read_runs(workspace: str, listed: Sequence[RunFiles]) -> Iterator[Run]:
    """Go through runs of a workspace, in the order given.

    Parameters
    ----------
    workspace
        The workspace.
    listed
        Those that are wanted, as `list_runs` gives them. A file that cannot be read is passed over with a warning, and
        is `unread` of its run.
    """
    store, _ = runs_folder(workspace)
    if isinstance(store, LocalStore):
        for files in listed:
            yield _read_run(store, files)
        return
    with ThreadPoolExecutor(_AT_ONCE, "kart-runs") as threads:
        for start in range(0, len(listed), 4 * _AT_ONCE):  # a long history does not fit into memory
            yield from threads.map(lambda files: _read_run(store, files), listed[start : start + 4 * _AT_ONCE])


def runs_folder(workspace: str) -> tuple[Any, str]:
    """Return the store of a workspace, and the key of the folder in it where the files of runs lie.

    Parameters
    ----------
    workspace
        The workspace.
    """
    slash = "" if workspace.endswith("/") or not workspace else "/"
    store, key = store_for(f"{workspace}{slash}{RUNS_FOLDER}")
    return store, str(Path(key)) if isinstance(store, LocalStore) else key


def _local_files(folder: str) -> Iterator[Stat]:
    for path in sorted(Path(folder).glob("*.jsonl")):
        try:
            status = path.stat()
            yield Stat(str(path), status.st_size, status.st_mtime)
        except OSError:  # whoever reads it says why
            yield Stat(str(path), 0, 0.0)


def _read_run(store: Store, run: RunFiles) -> Run:
    lines, unread = _Lines(), ""
    for stat in run.files:
        try:
            lines.take(text_of(store, stat.key))
        except OSError as error:
            logger.warning("A run's file is passed over, because it cannot be read: %s", error)
            unread = str(error)
    records = tuple(lines.records)
    tasks = lines.tasks.union(TaskName(record.module, record.task, record.unique_id) for record in records)
    written = max(stat.modified for stat in run.files)
    return Run(run.id, run.files, _started(run.id), written, records, tasks, lines.has_told, unread, lines.cut)


def text_of(store: Store, key: str) -> str:
    """Return what a run's file says.

    Parameters
    ----------
    store, key
        Where it lies.
    """
    with store.open(key) as file:
        return file.read().decode(errors="replace")


def _started(run_id: str) -> float | None:
    named = _RUN_ID.fullmatch(run_id)
    try:
        return datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() if named else None
    except ValueError:
        return None


class _Lines:
    """What the lines of one run say, taken file by file."""

    def __init__(self) -> None:
        self.records: list[RunRecord] = []
        self.tasks: frozenset[TaskName] = frozenset()
        self.has_told = False
        self.cut = ""

    def take(self, text: str) -> None:
        for line in text.splitlines():
            found = _decoded(line)
            if found is None:
                # A cut line of an attempt takes nothing away that the line of all tasks does not say.
                if not line.startswith('{"task":'):
                    self.cut = f"a line of its file is cut: {line[:40]}"
            elif "tasks" in found:
                self._refer(found["tasks"])
            elif "unique_id" in found:
                self.records += _record(found)

    def _refer(self, tasks: Any) -> None:
        try:
            names = [
                TaskName(module, task, unique_id)
                for module, classes in tasks.items()
                for task, ids in classes.items()
                for unique_id in ids
            ]
            self.tasks |= frozenset(names)
            self.has_told = True
        except (AttributeError, TypeError):
            self.cut = "a line of its file, which should name tasks, does not"


def _decoded(line: str) -> dict[str, Any] | None:
    """Return what a line says, nothing when it is none of a run; None when it cannot be decoded."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else {}


def _record(found: Mapping[str, Any]) -> Iterator[RunRecord]:
    try:
        yield RunRecord.from_json(found)
    except (AttributeError, TypeError):
        return


def records_in(text: str) -> Iterator[RunRecord]:
    """Go through the records in what a run's file says, or in the end of that.

    Parameters
    ----------
    text
        What it says. Cut and foreign lines are passed over.
    """
    for line in text.splitlines():
        found = _decoded(line)
        if found and "unique_id" in found:
            yield from _record(found)
