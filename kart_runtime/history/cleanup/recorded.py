"""Files of a workspace that the records of its runs name: outputs and log files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kart_runtime.history.cleanup.files import WorkspaceFiles, files_of
from kart_runtime.history.index import open_index
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.runs import RunRecord
from kart_runtime.storage.workspace import KEPT_FILES


class NamedFile(NamedTuple):
    """A file of a workspace that a record names, with the task's class name and id."""

    task: str
    unique_id: str
    place: str


@dataclass(frozen=True)
class RecordedFiles:
    """Existing files of one workspace that records name: class name to place to bytes."""

    files: WorkspaceFiles
    by_task: dict[str, dict[str, int]] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    """Place to the unique ids of the tasks under which records name it."""

    def sizes(self) -> dict[str, int]:
        """Return all places with their sizes in bytes."""
        return {place: size for sizes in self.by_task.values() for place, size in sizes.items()}


def recorded_files(workspace: str, root: Path, classes: Collection[tuple[str, str]]) -> RecordedFiles:
    """Return the files that records of some classes name (module and name; of all when empty)."""
    files = files_of(workspace, root)
    with open_index(files.workspace) as index:
        names = sorted({task for _, task in classes})
        every = [index.attempts(task=name) for name in names] if classes else [index.attempts()]
    records = (record for found in every for record in found if not classes or (record.module, record.task) in classes)
    recorded = RecordedFiles(files)
    task_of: dict[str, str] = {}
    for named in named_files(files, records):
        task_of[named.place] = named.task
        recorded.ids.setdefault(named.place, set()).add(named.unique_id)
    stats = files.stats(task_of)
    for place, task in task_of.items():
        if place in stats:
            recorded.by_task.setdefault(task, {})[place] = stats[place].size
    return recorded


def recorded_classes(workspace: str, root: Path) -> set[tuple[str, str]]:
    """Return module and name of each task class that records of a workspace name."""
    with open_index(files_of(workspace, root).workspace) as index:
        return index.classes()


def named_files(files: WorkspaceFiles, records: Iterable[RunRecord]) -> Iterator[NamedFile]:
    """Yield the files that records name, as far as they surely lie in the workspace."""
    for record in records:
        for url in named_urls(files.workspace, record):
            place = files.place(url)
            if place is not None:
                yield NamedFile(record.task, record.unique_id, place)


_ID_IN_NAME = re.compile(r"_([0-9a-f]{32})(?:\.[^./]*){0,2}$")


def id_in(place: str) -> str | None:
    """Return the unique id in the name of a file; None if there is none."""
    match = _ID_IN_NAME.search(place)
    return match[1] if match else None


def named_urls(workspace: str, record: RunRecord) -> Iterator[str]:
    """Yield the urls that a record of a workspace names: outputs and log files."""
    yield from (stored.url for stored in record.outputs)
    logs = LogFiles(workspace, record.task, record.unique_id)
    yield from (logs.url(kind) for kind in record.log_files if kind in KEPT_FILES)
