"""``kart check``: whether configuration, layout and tasks of a project fit together."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from kart_runtime.cli.arguments import find_project, plan_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.messages import paragraph
from kart_runtime.errors import ConfigError, EnvVarMissing, KartError
from kart_runtime.project import Project, check_layout, open_project
from kart_runtime.project.conf.layers import choose_environment, environments
from kart_runtime.project.problems import each

NAME = "check"
HELP = "check configuration, layout and plan"
DESCRIPTION = (
    "Check the configuration of every environment (of one with --env), that task modules, configuration and\n"
    "tests mirror each other, and that run.task can be planned. Nothing is run."
)
EXAMPLES = """\
examples:
  kart check
  kart check --env prod
"""


def add(_parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: there are none."""


def execute(arguments: argparse.Namespace) -> int:
    """Print each finding, and a line for each part that has none."""
    project = find_project(arguments)
    asked: str | None = getattr(arguments, "env", None)
    chosen = choose_environment(project, asked)
    others = [] if asked is not None else [env for env in environments(project) if env != chosen]
    found: dict[str, None] = {}
    for title, findings in (
        ("configuration", _configuration(project, [chosen, *others])),
        ("layout", _layout(project)),
        ("plan", _plan(project, chosen)),
    ):
        new = [finding for finding in dict.fromkeys(findings) if finding not in found]
        found.update(dict.fromkeys(new))
        for finding in new:
            print(finding)
        if not new:
            print(f"{title}: ok")
    if not found:
        return ExitCode.OK
    print("1 problem" if len(found) == 1 else f"{len(found)} problems")
    return ExitCode.PROBLEMS


def _configuration(project: Project, envs: list[str]) -> Iterator[str]:
    for env in envs:
        try:
            open_project(project, env=env if env in environments(project) else None)
        except ConfigError as error:
            for mistake in each(error):
                # Only where it runs an environment has all its variables.
                if env == envs[0] or not isinstance(mistake, EnvVarMissing):
                    yield paragraph(mistake)


def _layout(project: Project) -> Iterator[str]:
    try:
        for problem in check_layout(project):
            yield f"error: {problem}"
    except ConfigError as error:
        yield from map(paragraph, each(error))


def _plan(project: Project, env: str) -> Iterator[str]:
    try:
        with open_project(project, env=env if env in environments(project) else None) as session:
            if session.settings.run.task is not None:
                plan_from_args(session, [])
    except ConfigError as error:
        yield from map(paragraph, each(error))
    except KartError as error:
        yield f"error: {error}"
