"""How does a command get its project? From its arguments: the folder, the environment, and words that are overrides.

Called by every command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import luigi

from kart_runtime.cli.messages import user_traceback
from kart_runtime.errors import ConfigError, KartError, PlanError
from kart_runtime.plan.decisions import Plan, make_plan
from kart_runtime.plan.graph import build_graph
from kart_runtime.project import Project, Session, open_project
from kart_runtime.project.conf.sections import SECTIONS
from kart_runtime.project.names import is_task_parameter, parameters
from kart_runtime.project.problems import raise_all

_VALUE = "a value for this time, such as TrainModel.max_depth=5 or run.workspace=s3://bucket/folder"


def add_words(parser: argparse.ArgumentParser, what: str, otherwise: str = "run.task") -> None:
    """Declare the free words of a command: task names, and overrides.

    Parameters
    ----------
    parser
        The command's parser.
    what
        What is done with the tasks.
    otherwise
        Which tasks it is without a name.
    """
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUE",
        help=f"TASK: {what} (a class name, or more of its path; else {otherwise}); KEY=VALUE: {_VALUE}",
    )


def add_values(parser: argparse.ArgumentParser) -> None:
    """Declare the free words of a command that is about no single task: overrides.

    Parameters
    ----------
    parser
        The command's parser.
    """
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help=_VALUE)


def find_project(arguments: argparse.Namespace) -> Project:
    """Return the project of a command line.

    Raises
    ------
    ConfigError
        There is none.
    """
    package: str | None = arguments.package
    if "project" in arguments or package is None:
        return Project.find(getattr(arguments, "project", None))
    try:
        found = Project.find()
        if found.package == package:
            return found
    except ConfigError:
        pass
    # `python -m PACKAGE` from elsewhere: the project that the package was installed from.
    file = getattr(sys.modules.get(package), "__file__", None)
    return Project.find(Path(file).parent if file else None)


def open_session(arguments: argparse.Namespace, project: Project | None = None) -> tuple[Session, list[str]]:
    """Return the configured project of a command line, and the words that name tasks.

    Raises
    ------
    ConfigError
        With everything that is wrong.
    """
    words: Sequence[str] = getattr(arguments, "words", [])
    overrides = [word for word in words if "=" in word or _is_setting(word)]
    names = [word for word in words if word not in overrides]
    session = open_project(project or find_project(arguments), env=getattr(arguments, "env", None), overrides=overrides)
    return session, names


def _is_setting(word: str) -> bool:
    """Return whether a word without '=' can only be an override whose value was forgotten."""
    return word.partition(".")[0] in SECTIONS


def tasks_from_args(session: Session, names: Sequence[str]) -> list[luigi.Task]:
    """Return the tasks that a command line names, or the one of ``run.task``.

    Parameters
    ----------
    session
        The project, activated.
    names
        The names.

    Raises
    ------
    ConfigError
        For a name that is none, and for a task that needs a parameter that nothing gives.
    """
    if not names:
        return _make(session, None)
    found: dict[luigi.Task, None] = {}
    errors: list[ConfigError] = []
    for name in names:
        try:
            found.update(dict.fromkeys(_make(session, name)))
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    return list(found)


def plan_from_args(session: Session, names: Sequence[str]) -> Plan:
    """Return the plan of the tasks that a command line names, asking every task whether it is complete.

    Parameters
    ----------
    session
        The project, activated.
    names
        The names; none for ``run.task``.

    Raises
    ------
    ConfigError
        For a name that is none.
    PlanError
        When the tasks' own code raises, or the tasks have no order.
    """
    with planning(session):
        return make_plan(tasks_from_args(session, names), check_all=True)


@contextmanager
def planning(session: Session) -> Iterator[None]:
    """Turn what the tasks' own code raises into an error that shows where; nothing has run at that point."""
    try:
        yield
    except KartError:
        raise
    except Exception as error:
        raise as_plan_error(error, session) from error


def as_plan_error(error: Exception, session: Session) -> KartError:
    """Return the error to show for one that came before anything ran: itself when it is the engine's.

    Parameters
    ----------
    error
        What was raised.
    session
        The project.
    """
    if isinstance(error, KartError):
        return error
    trace = user_traceback(error, session.project.package_folder)
    return PlanError(f"the tasks cannot be planned, because their code raises:\n{trace.rstrip()}")


def _make(session: Session, name: str | None) -> list[luigi.Task]:
    """Return the task of a name; where it cannot be made without arguments, those that ``run.task`` needs."""
    if name is not None:
        _refuse_override(session, name)
    task = session.task(name)
    try:
        return [task()]
    except luigi.parameter.MissingParameterException as error:
        lacking = _missing_parameters(session, task)
        required = _required_by_default(session, task) if name is not None else []
        if lacking and not required:
            raise ConfigError(_missing(task, lacking)) from error
        if not lacking:  # a constructor of the user's own makes another task, which lacks something
            raise
        return required


def _required_by_default(session: Session, task: type[luigi.Task]) -> list[luigi.Task]:
    """Return the tasks of a class that are in the plan of ``run.task``, where Python gives them their arguments."""
    if session.settings.run.task is None:
        return []
    try:
        root = session.task()()
    except luigi.parameter.MissingParameterException:
        return []
    return [found for found in build_graph([root]).tasks if type(found) is task]


def _missing_parameters(session: Session, task: type[luigi.Task]) -> list[str]:
    """Return the parameters of a task that have no value."""
    given = {name for cls in task.__mro__ for name in session.overrides.get(cls, {})}
    family = task.get_task_family()
    return [
        name for name, param in parameters(task).items() if name not in given and not param.has_task_value(family, name)
    ]


def _missing(task: type[luigi.Task], lacking: Sequence[str]) -> str:
    """Say which parameters have no value, and who can give one."""
    declared = parameters(task)
    wired = [name for name in lacking if is_task_parameter(declared[name])]
    short = task.__name__
    if wired:
        return (
            f"{short} cannot be built by itself, because only Python gives its {' and '.join(wired)}, and run.task "
            "does not need it; name a task that does"
        )
    return (
        f"{short} needs a value for {' and '.join(lacking)}; write {short}.{lacking[0]}=VALUE, set it in the "
        "configuration, or run a task that gives it"
    )


def resolve_names(session: Session, names: Sequence[str]) -> list[str]:
    """Return the full names of the tasks that a command line names.

    Raises
    ------
    ConfigError
        With every name that is none.
    """
    found, errors = [], []
    for name in names:
        try:
            found.append(session.names.resolve(name, file="command line"))
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    return found


def _refuse_override(session: Session, word: str) -> None:
    """Say so when a word names a task's parameter instead of a task."""
    found = session.names.split(tuple(word.split(".")))
    rest: tuple[str, ...] = found[1] if found else ()
    if rest:
        raise ConfigError(
            f"'{word}' has no value, and is no task; write {word}=VALUE, or {word}=null for null", file="command line"
        )
