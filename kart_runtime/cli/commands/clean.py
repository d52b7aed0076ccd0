"""Command `kart clean`: delete the files that the records of runs name, and nothing else."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import luigi

from kart_runtime.cli.arguments import open_session, resolve_names
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.history.files import WorkspaceFiles, absolute, files_of, named_urls, url_of
from kart_runtime.history.runs import read_records


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, with its size."""
    session, names = open_session(arguments)
    wanted = {_identity(session.tasks[name]) for name in resolve_names(session, names)}
    with session:
        found = [_recorded(workspace, session.project.root, wanted) for workspace in workspaces(session)]
    by_task: dict[str, dict[str, int]] = defaultdict(dict)
    for one in found:
        for task, sizes in one.by_task.items():
            by_task[task] |= sizes
    sizes = {url: size for group in by_task.values() for url, size in group.items()}
    for line in size_lines(by_task):
        print(line)
    if not sizes:
        print("Nothing to delete.")
    elif not arguments.yes:
        print(dry_run_summary(sizes.values()))
    else:
        kept = dict(chain.from_iterable(one.delete() for one in found))
        return report_deletion([size for url, size in sizes.items() if url not in kept], kept)
    return ExitCode.OK


def _identity(task: type[luigi.Task]) -> tuple[str, str]:
    return task.__module__, task.__name__


@dataclass(frozen=True)
class _Recorded:
    """The files of one workspace that records name.

    Attributes
    ----------
    workspace, files
        The workspace, and its files.
    places
        Url to place.
    by_task
        Name of a task class to url to bytes.
    """

    workspace: str
    files: WorkspaceFiles
    places: dict[str, str]
    by_task: dict[str, dict[str, int]]

    def delete(self) -> Iterator[tuple[str, str]]:
        """Delete the files; go through the urls of those that are still there, and why."""
        for place, why in self.files.delete(list(self.places.values())).items():
            yield url_of(self.workspace, place), why


def _recorded(workspace: str, root: Path, wanted: set[tuple[str, str]]) -> _Recorded:
    """Return the files that records name, as far as they exist and lie in the workspace."""
    workspace = absolute(workspace, root)
    files = files_of(workspace, root)
    tasks: dict[str, str] = {}
    for record in read_records(workspace):
        if not wanted or (record.module, record.task) in wanted:
            places = map(files.place, named_urls(workspace, record))
            tasks |= {place: record.task for place in places if place is not None}
    known = files.found(tasks)
    found = _Recorded(workspace, files, {}, {})
    for place, task in tasks.items():
        if place in known:
            url = url_of(workspace, place)
            found.places[url] = place
            found.by_task.setdefault(task, {})[url] = known[place].size
    return found
