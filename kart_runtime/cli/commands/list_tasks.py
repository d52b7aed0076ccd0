"""Command `kart list`: the task classes with their parameters."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any

import luigi

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted, format_value, type_name
from kart_runtime.project.names import is_task_parameter, own_parameters, parameters


def execute(arguments: argparse.Namespace) -> int:
    """Print each module with its classes."""
    tasks = find_project(arguments).load_tasks()
    modules: dict[str, dict[str, type[luigi.Task]]] = defaultdict(dict)
    for name, task in tasks.items():
        module, _, cls = name.rpartition(".")
        modules[module][cls] = task
    for module, classes in modules.items():
        print(module)
        for name, task in classes.items():
            doc = _first_line(task)
            print(f"  {name}" + (f": {doc}" if doc else ""))
            declared = parameters(task) if arguments.all else own_parameters(task)
            rows = [(key, type_name(param), _default(param)) for key, param in declared.items()]
            for line in columns(rows, indent="      "):
                print(line)
    classes_text = "1 task class" if len(tasks) == 1 else f"{len(tasks)} task classes"
    print(f"{classes_text} in {counted(len(modules), 'module')}")
    return ExitCode.OK


def _first_line(task: type[luigi.Task]) -> str:
    # Only the class's own text: inherited ones describe the base.
    return (vars(task).get("__doc__") or "").strip().partition("\n")[0]


def _default(param: luigi.Parameter[Any]) -> str:
    default = getattr(param, "_default", None)
    if default is luigi.parameter._no_value:
        return "(from Python)" if is_task_parameter(param) else "(required)"
    return format_value(param, default)
