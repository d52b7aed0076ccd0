"""Command `kart check`: check that configuration, layout and tasks of a project fit together."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from kart_runtime.cli.arguments import find_project, plan_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.cli.messages import paragraph
from kart_runtime.errors import ConfigError, EnvVarMissing, KartError
from kart_runtime.project import Project, check_layout, open_project
from kart_runtime.project.conf.layers import choose_environment, environments
from kart_runtime.project.problems import raise_all, split_errors
from kart_runtime.project.template.record import unfinished_update


def execute(arguments: argparse.Namespace) -> int:
    """Print each problem, and a line for each part that has none."""
    project = find_project(arguments)
    requested: str | None = getattr(arguments, "env", None)
    env = choose_environment(project, requested)
    others = [] if requested is not None else [other for other in environments(project) if other != env]
    printed = dict.fromkeys(unfinished_update(project.root))
    for problem in printed:
        print(problem)
    for title, problems in (
        ("configuration", _configuration(project, [env, *others])),
        ("layout", _layout(project)),
        ("plan", _plan(project, env)),
    ):
        new = [problem for problem in dict.fromkeys(problems) if problem not in printed]
        printed.update(dict.fromkeys(new))
        print(*(new or [f"{title}: ok"]), sep="\n")
    if not printed:
        return ExitCode.OK
    print(counted(len(printed), "problem"))
    return ExitCode.PROBLEMS


def _configuration(project: Project, envs: list[str]) -> Iterator[str]:
    for env in envs:
        try:
            session = open_project(project, env=env if env in environments(project) else None)
            raise_all(session.unset)
        except ConfigError as error:
            for problem in split_errors(error):
                # Environment variables need to be set only where their environment runs.
                if env == envs[0] or not isinstance(problem, EnvVarMissing):
                    yield paragraph(problem)


def _layout(project: Project) -> Iterator[str]:
    try:
        for problem in check_layout(project):
            yield f"error: {problem}"
    except ConfigError as error:
        yield from map(paragraph, split_errors(error))


def _plan(project: Project, env: str) -> Iterator[str]:
    try:
        with open_project(project, env=env if env in environments(project) else None) as session:
            if session.settings.run.task is not None:
                plan_from_args(session, [])
    except ConfigError as error:
        yield from map(paragraph, split_errors(error))
    except KartError as error:
        yield f"error: {error}"
