"""``kart new-task``: a task, its configuration and its test."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.project import new_task

NAME = "new-task"
HELP = "write a task, its configuration and its test"
DESCRIPTION = "Write a task's module, its YAML and a test that passes. If one of them exists, nothing is written."
EXAMPLES = """\
examples:
  kart new-task features.encode.EncodeColumns
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="MODULE.ClassName", help="below the tasks: features.encode.EncodeColumns")


def execute(arguments: argparse.Namespace) -> int:
    """Write the files, and say which."""
    project = find_project(arguments)
    for path in new_task(project, arguments.name):
        print(f"wrote {project.relative(path)}")
    return ExitCode.OK
