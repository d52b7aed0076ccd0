"""Command `kart publish`: give an output a fixed name, list what had it, and go back to an earlier one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from kart_runtime.cli.arguments import open_session, planning, tasks_from_args
from kart_runtime.cli.commands.run import run_tasks
from kart_runtime.cli.deletion import size_text, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns
from kart_runtime.cli.logs import logging_as
from kart_runtime.errors import ConfigError, PlanError, closest_match
from kart_runtime.history.publication import SHORT, Publication, check_path
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Action, make_plan
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.project import Session
from kart_runtime.schedule.results import place_of
from kart_runtime.storage.confinement import check_log_folders
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.placeholders import filled_name
from kart_runtime.task.publishing import checked_output, names_of, publish, publishing

_MOST_METRICS = 3
"""Metrics to show in a line."""


def execute(arguments: argparse.Namespace) -> int:
    """Publish an output, list publications, or go back to an earlier one."""
    _check(arguments)
    session, names = open_session(arguments)
    with session, logging_as(session.settings.logging):
        if arguments.list:
            return _list(session, names)
        if arguments.back is not None:
            return _go_back(session, arguments.back, names, arguments.to)
        return _publish(session, names, arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Raise `ConfigError` if options do not go together."""
    given = {
        "--list": arguments.list,
        "--back": arguments.back is not None,
        "--as": arguments.path is not None,
        "--run": arguments.run,
        "--key": arguments.key is not None,
    }
    alone = next((name for name in ("--list", "--back") if given[name]), None)
    others = [name for name, is_given in given.items() if is_given and name != alone]
    if alone and others:
        raise ConfigError(f"{alone} cannot be combined with {others[0]}", file="command line")
    if arguments.to is not None and alone != "--back":
        raise ConfigError("--to says how far --back goes. Write: --back PATH --to ID", file="command line")


# -- publish ---------------------------------------------------------------------------------------------------------


def _publish(session: Session, names: Sequence[str], arguments: argparse.Namespace) -> int:
    if not names:
        raise ConfigError("name the task whose output to publish. Write: kart publish TASK --as PATH")
    with planning(session):
        roots = tasks_from_args(session, names)
        if len(roots) != 1 or not isinstance(roots[0], TaskOnKart):
            labels = TaskLabels(roots)
            raise ConfigError(
                f"{' '.join(names)} stands for {len(roots)} tasks: {', '.join(map(labels, roots))}. Name one, with "
                "KEY=VALUE if parameters tell them apart.",
                file="command line",
            )
        task = roots[0]
        wanted = _wanted(task, arguments)
        for path, key in wanted.items():
            checked_output(task, path, key)
    if arguments.run:
        code = run_tasks(session, [task], set(), quiet=False)
        if code != ExitCode.OK:
            return code
    else:
        _check_complete(session, task, arguments.words)
    _check_log_folders(session, task.workspace_directory)
    for path, key in wanted.items():
        _publish_one(task, path, key)
    return ExitCode.OK


def _check_log_folders(session: Session, workspace: str) -> None:
    """Raise `ConfigError` if publications would be written out of the workspace, through a link."""
    check_log_folders(workspace, allowed=Changes(session.settings.run).allows_outside)


def _wanted(task: TaskOnKart[Any], arguments: argparse.Namespace) -> Mapping[str, str | None]:
    """Return the names to publish, and the key of the output for each."""
    if arguments.path is not None:
        return {filled_name(task, arguments.path): arguments.key}
    own = names_of(task) if publishing([task]) else {}
    wanted = {path: key for path, key in own.items() if arguments.key in (None, key)}
    if not wanted:
        name = type(task).__name__
        why = f"no name is given, and {name} has no attribute publish" + (" for this key" if own else "")
        raise ConfigError(f"{why}. Write: kart publish {name} --as PATH", file="command line")
    return wanted


def _check_complete(session: Session, task: TaskOnKart[Any], words: Sequence[str]) -> None:
    """Raise `PlanError` if a task would run, with the command that runs it."""
    with planning(session):
        plan = make_plan([task], changes=Changes(session.settings.run))
    decision = plan.decision_by_task[task]
    if decision.action is not Action.SKIP:
        raise PlanError(
            f"{type(task).__name__} is not complete: {decision.text}. Run it first: kart run {' '.join(words)}, or "
            "pass --run."
        )


def _publish_one(task: TaskOnKart[Any], path: str, key: str | None) -> None:
    file = PublishedFile(task.workspace_directory, path)
    before = file.current()
    publication = publish(task, path, key)
    if before == publication.id:
        print(f"{path} has this content already: {_line(publication)}")
        return
    print(f"Published {_line(publication)} as {path}: {place_of(file.published_target())}")
    earlier = file.find(before)
    if earlier is not None:
        print(f"Before it was {_line(earlier)}. To go back: kart publish --back {path}")


def _line(publication: Publication) -> str:
    """Return a publication in a few words: what it is made of, the start of its id, and its size."""
    return f"{publication.source} ({publication.id[:SHORT]}, {size_text(publication.size)})"


# -- list ------------------------------------------------------------------------------------------------------------


def _list(session: Session, paths: Sequence[str]) -> int:
    if paths:
        files = [_file(session, path) for path in paths]
    else:
        files = [PublishedFile(place, path) for place in workspaces(session) for path in published_paths(place)]
    if not files:
        print(f"Nothing is published in {', '.join(workspaces(session))}.")
    for index, file in enumerate(files):
        if index:
            print()
        print(file.url)
        for line in _rows(file):
            print(line)
    return ExitCode.OK


def _rows(file: PublishedFile) -> list[str]:
    """Return a line for each publication of a name, newest first."""
    current, history = file.current(), file.history()
    rows = [
        (
            "*" if entry.id == current else "-" if entry.withdrawn else " ",
            entry.id[:SHORT],
            entry.source if entry.task else "not by kart",
            _time(entry),
            size_text(entry.size),
            _numbers(entry),
        )
        for entry in reversed(history)
    ]
    if current not in {entry.id for entry in history}:
        state = ("*", current[:SHORT], "not by kart", "", "", "") if current else ("!", "", "no file", "", "", "")
        rows.insert(0, state)
    return columns(rows, indent="  ")


def _time(entry: Publication) -> str:
    return f"{entry.published[:16].replace('T', ' ')} UTC"


def _numbers(entry: Publication) -> str:
    """Return the first numbers among the metrics."""
    found = [
        f"{name}={value:.4g}"
        for values in entry.metrics.values()
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return ", ".join(found[:_MOST_METRICS])


# -- back ------------------------------------------------------------------------------------------------------------


def _go_back(session: Session, path: str, words: Sequence[str], to: str | None) -> int:
    if len(words) > (to is None):
        raise ConfigError(f"too many arguments: {' '.join(words)}. Write: --back PATH [STEPS], or --back PATH --to ID")
    file = _file(session, path)
    before = file.find(file.current())
    target = _target(file, to or (words[0] if words else "1"), by_id=to is not None)
    if before is not None and before.id == target.id:
        print(f"{path} is {_line(target)} already.")
        return ExitCode.OK
    _check_log_folders(session, file.workspace)
    file.go_back(target)
    print(f"{path} is {_line(target)} again, as published on {_time(target)}.")
    if before is not None:
        print(f"It was {_line(before)}. To undo this: kart publish --back {path} --to {before.id[:SHORT]}")
    return ExitCode.OK


def _target(file: PublishedFile, word: str, *, by_id: bool) -> Publication:
    """Return the publication that a number of steps, or the start of an id, leads to."""
    if by_id or not word.isdecimal() or len(word) > 3:
        return file.matching(word)
    steps, earlier = int(word), file.earlier()
    if steps < 1:
        raise ConfigError(f"'{word}' is not a number of steps; expected at least 1", file="command line")
    if steps > len(earlier):
        number = f"only {len(earlier)}" if earlier else "no"
        raise ConfigError(
            f"{file.path} has {number} earlier publication{'' if len(earlier) == 1 else 's'} to go back to. To go to "
            f"another one, write --to ID; see: kart publish --list {file.path}",
            file="command line",
        )
    return earlier[-steps]


def _file(session: Session, path: str) -> PublishedFile:
    """Return a published name of the project's workspaces; raise if there is none."""
    places = workspaces(session)
    known = {place: published_paths(place) for place in places}
    found = [place for place in places if path in known[place]]
    if len(found) == 1:
        return PublishedFile(found[0], path)
    if found:
        raise ConfigError(f"'{path}' is published in several workspaces: {', '.join(found)}. Set run.workspace=ONE")
    check_path(path, places[0])
    guess = closest_match(path, [each for paths in known.values() for each in paths])
    raise ConfigError(
        f"nothing is published as '{path}' in {', '.join(places)}",
        file="command line",
        suggestion=guess,
        expected=None if guess else f"a published path. Publish one: kart publish TASK --as {path}",
    )
