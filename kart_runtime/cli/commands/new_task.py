"""Command `kart new-task`: scaffold a task with its test."""

from __future__ import annotations

import argparse
from pathlib import Path

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.project import Project
from kart_runtime.project.mirror import mirror, split_name
from kart_runtime.project.scaffold import new_task


def execute(arguments: argparse.Namespace) -> int:
    """Write the files, and print their names and what to do next."""
    project = find_project(arguments)
    if not arguments.name:
        arguments.parser.error(
            "no name given; expected MODULE.ClassName, such as features.encode.EncodeColumns\n"
            "       (with make: make new-task TASK=features.encode.EncodeColumns)"
        )
    existed = _existing(project, arguments.name)
    paths = new_task(project, arguments.name, needs=arguments.needs, output=arguments.output, type_name=arguments.type)
    for path in paths:
        print(f"{'changed' if path in existed else 'wrote'} {project.relative(path)}")
    name = arguments.name.rpartition(".")[2]
    print(f"Next: write run() in {project.relative(paths[0])}, then its test in {project.relative(paths[1])}.")
    print(f"Run it: kart run {name}   (with make: make run ARGS={name})")
    print("Another one: kart new-task MODULE.ClassName   (with make: make new-task TASK=MODULE.ClassName)")
    return ExitCode.OK


def _existing(project: Project, name: str) -> set[Path]:
    module, _ = split_name(project, name)
    return {path for path in mirror(project, module).paths() if path.exists()}
