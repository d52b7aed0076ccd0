"""Command `kart new-task`: scaffold a task with its configuration and test."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.project import new_task


def execute(arguments: argparse.Namespace) -> int:
    """Write the files, and print their names."""
    project = find_project(arguments)
    for path in new_task(project, arguments.name):
        print(f"wrote {project.relative(path)}")
    return ExitCode.OK
