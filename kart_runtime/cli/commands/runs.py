"""Command `kart runs`: list the runs of the workspace, newest first."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.past_runs import SHOWN, no_run, open_history, print_csv, print_json, width
from kart_runtime.errors import ConfigError
from kart_runtime.history.index import Index, RunRow
from kart_runtime.history.rows import run_row
from kart_runtime.history.tables import ago, named_counts, printable, seconds_text, text_table

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHORT_ID = 25
"""Characters of a run's id that are shown: its second, microsecond and a random part."""


def execute(arguments: argparse.Namespace) -> int:
    """Print the runs."""
    index, words = open_history(arguments)
    if words:
        raise ConfigError(f"kart runs takes no {words[0]}. To show a run: kart show {words[0]}", file="command line")
    since = None if arguments.since is None else time.time() - duration(arguments.since)
    if no_run(index, arguments):
        return ExitCode.OK
    task = None if arguments.task is None else _class_name(index, arguments.task)
    most = None if arguments.all else SHOWN
    runs = index.runs(most, failed=arguments.failed, task=task, since=since, label=arguments.label)
    if arguments.json or arguments.csv:
        rows = [run_row(run) for run in runs]
        (print_json if arguments.json else print_csv)(rows)
        return ExitCode.OK
    if runs:
        print("\n".join(_table(runs)))
    total = index.count()
    options = "--all, --failed, --task TASK, --since 7d, --label TEXT"
    print(f"{total} run{'' if total == 1 else 's'}; {len(runs)} shown ({options})")
    return ExitCode.OK


def _class_name(index: Index, word: str) -> str:
    from kart_runtime.history.names import resolve_task  # with what finds nearest names, which a list does not need

    return resolve_task(index, word).task


def duration(text: str) -> float:
    """Return the seconds of a text such as 90m, 12h, 7d or 2w; raise `ConfigError` if it is none."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([mhdw])", text.strip())
    if match is None:
        raise ConfigError(
            f"'{text}' is not a duration", file="command line", key="--since", expected="90m, 12h, 7d or 2w"
        )
    return float(match[1]) * _UNITS[match[2]]


def short_id(run_id: str) -> str:
    """Return the start of a run's id that names it."""
    return run_id[:_SHORT_ID]


def _table(runs: Sequence[RunRow]) -> list[str]:
    rows = [
        (short_id(run.id), ago(run.started), seconds_text(run.seconds), result_text(run), what_text(run))
        for run in runs
    ]
    return text_table(("run", "when", "took", "result", "what"), rows, width())


def result_text(run: RunRow) -> str:
    """Return what came of a run: `2 ran, 1 failed, 1 not started`."""
    names = {"ran": "ran", "failed": "failed", "missing": "missing", "not_started": "not started"}
    names["lost_records"] = "log files or records lost"
    parts = [f"{run.counts[name]} {word}" for name, word in names.items() if run.counts.get(name)]
    if run.state in {"running", "died", "died?", "interrupted"}:
        parts.insert(0, run.state)
    elif run.state == "failed" and not run.counts.get("failed"):
        parts.insert(0, "failed")
    return ", ".join(parts) or "nothing to do"


def what_text(run: RunRow) -> str:
    """Return what was asked for: tasks, values and label."""
    parts = [", ".join(named_counts(run.root_names)) or "?", *overrides_text(run.overrides)]
    parts += [f"label={run.label}"] if run.label else []
    return printable("  ".join(parts), 200)


def overrides_text(overrides: Mapping[str, str]) -> list[str]:
    """Return given values by short names: `TrainModel.max_depth=2`."""
    return [f"{'.'.join(key.split('.')[-2:])}={text}" for key, text in overrides.items()]
