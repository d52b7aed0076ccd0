"""Command `kart remove-sample`: remove the sample that a project was generated with."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.edits.draft import Draft
from kart_runtime.edits.files import diff_lines
from kart_runtime.project.refactor.sample import remove_sample


def execute(arguments: argparse.Namespace) -> int:
    """Make the changes, or show them, and print what is left to do."""
    project = find_project(arguments)
    result = remove_sample(project, changed=arguments.changed, allow_dirty=arguments.allow_dirty)
    summary = result.draft.summary()
    if arguments.dry_run:
        print(*_diff(result.draft), sep="\n")
    print(*summary, sep="\n")
    if result.changed:
        print(f"you had changed: {', '.join(result.changed)}")
    for note in result.notes:
        print(f"stays: {note}")
    if result.documents:
        print(f"still names tasks of the sample, as examples: {', '.join(result.documents)}")
    if arguments.dry_run:
        print("Dry run: nothing was changed. Leave out --dry-run to remove the sample.")
        return ExitCode.OK
    result.draft.commit()
    print(
        f"Removed the sample ({counted(len(summary), 'file')} deleted or changed). Its outputs stay in the workspace."
    )
    if "changed pyproject.toml" in summary:
        print("Next: make setup, which removes the libraries that only the sample needed   (without make: uv sync)")
    print("Then: kart new-task MODULE.ClassName   (with make: make new-task TASK=MODULE.ClassName)")
    return ExitCode.OK


def _diff(draft: Draft) -> list[str]:
    """Return the changes of files that stay; of those that go, the names are enough."""
    return [
        line
        for path, (before, after) in draft.changes().items()
        if after is not None
        for line in diff_lines(draft.name(path), draft.name(path), before, after)
    ]
