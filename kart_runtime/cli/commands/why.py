"""Command `kart why`: why a task would run, or which run made its output."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import luigi

from kart_runtime.cli.arguments import open_sweep, plan_of, planning, reruns_from_args, roots_from_args, tasks_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns
from kart_runtime.cli.past_runs import print_csv
from kart_runtime.cli.ranges import ranges_from_args
from kart_runtime.cli.reasons import Answer, Answers
from kart_runtime.cli.swept import swept_roots
from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.plan.comparison import Difference
from kart_runtime.plan.decisions import Plan
from kart_runtime.plan.graph import build_graph
from kart_runtime.project import Session
from kart_runtime.sweeps.variants import Sweep
from kart_runtime.task.naming import id_of

_ID = re.compile(r"[0-9a-f]+")
_SHORTEST_ID = 6
_MAX_TASKS = 20
"""Tasks of a class that are explained; of more, only the number is printed."""


def execute(arguments: argparse.Namespace) -> int:
    """Print why each task would run that the command line names."""
    session, words, sweep = open_sweep(arguments)
    with session:
        ids = [word for word in words if _is_id(session, word)]
        names = [word for word in words if word not in ids]
        plan, named = _plan(session, names, arguments) if sweep is None else _swept(session, sweep, names, arguments)
        tasks = list(dict.fromkeys([*named, *(_with_id(plan, word) for word in ids)]))
        tasks = tasks or plan.to_run or list(plan.roots)
        with Answers(plan) as answers:
            is_table = arguments.json or arguments.csv
            found = [answers.of(task) for task in (tasks if is_table else tasks[:_MAX_TASKS])]
        if arguments.csv:
            print_csv(row for answer in found for row in _rows(answer.values))
        elif arguments.json:
            print(json.dumps({"format": 1, "tasks": [answer.values for answer in found]}, indent=2))
        else:
            for line in _lines(found, len(tasks)):
                print(line)
    return ExitCode.OK


def _rows(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each difference from the nearest earlier task, and one if there is none."""
    cause = values["cause"]
    nearest = cause["nearest"] or {}
    for difference in cause["differences"] or [{}]:
        yield {
            **{name: text for name, text in values.items() if name != "cause"},
            "kind": cause["kind"],
            "text": cause["text"],
            "nearest": nearest.get("id", ""),
            "run": nearest.get("run", ""),
            **{f"differs.{field.name}": difference.get(field.name, "") for field in fields(Difference)},
        }


def _lines(answers: Sequence[Answer], number: int) -> Iterator[str]:
    for place, answer in enumerate(answers):
        if place:
            yield ""
        yield from answer.head
        if answer.rows:
            yield from columns(answer.rows, indent="  ")
        yield from (f"Besides: {note}" for note in answer.notes)
    if number > len(answers):
        yield f"\n... and {number - len(answers)} more tasks; name one by the beginning of its id"


def _is_id(session: Session, word: str) -> bool:
    if session.names.has(word) or not _ID.fullmatch(word):
        return False
    if len(word) < _SHORTEST_ID:
        message = f"'{word}' is no task, and too short for the beginning of an id"
        raise ConfigError(message, file="command line", expected=f"at least {_SHORTEST_ID} characters of an id")
    return True


def _plan(session: Session, names: Sequence[str], arguments: argparse.Namespace) -> tuple[Plan, list[luigi.Task]]:
    """Return the plan of `run.task`, and what else is named, with the tasks to explain."""
    with planning(session):
        partitions = [task for part in ranges_from_args(session, names, arguments) for task in part.tasks]
        if partitions:
            roots, rerun = roots_from_args(session, names, arguments, partitions)
            return plan_of(session, roots, rerun, check_all=False), partitions
        roots = _default_roots(session)
        tasks = build_graph(roots).tasks
        named: list[luigi.Task] = []
        others: list[str] = []
        for name in names:
            in_plan = [task for task in tasks if _is_called(session, task, name)]
            named += in_plan
            others += [] if in_plan else [name]
        if others or not (names or roots):
            alone = tasks_from_args(session, others)
            roots, named = [*roots, *alone], [*named, *alone]
        again, rerun = reruns_from_args(session, named if names else roots, names, arguments)
        all_roots = list(dict.fromkeys([*roots, *again]))
        return plan_of(session, all_roots, rerun, check_all=True), named


def _swept(
    session: Session, sweep: Sweep, names: Sequence[str], arguments: argparse.Namespace
) -> tuple[Plan, list[luigi.Task]]:
    """Return the plan of all variants of a sweep, with the tasks to explain."""
    swept = swept_roots(sweep, names, arguments)
    return plan_of(session, swept.tasks, swept.rerun, check_all=True), swept.tasks if names else []


def _is_called(session: Session, task: luigi.Task, name: str) -> bool:
    """Return whether a name is that of a task's class, which may be one of kart's, such as InputFile."""
    cls = type(task)
    return cls is session.task(name) if session.names.has(name) else cls.__name__ == name


def _default_roots(session: Session) -> list[luigi.Task]:
    """Return the task of `run.task`; none if it is not set, or needs arguments."""
    if session.settings.run.task is None:
        return []
    try:
        return [session.task()()]
    except luigi.parameter.MissingParameterException:
        return []


def _with_id(plan: Plan, word: str) -> luigi.Task:
    """Return the task of a plan whose id begins with a word."""
    found = [task for task in plan.tasks if id_of(task).startswith(word)]
    if len(found) == 1:
        return found[0]
    labels = ", ".join(f"{type(task).__name__} {id_of(task)[:12]}" for task in found[:5])
    if found:
        raise ConfigError(
            f"{len(found)} tasks of the plan have an id that begins with {word}: {labels}",
            file="command line",
            expected="more characters of the id",
        )
    near = closest_match(word, [id_of(task)[: len(word)] for task in plan.tasks])
    raise ConfigError(f"no task of the plan has an id that begins with {word}", file="command line", suggestion=near)
