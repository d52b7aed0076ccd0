"""Command `kart verify`: check stored outputs against the checksums that their tasks recorded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from kart_runtime.cli.arguments import open_session, resolve_names
from kart_runtime.cli.deletion import size_text, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.history.cleanup.files import delete_damaged
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.history.records import Records, records_of
from kart_runtime.history.task_record import TaskRecord
from kart_runtime.storage.codecs.folder import SUFFIX
from kart_runtime.storage.folder_files import folder_size
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import OutputRecord


def execute(arguments: argparse.Namespace) -> int:
    """Print each damaged output, and the counts; delete the damaged ones if asked to."""
    session, names = open_session(arguments)
    tasks = [session.tasks[name] for name in resolve_names(session, names)]
    classes = {(task.__module__, task.__name__) for task in tasks}
    number = size = damaged = failed = 0
    with session:
        for workspace in workspaces(session):
            records = records_of(workspace)
            records.refresh()
            for record, output in _outputs(records, classes):
                problem = records.problem(output)
                if problem is None:
                    continue
                number, size = number + 1, size + _size(records, output)
                if problem:
                    damaged += 1
                    url = records.absolute(output.url)
                    print(f"{url}: {problem}. {record.task}[{record.unique_id[:8]}] wrote it in run {record.run_id}.")
                    failed += arguments.fix and not _deleted(url)
        print(_summary(number, size, damaged, failed, fix=arguments.fix))
        unrestored = 0 if classes else _verify_published(workspaces(session), fix=arguments.fix)
    failed, damaged = failed + unrestored, damaged + unrestored
    return ExitCode.FAILED if failed or (damaged and not arguments.fix) else ExitCode.OK


def _verify_published(places: Sequence[str], *, fix: bool) -> int:
    """Print each damaged publication, restored from its other copy if `fix`; return the number of the others."""
    files = [PublishedFile(place, path) for place in places for path in published_paths(place)]
    damaged = restored = 0
    for file in files:
        for url, problem in file.damaged():
            damaged += 1
            restored += fix and file.restore(url)
            print(f"{url}: {problem}.")
    if files:
        text = f"Checked {counted(sum(len(file.history()) for file in files), 'publication')}: {damaged} damaged"
        text += f", {restored} restored from their other copies" if fix and damaged else ""
        print(f"{text}. Pass --fix to restore them from their other copies." if damaged and not fix else text)
    return damaged - restored


def _outputs(records: Records, classes: set[tuple[str, str]]) -> Iterator[tuple[TaskRecord, OutputRecord]]:
    for newest in list(records.all()):
        record = records.settled(newest)
        if (record.unique_id, record.module) in records.interrupted:
            continue
        if not classes or (record.module, record.task) in classes:
            for output in record.outputs:
                if output.checksum:
                    yield record, output


def _size(records: Records, output: OutputRecord) -> int:
    if not output.url.endswith(SUFFIX):
        return output.size
    return output.size + folder_size(*store_for(records.absolute(output.url)))


def _deleted(url: str) -> bool:
    reason = delete_damaged(url)
    if reason:
        print(f"error: {url}: {reason}", file=sys.stderr)
    return not reason


def _summary(number: int, size: int, damaged: int, failed: int, *, fix: bool) -> str:
    text = f"Checked {counted(number, 'output')} ({size_text(size)}): {damaged} damaged"
    if not damaged:
        return text
    if fix:
        return f"{text}, {damaged - failed} deleted. The next run computes what is needed of them."
    return f"{text}. Pass --fix to delete them, so that the next run computes them again."
