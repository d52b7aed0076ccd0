"""``kart clean``: delete the files that the records of runs name, and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import luigi

from kart_runtime.cli.exits import Exit
from kart_runtime.cli.opening import open_session, resolve_names
from kart_runtime.cli.table import columns
from kart_runtime.ledger import LogFiles, read_records
from kart_runtime.parameters import declaration
from kart_runtime.project import Session
from kart_runtime.registry import split_url

NAME = "clean"
HELP = "delete the outputs that runs have made"
DESCRIPTION = (
    "Delete the outputs and log files that the records of runs name: nothing that kart has not written, and nothing\n"
    "outside the workspace. Without --yes it only says what it would delete."
)
EXAMPLES = """\
examples:
  kart clean                    say what would be deleted
  kart clean --yes              delete all outputs
  kart clean TrainModel --yes   delete the outputs of one task
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", nargs="*", metavar="TASK", help="whose files (else those of all tasks)")
    parser.add_argument("--yes", action="store_true", help="delete, instead of saying what would be deleted")


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, and how much it is."""
    session, names = open_session(arguments)
    wanted = {_identity(session.tasks[name]) for name in resolve_names(session, names)}
    found: dict[str, dict[Path, int]] = defaultdict(dict)
    with session:
        for workspace in _workspaces(session):
            for task, path in _recorded(workspace, session.project.root, wanted):
                found[task][path] = path.lstat().st_size
    sizes = {path: size for files in found.values() for path, size in files.items()}
    if not sizes:
        print("Nothing to delete.")
        return Exit.OK
    for line in columns(
        [(task, _counted(len(files)), size_text(sum(files.values()))) for task, files in found.items()]
    ):
        print(line)
    total = f"{_counted(len(sizes))}, {size_text(sum(sizes.values()))}"
    if not arguments.yes:
        print(f"Would delete {total}; nothing was deleted. Add --yes to do it.")
        return Exit.OK
    kept = _delete(sizes)
    for path, error in kept.items():
        print(f"error: {path}: {error.strerror}", file=sys.stderr)
    print(f"Deleted {total}." if not kept else f"Deleted {_counted(len(sizes) - len(kept))} of {len(sizes)}.")
    return Exit.FAILED if kept else Exit.OK


def _delete(paths: Iterable[Path]) -> dict[Path, OSError]:
    """Delete files and return those that could not be deleted; one that has gone meanwhile is no failure."""
    kept = {}
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            kept[path] = error
    return kept


def _identity(task: type[luigi.Task]) -> tuple[str, str]:
    return task.__module__, task.__name__


def _workspaces(session: Session) -> list[str]:
    """Return every workspace that a task of the project writes to."""
    found: dict[str, None] = {}
    for task in session.tasks.values():
        workspace = declaration(task).values().get("workspace_directory")
        if isinstance(workspace, str):
            found[workspace] = None
    return list(found)


def _recorded(workspace: str, root: Path, wanted: set[tuple[str, str]]) -> Iterator[tuple[str, Path]]:
    """Yield the files that records name, as far as they exist and lie in the workspace."""
    folder = (root / split_url(workspace)[1]).resolve()
    for record in read_records(workspace):
        if wanted and (record.module, record.task) not in wanted:
            continue
        logs = LogFiles(workspace, record.task, record.unique_id)
        for url in (*(stored.url for stored in record.outputs), *map(logs.url, record.log_files)):
            path = root / split_url(url)[1]
            # The folder is resolved and not the file: of a link only the link itself is deleted.
            place = path.parent.resolve() / path.name
            if place.is_relative_to(folder) and (place.is_file() or place.is_symlink()):
                yield record.task, place


def _counted(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
