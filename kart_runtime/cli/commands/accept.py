"""Command `kart accept`: keep the outputs of tasks whose code or inputs have changed."""

from __future__ import annotations

import argparse

from kart_runtime.cli.arguments import open_session, planning, resolve_names, tasks_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import REASONS
from kart_runtime.plan.graph import build_graph
from kart_runtime.plan.task_labels import TaskLabels


def execute(arguments: argparse.Namespace) -> int:
    """Record what the code and the inputs of changed tasks are now, and print what was accepted."""
    session, names = open_session(arguments)
    classes = {session.tasks[name] for name in resolve_names(session, names)}
    with session:
        with planning(session):
            roots = tasks_from_args(session, names)
            if names and session.settings.run.task is not None:
                roots += tasks_from_args(session, [])
            tasks = build_graph(roots).tasks
        changes = Changes(session.settings.run)
        labels = TaskLabels(tasks)
        changed = [(task, changes.of(task)) for task in tasks if not classes or type(task) in classes]
        accepted = 0
        with Ledger() as ledger:
            ledger.first_lines = changes.restart_lines
            for task, change in changed:
                if change is None:
                    continue
                if change.is_acceptable:
                    changes.accept(task, ledger)
                    accepted += 1
                what = f"{REASONS[change.kind].value}{f': {change.detail}' if change.detail else ''}"
                print(f"{labels(task)}: {what}{'' if change.is_acceptable else ' (not accepted: it runs again)'}")
        changes.save()
    print(f"Accepted the changes of {counted(accepted, 'task')}." if accepted else "Nothing to accept.")
    return ExitCode.OK
