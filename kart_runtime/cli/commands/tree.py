"""Command `kart tree`: the dependency tree."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import luigi

from kart_runtime.cli.arguments import open_session, plan_from_args
from kart_runtime.cli.commands.plan import chosen_options, counts
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.plan.decisions import Action, Plan, Reason

_STATES = {
    Action.RUN: "to run",
    Action.MAYBE: "to run if results change",
    Action.SKIP: "done",
    Action.MISSING: "missing",
}
_UNICODE = ("├── ", "└── ", "│   ", "    ")
_ASCII = ("|-- ", "`-- ", "|   ", "    ")


def execute(arguments: argparse.Namespace) -> int:
    """Print the tree, and the counts."""
    session, names = open_session(arguments)
    with session:
        plan = plan_from_args(session, names)
        for line in chosen_options(session):
            print(line)
        for line in tree_lines(plan, _ASCII if _is_ascii() else _UNICODE):
            print(line)
        print(counts(plan))
    return ExitCode.OK


def tree_lines(plan: Plan, strokes: tuple[str, str, str, str]) -> Iterator[str]:
    """Yield the lines of a plan's tree; `strokes` are branch, last branch, and the indent below each of them."""
    branch, last_branch, below, below_last = strokes
    labels = plan.labels
    expanded: set[luigi.Task] = set()
    stack = [(root, "", "") for root in reversed(plan.roots)]
    while stack:
        task, prefix, indent = stack.pop()
        upstream = plan.requires[task]
        repeated = task in expanded and bool(upstream)
        yield f"{prefix}{labels(task)}  {_state(plan, task)}{' (drawn above)' if repeated else ''}"
        if repeated:
            continue
        expanded.add(task)
        for index, dependency in enumerate(reversed(upstream)):
            stroke, deeper = (last_branch, below_last) if index == 0 else (branch, below)
            stack.append((dependency, indent + stroke, indent + deeper))


def _state(plan: Plan, task: luigi.Task) -> str:
    decision = plan.decision_by_task[task]
    return "not needed" if decision.reason in (Reason.NOT_NEEDED, Reason.DELETED) else _STATES[decision.action]


def _is_ascii() -> bool:
    try:
        "├└│".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
