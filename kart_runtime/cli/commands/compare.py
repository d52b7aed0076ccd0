"""Command `kart compare`: show the parameters and metrics of the variants of a task."""

from __future__ import annotations

import argparse

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.past_runs import SHOWN, no_run, open_history, print_csv, print_json, width
from kart_runtime.errors import ConfigError
from kart_runtime.history.compare import compare_table
from kart_runtime.history.names import resolve_task


def execute(arguments: argparse.Namespace) -> int:
    """Print the table."""
    index, words = open_history(arguments)
    if no_run(index, arguments):
        return ExitCode.OK
    if not words:
        known = ", ".join(index.class_names()[:10])
        raise ConfigError(f"name the task to compare, one of {known}. Write: kart compare TASK", file="command line")
    matches = [resolve_task(index, word) for word in words]
    ids = [match.unique_id for match in matches]
    if (any(ids) and not all(ids)) or (len(matches) > 1 and not all(ids)):
        raise ConfigError("name one class, or several tasks by their ids", file="command line")
    if arguments.sort is None and (arguments.max or arguments.min):
        raise ConfigError("--max and --min say how to sort. Write: --sort METRIC --min", file="command line")
    table = compare_table(
        index,
        ids if all(ids) else matches[0].task,
        sort=arguments.sort,
        maximize=True if arguments.max else False if arguments.min else None,
        all_columns=arguments.all_columns,
    )
    if arguments.json:
        print_json(table.as_json())
    elif arguments.csv:
        print_csv(table.flat_rows())
    elif not table.rows:
        print(f"no {matches[0].task} has run to its end yet")
    else:
        print(table.as_text(width(), None if arguments.all else SHOWN))
    return ExitCode.OK
