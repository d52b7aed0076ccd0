"""From the arguments of a command to its project, its session, and the tasks that it names."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import luigi

from kart_runtime.cli.messages import user_traceback
from kart_runtime.cli.project_folder import find_project as find_project  # noqa: PLC0414 - a part of this module
from kart_runtime.errors import ConfigError, KartError, PlanError
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Plan, is_external, make_plan
from kart_runtime.plan.graph import Graph, build_graph
from kart_runtime.project import Project, Session
from kart_runtime.project.conf.sections import SECTIONS, SHARED
from kart_runtime.project.conf.tree import COMMAND_LINE, GROUPS
from kart_runtime.project.names import is_task_parameter, parameters
from kart_runtime.project.problems import raise_all
from kart_runtime.project.required import lines_to_write, missing_values
from kart_runtime.project.session import ComposedProject, compose_project
from kart_runtime.sweeps.words import may_be_several

if TYPE_CHECKING:
    from kart_runtime.sweeps.variants import Sweep, Words


def open_session(arguments: argparse.Namespace, project: Project | None = None) -> tuple[Session, list[str]]:
    """Return the configured project of a command line, and the words that name tasks."""
    composed, overrides, names = compose_from_args(arguments, project)
    words = _sorted_words(composed, overrides)
    if words is not None and words.axes:
        raise words.keys[0].refused(
            f"kart {arguments.command} takes one value for each key", "one value; kart run and kart plan take several"
        )
    return composed.session(overrides if words is None else words.fixed), names


def _sorted_words(composed: ComposedProject, overrides: Sequence[str], file: str | None = None) -> Words | None:
    """Return the overrides with one value, and those with several; None if each has one, as most."""
    if file is None and len(overrides) < 2 and not any(map(may_be_several, overrides)):
        return None
    from kart_runtime.sweeps.variants import sorted_words

    return sorted_words(composed, overrides, file)


def open_sweep(arguments: argparse.Namespace) -> tuple[Session, list[str], Sweep | None]:
    """Return the configured project of a command line, the words that name tasks, and its variants if it has any."""
    composed, overrides, names = compose_from_args(arguments)
    words = _sorted_words(composed, overrides, arguments.sweep)
    if words is None or not words.axes:
        if arguments.max_variants is not None:
            raise ConfigError("--max-variants is for several values of a key, and no key has any", file=COMMAND_LINE)
        return composed.session(overrides if words is None else words.fixed), names, None
    from kart_runtime.sweeps.variants import make_sweep

    sweep = make_sweep(composed, words, arguments.max_variants)
    return sweep.session, names, sweep


def compose_from_args(
    arguments: argparse.Namespace, project: Project | None = None
) -> tuple[ComposedProject, list[str], list[str]]:
    """Return the project of a command line with what its files say, its overrides, and the words that name tasks."""
    words: Sequence[str] = getattr(arguments, "words", [])
    overrides = [word for word in words if "=" in word or _is_setting(word)]
    names = [word for word in words if word not in overrides]
    project = project or find_project(arguments)
    if len(names) == 1:  # `Daily day=yesterday` is Daily.day
        groups = {path.name for path in (project.conf / GROUPS).glob("*")}
        overrides = [f"{names[0]}.{word}" if _is_bare_parameter(word, groups) else word for word in overrides]
    return compose_project(project, env=getattr(arguments, "env", None)), overrides, names


def options_to_overrides(arguments: argparse.Namespace) -> None:
    """Turn the options of executors and limits into overrides, so that both are checked and reported alike."""
    for option in ("executor", "workers", "address", "timeout", "retries", "fail_fast"):
        value = getattr(arguments, option)
        if value is not None:
            arguments.words.append(f"run.{option}={value}")


def _is_bare_parameter(word: str, groups: Collection[str]) -> bool:
    """Return whether a word is an override without its task, and neither a setting without its section nor a group."""
    key = word.partition("=")[0].strip()
    others = (SECTIONS, *SECTIONS.values(), groups)
    return "=" in word and key.isidentifier() and not any(key in names for names in others)


def _is_setting(word: str) -> bool:
    """Return whether a word without '=' can only be an override without its value."""
    return word.partition(".")[0] in {*SECTIONS, SHARED}


def tasks_from_args(session: Session, names: Sequence[str]) -> list[luigi.Task]:
    """Return the tasks that a command line names, or that of `run.task`; raise `ConfigError` with all invalid names."""
    if not names:
        return _create_tasks(session, None)
    tasks: dict[luigi.Task, None] = {}
    errors: list[ConfigError] = []
    for name in names:
        try:
            tasks.update(dict.fromkeys(_create_tasks(session, name)))
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    return list(tasks)


def plan_from_args(
    session: Session,
    names: Sequence[str],
    arguments: argparse.Namespace | None = None,
    partitions: Sequence[luigi.Task] = (),
) -> Plan:
    """Return the plan of the tasks that a command line names, with every task checked for completeness.

    Of `partitions`, which take their place, only what is needed is checked.
    """
    with planning(session):
        roots, rerun = roots_from_args(session, names, arguments, partitions)
    return plan_of(session, roots, rerun, check_all=not partitions)


def plan_of(session: Session, roots: Sequence[luigi.Task], rerun: Collection[luigi.Task], *, check_all: bool) -> Plan:
    """Return the plan of some tasks."""
    with planning(session):
        return make_plan(roots, check_all=check_all, changes=Changes(session.settings.run), rerun=rerun)


def roots_from_args(
    session: Session,
    names: Sequence[str],
    arguments: argparse.Namespace | None,
    partitions: Sequence[luigi.Task] = (),
) -> tuple[list[luigi.Task], set[luigi.Task]]:
    """Return the tasks to run, and which of them to run although they are complete."""
    if partitions:
        again = getattr(arguments, "rerun", False) and not getattr(arguments, "rerun_all", False)
        if again:  # what depends on the other partitions stays
            return list(partitions), set(partitions)
        return reruns_from_args(session, list(partitions), names, arguments)
    return reruns_from_args(session, tasks_from_args(session, names), names, arguments)


def reruns_from_args(
    session: Session, roots: list[luigi.Task], names: Sequence[str], arguments: argparse.Namespace | None
) -> tuple[list[luigi.Task], set[luigi.Task]]:
    """Return the tasks to run, and which of them to run although they are complete, as `--rerun` says."""
    if getattr(arguments, "rerun_all", False):
        return roots, {task for task in build_graph(roots).tasks if not is_external(task)}
    if not getattr(arguments, "rerun", False):
        return roots, set()
    graph = build_graph([*roots, *_default_roots(session, names)])
    again = downstream_of({*map(type, roots)}, graph)
    # The named tasks, and those of their classes that the plan of run.task has, each with what depends on it.
    return [task for task in graph.tasks if task in again], again


def _default_roots(session: Session, names: Sequence[str]) -> list[luigi.Task]:
    if not names or session.settings.run.task is None:
        return []
    try:
        return [session.task()()]
    except luigi.parameter.MissingParameterException:
        return []


def downstream_of(classes: Collection[type], graph: Graph) -> set[luigi.Task]:
    """Return the tasks of some classes in a graph, and all that depend on them, without external ones."""
    reached = bytearray(len(graph.tasks))
    for index, task in enumerate(graph.tasks):
        reached[index] = type(task) in classes or any(reached[dependency] for dependency in graph.upstream[index])
    return {task for index, task in enumerate(graph.tasks) if reached[index] and not is_external(task)}


@contextmanager
def planning(session: Session) -> Iterator[None]:
    """Turn what task code raises while planning into a `PlanError` that shows the place."""
    try:
        yield
    except (KartError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise as_plan_error(error, session) from error


def as_plan_error(error: BaseException, session: Session) -> KartError:
    """Return the error to show for one that came before anything ran: itself if it is kart's."""
    if isinstance(error, KartError):
        return error
    missing = missing_values(error)
    if missing is not None and missing.task in session.tasks.values():
        explained = ConfigError(_message_of_missing(session, missing.task, missing.names))
        explained.__cause__ = missing
        return explained
    trace = user_traceback(error, session.project.package_folder)
    return PlanError(f"planning failed, because task code raised:\n{trace.rstrip()}")


def _create_tasks(session: Session, name: str | None) -> list[luigi.Task]:
    """Return the task of a name, or, if it cannot be created without arguments, those that `run.task` needs."""
    if name is not None:
        _check_not_override(session, name)
    task = session.task(name)
    try:
        return [task()]
    except luigi.parameter.MissingParameterException as error:
        missing = _missing_parameters(session, task)
        required = _required_by_default(session, task) if name is not None else []
        if missing and not required:
            raise ConfigError(_message_of_missing(session, task, missing)) from error
        if not missing:  # a constructor of the user's own creates another task, which lacks something
            raise
        return required


def _required_by_default(session: Session, task: type[luigi.Task]) -> list[luigi.Task]:
    """Return the tasks of a class that the plan of `run.task` contains."""
    if session.settings.run.task is None:
        return []
    try:
        root = session.task()()
    except luigi.parameter.MissingParameterException:
        return []
    return [required for required in build_graph([root]).tasks if type(required) is task]


def _missing_parameters(session: Session, task: type[luigi.Task]) -> list[str]:
    """Return the parameters of a task that have no value."""
    overridden = {name for cls in task.__mro__ for name in session.overrides.get(cls, {})}
    family = task.get_task_family()
    return [
        name
        for name, param in parameters(task).items()
        if name not in overridden and not param.has_task_value(family, name)
    ]


def explain_missing(session: Session, task: type[luigi.Task], given: Collection[str]) -> str:
    """Return a message with the parameters that have no value although some are given; empty if all have one."""
    missing = [name for name in _missing_parameters(session, task) if name not in given]
    return _message_of_missing(session, task, missing) if missing else ""


def _message_of_missing(session: Session, task: type[luigi.Task], missing: Sequence[str]) -> str:
    """Return a message with the parameters that have no value, and how to set them."""
    declared = parameters(task)
    from_python = [name for name in missing if is_task_parameter(declared[name])]
    short = task.__name__
    if from_python:
        one = len(from_python) == 1
        return (
            f"cannot run {short} on its own: its parameter{'' if one else 's'} {' and '.join(from_python)} "
            f"take{'s a task' if one else ' tasks'}, which only Python can supply. Run a task that requires {short}."
        )
    return lines_to_write(session.project, task, missing)


def resolve_names(session: Session, names: Sequence[str]) -> list[str]:
    """Return the full names of the tasks that a command line names; raise `ConfigError` with all that are unknown."""
    full_names, errors = [], []
    for name in names:
        try:
            full_names.append(session.names.resolve(name, file="command line"))
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    return full_names


def _check_not_override(session: Session, word: str) -> None:
    """Raise `ConfigError` if a word names a parameter instead of a task."""
    match = session.names.split(tuple(word.split(".")))
    if match and match[1]:
        raise ConfigError(
            f"'{word}' is neither a task nor KEY=VALUE. To override it, write {word}=VALUE ({word}=null for null).",
            file="command line",
        )
