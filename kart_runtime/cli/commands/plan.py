"""Command `kart plan`: which tasks would run, and why."""

from __future__ import annotations

import argparse

import luigi

from kart_runtime.cli.arguments import open_sweep, plan_from_args, plan_of, planning
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted
from kart_runtime.cli.ranges import Part, date_words, ranges_from_args
from kart_runtime.plan.causes import explained
from kart_runtime.plan.decisions import RUNNING, Action, Plan, Reason
from kart_runtime.project import Session
from kart_runtime.task.limits import timeout_of
from kart_runtime.task.naming import short_id
from kart_runtime.task.published import Published


def execute(arguments: argparse.Namespace) -> int:
    """Print one line for each task, and the counts; fail as a run would if an external input is missing."""
    session, names, sweep = open_sweep(arguments)
    with session:
        parts: list[Part] = []
        if sweep is not None:
            from kart_runtime.cli.swept import swept_roots

            swept = swept_roots(sweep, names, arguments)
            parts.append(swept)
            plan = plan_of(session, swept.tasks, swept.rerun, check_all=not swept.has_partitions)
        else:
            with planning(session):
                ranges = ranges_from_args(session, names, arguments)
            plan = plan_from_args(session, names, arguments, [task for part in ranges for task in part.tasks])
            parts += ranges
        if not arguments.no_history:
            plan = explained(plan)
        labels = plan.labels
        for line in chosen_options(session):
            print(line)
        rows = [
            (
                decision.action.value,
                labels(task),
                short_id(task),
                decision.text + _limit_text(session, task, decision.action),
            )
            for task, decision in zip(plan.tasks, plan.decisions, strict=True)
        ]
        for line in columns(rows):
            print(line)
        for line in plan.warning_lines():
            print(f"warning: {line}")
        for line in [*date_words(session, plan.tasks), *(part.planned(plan) for part in parts)]:
            print(line)
        for task in plan.with_action(Action.MISSING):
            if isinstance(task, Published):
                print(f"missing: {task.missing()}")
        print(counts(plan))
    return ExitCode.FAILED if plan.with_action(Action.MISSING) else ExitCode.OK


def _limit_text(session: Session, task: luigi.Task, action: Action) -> str:
    """Return the limit of the time of a task that is to run, if it has one."""
    seconds = timeout_of(task, session.settings.run.timeout) if action in RUNNING else None
    return f" (at most {seconds:g} s)" if seconds is not None else ""


def chosen_options(session: Session) -> list[str]:
    """Return a line with the chosen options of groups; none if the project has no groups."""
    chosen = ", ".join(f"{choice.group}={choice.option or 'null'}" for choice in session.choices)
    return [f"options: {chosen}"] if chosen else []


def counts(plan: Plan) -> str:
    """Return a plan in one line: the number of tasks, and how many would run or are complete."""
    to_run, maybe, missing = (len(plan.with_action(action)) for action in (Action.RUN, Action.MAYBE, Action.MISSING))
    not_needed = sum(decision.reason in (Reason.NOT_NEEDED, Reason.DELETED) for decision in plan.decisions)
    complete = len(plan.tasks) - to_run - maybe - missing - not_needed
    optional = ((maybe, "to run if results change"), (not_needed, "not needed"), (missing, "missing"))
    rest = "".join(f", {number} {state}" for number, state in optional if number)
    return f"{counted(len(plan.tasks), 'task')}: {to_run} to run, {complete} complete{rest}"
