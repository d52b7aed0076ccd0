"""``kart plan``: what would run, and why."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import add_words, make_plan, open_session
from kart_runtime.cli.exit_codes import Exit
from kart_runtime.cli.table import columns
from kart_runtime.cli.task_names import Labels, short_id
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
        made = make_plan(session, names)
        labels = Labels(made.tasks)
        rows = [
            (made.decisions[task].action.value, labels(task), short_id(task), made.decisions[task].text)
            for task in made.tasks
        ]
        for line in columns(rows):
            print(line)
        print(counts(made))
    return Exit.OK


def counts(made: Plan) -> str:
    """Return a plan in one line: how many tasks there are, would run, are complete."""
    to_run, missing = (len(made.with_action(action)) for action in (Action.RUN, Action.MISSING))
    not_needed = sum(decision.reason is Reason.NOT_NEEDED for decision in made.decisions.values())
    complete = len(made.tasks) - to_run - missing - not_needed
    plural = "" if len(made.tasks) == 1 else "s"
    others = ((not_needed, "not needed"), (missing, "missing"))
    more = "".join(f", {number} {words}" for number, words in others if number)
    return f"{len(made.tasks)} task{plural}: {to_run} to run, {complete} complete{more}"
