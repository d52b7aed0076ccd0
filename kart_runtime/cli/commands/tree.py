"""``kart tree``: what depends on what."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import luigi

from kart_runtime.cli.arguments import add_words, open_session, plan_from_args
from kart_runtime.cli.commands.plan import counts
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.task_names import TaskLabels
from kart_runtime.plan.decisions import Action, Plan, Reason

NAME = "tree"
HELP = "draw what depends on what"
DESCRIPTION = (
    "Draw each task above what it requires, with what is done and what is to run.\n"
    "A task that several others require is drawn in full once."
)
EXAMPLES = """\
examples:
  kart tree
  kart tree EvaluateModels
"""

_MARKS = {Action.RUN: "to run", Action.SKIP: "done", Action.MISSING: "missing"}
_LINES = ("├── ", "└── ", "│   ", "    ")
_ASCII = ("|-- ", "`-- ", "|   ", "    ")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_words(parser, "what to draw")


def execute(arguments: argparse.Namespace) -> int:
    """Print the tree, and the counts."""
    session, names = open_session(arguments)
    with session:
        made = plan_from_args(session, names)
        for line in draw(made, _ASCII if _is_ascii() else _LINES):
            print(line)
        print(counts(made))
    return ExitCode.OK


def draw(made: Plan, strokes: tuple[str, str, str, str]) -> Iterator[str]:
    """Yield the lines of a plan's tree; deep trees need no recursion.

    Parameters
    ----------
    made
        The plan.
    strokes
        A branch, the last branch, and what stands below each of them.
    """
    branch, last_branch, below, below_last = strokes
    labels = TaskLabels(made.tasks)
    drawn: set[luigi.Task] = set()
    waiting = [(root, "", "") for root in reversed(made.roots)]
    while waiting:
        task, before, after = waiting.pop()
        upstream = made.requires[task]
        again = task in drawn and bool(upstream)
        yield f"{before}{labels(task)}  {_mark(made, task)}{' (drawn above)' if again else ''}"
        if again:
            continue
        drawn.add(task)
        for place, required in enumerate(reversed(upstream)):
            strokes_here = (last_branch, below_last) if place == 0 else (branch, below)
            waiting.append((required, after + strokes_here[0], after + strokes_here[1]))


def _mark(made: Plan, task: luigi.Task) -> str:
    decision = made.decision_by_task[task]
    if decision.reason is Reason.NOT_NEEDED:
        return "not needed"
    return _MARKS[decision.action]


def _is_ascii() -> bool:
    try:
        "├└│".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
