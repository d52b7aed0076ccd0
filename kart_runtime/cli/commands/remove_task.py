"""Command `kart remove-task`: remove a task with its configuration, test and imports."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.edits.draft import Draft
from kart_runtime.project.refactor.removal import remove_task

_MOST = 20
"""Lines that mention a task, of which more would hide the others."""


def execute(arguments: argparse.Namespace) -> int:
    """Print the diff, or make the changes and print what a person has to do."""
    result = remove_task(find_project(arguments), arguments.name)
    show_or_commit(result.draft, arguments.dry_run)
    for note in result.notes:
        print(f"also change: {note}")
    print_mentions(result.mentions)
    if arguments.dry_run:
        print("Dry run: nothing was changed. Leave out --dry-run to remove the task.")
        return ExitCode.OK
    print(f"Removed {result.old}. Its outputs stay; to delete them: kart clean {result.old.rpartition('.')[2]} --yes")
    return ExitCode.OK


def show_or_commit(draft: Draft, dry_run: bool) -> None:
    """Print the changes as a diff, or make them and print the files."""
    if dry_run:
        print(*draft.diff(), sep="\n")
        return
    summary = draft.summary()
    draft.commit()
    print(*summary, sep="\n")


def print_mentions(mentions: Sequence[str]) -> None:
    """Print the lines that still name a task."""
    for mention in mentions[:_MOST]:
        print(f"also mentions it: {mention}")
    if len(mentions) > _MOST:
        print(f"also mentions it: {len(mentions) - _MOST} more lines")
