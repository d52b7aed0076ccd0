"""Command `kart check`: check that configuration, layout and tasks of a project fit together."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

from kart_runtime.cli.arguments import find_project, plan_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.cli.messages import paragraph
from kart_runtime.errors import ConfigError, EnvVarMissing, KartError
from kart_runtime.exporters.base import check_classes
from kart_runtime.project import Project, Session, open_project
from kart_runtime.project.conf.groups import options_of
from kart_runtime.project.conf.layers import choose_environment, environments
from kart_runtime.project.conf.shared import unused_errors
from kart_runtime.project.conf.tree import GROUPS
from kart_runtime.project.layout import layout_problems, layout_warnings
from kart_runtime.project.problems import raise_all, split_errors
from kart_runtime.project.required import missing_values, write_missing
from kart_runtime.project.template.record import unfinished_update


@dataclass
class Part:
    """Result of one part of the check: its problems, warnings, and why it has not looked at everything."""

    title: str
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    not_checked: str = ""


def execute(arguments: argparse.Namespace) -> int:
    """Print each problem, and a line for each part that has none; with `--fix`, mend first what can be mended."""
    project = find_project(arguments)
    requested: str | None = getattr(arguments, "env", None)
    env = choose_environment(project, requested)
    if arguments.fix:
        from kart_runtime.project.repair import repair

        for change in repair(project):
            print(change)
        if written := _write_missing(project, env):
            print(written)
    others = [] if requested is not None else [other for other in environments(project) if other != env]
    printed = dict.fromkeys(unfinished_update(project.root))
    for problem in printed:
        print(problem)
    configuration = _configuration(project, [env, *others], unused=requested is None)
    for check in (configuration, _layout(project), _plan(project, env)):
        _print(check, printed)
    if not printed:
        return ExitCode.OK
    print(counted(len(printed), "problem"))
    return ExitCode.PROBLEMS


def _write_missing(project: Project, env: str) -> str | None:
    """Write the lines of a parameter that has no value, and without which run.task cannot be planned."""
    try:
        with open_project(project, env=env if env in environments(project) else None) as session:
            if session.settings.run.task is not None:
                plan_from_args(session, [])
    except KartError as error:
        missing = missing_values(error)
        return write_missing(project, missing) if missing is not None else None
    return None


def _print(part: Part, printed: dict[str, None]) -> None:
    """Print what a part has found; what an earlier one has printed has kept it from looking."""
    distinct = list(dict.fromkeys(part.problems))
    new = [problem for problem in distinct if problem not in printed]
    for line in (*new, *part.warnings):
        print(line)
    if part.not_checked or len(new) < len(distinct):
        print(f"{part.title}: not checked: {part.not_checked or 'see the problems above'}")
    elif not new:
        print(f"{part.title}: ok")
    printed.update(dict.fromkeys(new))


def _configuration(project: Project, envs: list[str], *, unused: bool) -> Part:
    return Part("configuration", [*_problems_of_configuration(project, envs, unused=unused)])


def _problems_of_configuration(project: Project, envs: list[str], *, unused: bool) -> Iterator[str]:
    """Yield the problems of each environment with the chosen options, and with each other option of a group."""
    sessions: list[Session] = []
    options = options_of(project, [])
    words = [f"{GROUPS}.{group}={option}" for group, files in options.items() for option in files]
    for env, overrides in ((env, overrides) for env in envs for overrides in ([], *([word] for word in words))):
        try:
            session = open_project(project, env=env if env in environments(project) else None, overrides=overrides)
            sessions.append(session)
            raise_all(session.unset)
        except ConfigError as error:
            for problem in split_errors(error):
                # Environment variables need to be set only where their environment and options run.
                if (env == envs[0] and not overrides) or not isinstance(problem, EnvVarMissing):
                    yield paragraph(problem)
    if unused and len(sessions) == len(envs) * (1 + len(words)):
        yield from map(paragraph, unused_errors(_unused(sessions)))


def _unused(sessions: list[Session]) -> dict[str, str]:
    """Return the shared values that none of the configurations uses, by key and origin."""
    used = {key for session in sessions for key in session.shared if key not in session.unused}
    return {key: origin for session in sessions for key, origin in session.unused.items() if key not in used}


def _layout(project: Project) -> Part:
    part = Part("layout")
    tasks, failed = project.import_tasks()
    part.problems = [f"error: {problem}" for problem in layout_problems(project, tasks, failed)]
    part.warnings = [f"warning: {problem}" for problem in layout_warnings(project)]
    if failed:
        part.not_checked = f"{', '.join(failed)} cannot be imported"
    return part


def _plan(project: Project, env: str) -> Part:
    part = Part("plan")
    try:
        session = open_project(project, env=env if env in environments(project) else None)
    except ConfigError:  # told by the configuration
        part.not_checked = "the configuration has problems"
        return part
    try:
        with session:
            check_classes(session.settings.run.export, "run.export", session.origins.get("run.export"))
            if session.settings.run.task is None:
                part.not_checked = "run.task is not set"
            else:
                plan_from_args(session, [])
    except ConfigError as error:
        part.problems = [paragraph(problem) for problem in split_errors(error)]
    except KartError as error:
        part.problems = [f"error: {error}"]
    return part
