"""Command `kart list`: the task classes with their parameters, and what the configuration sets."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any

import luigi

from kart_runtime.cli.arguments import find_project
from kart_runtime.cli.commands.config import overrides_of
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted, format_value, is_hidden, type_name
from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import MASK
from kart_runtime.project import Project, Session, open_project
from kart_runtime.project.conf.layers import choose_environment, environments
from kart_runtime.project.names import is_task_parameter, own_parameters, parameters
from kart_runtime.project.problems import raise_all, split_errors
from kart_runtime.project.project import distinct_causes
from kart_runtime.project.used import import_all, used_projects
from kart_runtime.task.parameters import Override


def execute(arguments: argparse.Namespace) -> int:
    """Print each module with its classes."""
    project = find_project(arguments)
    env = choose_environment(project, getattr(arguments, "env", None))
    errors: list[ConfigError] = []
    tasks, failed = import_all(project, used_projects(project, errors))
    raise_all([*errors, *distinct_causes(list(failed.values()))])
    session, problem = _session(project, env)
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
            overrides = overrides_of(session, task) if session else {}
            rows = [
                (key, type_name(param), *_value(task, key, param, overrides.get(key)))
                for key, param in declared.items()
            ]
            for line in columns(rows, indent="      "):
                print(line)
    classes_text = "1 task class" if len(tasks) == 1 else f"{len(tasks)} task classes"
    print(f"{classes_text} in {counted(len(modules), 'module')}")
    if problem:
        print(problem)
    return ExitCode.OK


def _session(project: Project, env: str) -> tuple[Session | None, str]:
    """Return the configured project, or None and a line that says why there is none."""
    try:
        return open_project(project, env=env if env in environments(project) else None), ""
    except ConfigError as error:
        problems = counted(len(split_errors(error)), "problem")
        return None, f"The configuration has {problems}: only the defaults of the code are shown. Run `kart check`."


def _value(
    task: type[luigi.Task], name: str, param: luigi.Parameter[Any], override: Override | None
) -> tuple[str, str]:
    """Return the default of the code, with the configured value if it is another one, and where that is set."""
    default = _default(param)
    if is_hidden(task, name, getattr(param, "_default", None)) and not default.startswith("("):
        default = MASK
    if override is None:
        return default, ""
    if override.error is not None:
        return f"{default} -> (not set)", override.origin
    value = MASK if override.secret else format_value(param, override.value)
    return default if value == default != MASK else f"{default} -> {value}", override.origin


def _first_line(task: type[luigi.Task]) -> str:
    # Only the class's own text: inherited ones describe the base.
    return (vars(task).get("__doc__") or "").strip().partition("\n")[0]


def _default(param: luigi.Parameter[Any]) -> str:
    default = getattr(param, "_default", None)
    if default is luigi.parameter._no_value:
        return "(from Python)" if is_task_parameter(param) else "(required)"
    return format_value(param, default)
