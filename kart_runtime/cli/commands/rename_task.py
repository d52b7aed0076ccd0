"""Command `kart rename-task`: another name or module for a task, everywhere."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.commands.remove_task import print_mentions, show_or_commit
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.project.refactor.renaming import rename_task


def execute(arguments: argparse.Namespace) -> int:
    """Print the diff, or make the changes and print what a person has to do."""
    project = find_project(arguments)
    result = rename_task(project, arguments.old, arguments.new)
    show_or_commit(result.draft, arguments.dry_run)
    print_mentions(result.mentions)
    old, new = (name.rpartition(".")[2] for name in (result.old, result.new))
    if arguments.dry_run:
        print("Dry run: nothing was changed. Leave out --dry-run to change the files.")
        return ExitCode.OK
    print(f"Renamed {result.old} to {result.new}. Its ids change, so it and all downstream run again.")
    gone = old if old != new else f"{project.package}.{result.old}"
    print(f"Outputs of the old name stay; to delete them: kart clean {gone} --yes")
    print("Next: sort imports anew (make format), then kart check")
    return ExitCode.OK
