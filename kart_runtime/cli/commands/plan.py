"""``kart plan``: what would run, and why."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import add_words, open_session, plan_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.table import columns
from kart_runtime.cli.task_names import TaskLabels, short_id
from kart_runtime.plan.decisions import Action, Plan, Reason

NAME = "plan"
HELP = "say for each task whether it would run, and why"
DESCRIPTION = "Say for each task, in the order of a run, whether it would run, and why. Nothing is run or changed."
EXAMPLES = """\
examples:
  kart plan
  kart plan TrainModel
  kart plan TrainModel.max_depth=2
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_words(parser, "what to plan for")


def execute(arguments: argparse.Namespace) -> int:
    """Print one line for each task, and the counts."""
    session, names = open_session(arguments)
    with session:
        made = plan_from_args(session, names)
        labels = TaskLabels(made.tasks)
        rows = [
            (made.decision_by_task[task].action.value, labels(task), short_id(task), made.decision_by_task[task].text)
            for task in made.tasks
        ]
        for line in columns(rows):
            print(line)
        print(counts(made))
    return ExitCode.OK


def counts(made: Plan) -> str:
    """Return a plan in one line: how many tasks there are, would run, are complete."""
    to_run, missing = (len(made.with_action(action)) for action in (Action.RUN, Action.MISSING))
    not_needed = sum(decision.reason is Reason.NOT_NEEDED for decision in made.decisions)
    complete = len(made.tasks) - to_run - missing - not_needed
    plural = "" if len(made.tasks) == 1 else "s"
    others = ((not_needed, "not needed"), (missing, "missing"))
    more = "".join(f", {number} {words}" for number, words in others if number)
    return f"{len(made.tasks)} task{plural}: {to_run} to run, {complete} complete{more}"
