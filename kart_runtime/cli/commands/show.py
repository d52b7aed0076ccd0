"""Command `kart show`: show a run with its tasks, or one task in full."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kart_runtime.cli.commands.runs import overrides_text, result_text, short_id
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.past_runs import SHOWN, no_run, open_history, print_csv, print_json, width
from kart_runtime.errors import ConfigError
from kart_runtime.history.index import Index, RunRow
from kart_runtime.history.names import default_runs, named_by, resolve_run, resolve_task, task_labels
from kart_runtime.history.places import log_text, stored_output
from kart_runtime.history.rows import attempt_row, run_row
from kart_runtime.history.runs import RunRecord
from kart_runtime.history.tables import ago, epoch, number_text, printable, seconds_text, size_text, text_table

_LONGEST_LINE = 10_000
"""Characters of a line of a traceback."""

_MOST_TASKS = 10
"""Tasks of one class that are shown in full."""


class _Wanted(NamedTuple):
    """What is to be shown: a run, tasks, or tasks of a run."""

    run: str | None
    records: list[RunRecord]


def execute(arguments: argparse.Namespace) -> int:
    """Print a run or tasks."""
    index, words = open_history(arguments)
    if len(words) > 2:
        raise ConfigError(f"too many arguments: {' '.join(words[2:])}. Write: kart show RUN TASK", file="command line")
    if no_run(index, arguments):
        return ExitCode.OK
    wanted = _wanted(index, words)
    if wanted.run is not None:
        _show_run(index, wanted.run, arguments)
    elif arguments.json:
        print_json([_task_json(index, record, logs=arguments.log) for record in wanted.records])
    elif arguments.csv:
        print_csv(attempt_row(record) for record in wanted.records)
    else:
        _show_tasks(index, wanted.records, logs=arguments.log)
    return ExitCode.OK


def _wanted(index: Index, words: Sequence[str]) -> _Wanted:
    if not words:
        return _Wanted(default_runs(index)[0], [])
    if len(words) == 2:
        run, match = resolve_run(index, words[0]), resolve_task(index, words[1])
        records = [
            record
            for record in index.attempts(run_id=run)
            if match.unique_id in ("", record.unique_id) and record.task == match.task
        ]
        if records:
            return _Wanted(None, _last_attempts(records))
        raise ConfigError(f"run {short_id(run)} did not run {words[1]}. The newest one: kart show {words[1]}")
    try:
        return _Wanted(resolve_run(index, words[0]), [])
    except ConfigError as no_run_error:
        try:
            match = resolve_task(index, words[0])
        except ConfigError as no_task_error:
            raise _neither(index, words[0], no_run_error, no_task_error) from None
    if match.unique_id:
        records = index.attempts(unique_id=match.unique_id)
    else:
        last = [record.run_id for record in index.attempts(task=match.task)][-1:]  # none if their lines are damaged
        records = [record for run in last for record in index.attempts(run_id=run) if record.task == match.task]
    if not records:
        raise _no_attempt(index, words[0]) or ConfigError(f"no attempt of {words[0]} can be read")
    return _Wanted(None, _last_attempts(records))


def _no_attempt(index: Index, word: str) -> ConfigError | None:
    """Return the error for a task that runs name without a record of an attempt, as if killed in it; else None."""
    named = named_by(index, word)
    if named is None:
        return None
    run, match = named
    task = f"{match.task}[{match.unique_id[:8]}]" if match.unique_id else match.task
    state = index.run_row(run).state
    return ConfigError(f"no attempt of {task} is recorded. Run {short_id(run)} ({state}) names it: kart show {run}")


def _neither(index: Index, word: str, run: ConfigError, task: ConfigError) -> ConfigError:
    """Return the error for a word that is neither a run nor a task that has run."""
    for error in (run, task):
        if "is the start of" in error.message or "too far" in error.message:
            return error
    named = _no_attempt(index, word)
    if named is not None:
        return named
    suggestions = [error.suggestion for error in (task, run) if error.suggestion]
    return ConfigError(
        f"no run and no task is called '{word}'",
        suggestion="' or '".join(suggestions) or None,
        expected="a run (last, last~1, the start of its id, its label), a class, or the start of a task's id",
    )


def _last_attempts(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the last attempt of each task, in the order of the tasks."""
    return list({record.unique_id: record for record in records}.values())


# -- a run -----------------------------------------------------------------------------------------------------------


def _show_run(index: Index, run_id: str, arguments: argparse.Namespace) -> None:
    run = index.run_row(run_id)
    records = sorted(_last_attempts(index.attempts(run_id=run_id)), key=lambda record: -record.seconds)
    if arguments.json:
        print_json(run_row(run) | {"attempts": [attempt_row(record) for record in records]})
    elif arguments.csv:
        print_csv(attempt_row(record) for record in records)
    else:
        print("\n".join(_fields(_about(run))))
        shown = records if arguments.all else records[:SHOWN]
        if shown:
            print()
            print("\n".join(_task_table(index, shown, records)))
        if len(shown) < len(records):
            print(f"{len(records)} tasks; {len(shown)} shown, slowest first (--all)")
        for record in (each for each in records if each.state == "failed"):
            print(f"\n{printable(record.task)}[{record.unique_id[:8]}] failed: {printable(record.error, 500)}")


def _about(run: RunRow) -> Iterator[tuple[str, str]]:
    yield "run", run.id
    yield "result", f"{result_text(run)} in {seconds_text(run.seconds)}, {ago(run.started)}"
    yield "running", _running(run)
    names = ", ".join(dict.fromkeys(run.root_names))
    yield "what", "  ".join([names, *overrides_text(run.overrides)])
    yield "settings", "  ".join(overrides_text(run.settings))
    yield "label", run.label
    yield "env", run.env
    yield "git", _git(run.git)
    yield "host", run.host
    command = run.header.get("command")
    yield "command", " ".join(map(str, command)) if isinstance(command, list) else ""


def _running(run: RunRow) -> str:
    """Return the tasks that ran when the run was ended."""
    pairs = (run.end or {}).get("running", ())
    named = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2] if isinstance(pairs, list) else []
    return ", ".join(f"{name}[{str(unique_id)[:8]}]" for unique_id, name in named)


def _git(git: Mapping[str, Any]) -> str:
    return f"{str(git['commit'])[:7]}{' (changed files)' if git.get('dirty') else ''}" if git.get("commit") else ""


def _fields(pairs: Iterator[tuple[str, str]]) -> list[str]:
    lines = [f"{name:<10}{printable(text, 500)}" for name, text in pairs if text]
    most = width()
    return [line if most is None or len(line) <= most else f"{line[: most - 1]}…" for line in lines]


def _task_table(index: Index, shown: Sequence[RunRecord], records: Sequence[RunRecord]) -> list[str]:
    labels = dict(zip([record.unique_id for record in records], task_labels(index, records), strict=True))
    rows = [
        (
            printable(labels[record.unique_id], 80),
            record.unique_id[:8],
            record.state,
            seconds_text(record.seconds),
            "" if record.cpu is None else seconds_text(record.cpu),
            seconds_text(record.waited),
            "  ".join(f"{name} {number_text(value)}" for name, value in list(record.metrics.items())[:4]),
        )
        for record in shown
    ]
    return text_table(("task", "id", "state", "took", "CPU", "waited", "metrics"), rows, width(), {3, 4, 5})


# -- a task ----------------------------------------------------------------------------------------------------------


def _show_tasks(index: Index, records: Sequence[RunRecord], *, logs: bool) -> None:
    labels = task_labels(index, records)
    for number, (record, label) in enumerate(list(zip(records, labels, strict=True))[:_MOST_TASKS]):
        if number:
            print()
        print(f"{printable(label, 200)}  {record.unique_id[:8]}   {_ended(record)}")
        pairs = iter([(f"  {name}", text) for name, text in _facts(index, record, logs=logs)])
        print("\n".join(_fields(pairs)))
        if record.trace:
            print("\n".join(printable(line, _LONGEST_LINE) for line in record.trace.rstrip().splitlines()))
        if logs:
            print(_log(index, record))
    if len(records) > _MOST_TASKS:
        print(f"\n{len(records)} tasks; {_MOST_TASKS} shown. Name one by its id: kart show ID")


def _task_json(index: Index, record: RunRecord, *, logs: bool) -> dict[str, Any]:
    """Return the values of an attempt for programs: `log` is None if it logged nothing, or that is not kept."""
    row = attempt_row(record) | {"trace": record.trace}
    return row | {"log": log_text(index.workspace, record) if "lines" in record.log_files else None} if logs else row


def _ended(record: RunRecord) -> str:
    parts = [f"{record.state} in {seconds_text(record.seconds)}"]
    if record.cpu is not None:
        parts.append(f"CPU {seconds_text(record.cpu)}")
    if record.ended:
        parts.append(f"waited {seconds_text(record.waited)}")
    if record.worker:
        parts.append(f"on {record.worker.removesuffix(':MainThread')}")
    return ", ".join([*parts, ago(epoch(record.started))])


def _facts(index: Index, record: RunRecord, *, logs: bool) -> Iterator[tuple[str, str]]:
    yield "run", f"{short_id(record.run_id)} ({index.run_words().get(record.run_id, '')})"
    yield "why", record.reason
    yield "params", "  ".join(f"{name}={printable(str(text))}" for name, text in record.params.items())
    yield "metrics", "  ".join(f"{name} {number_text(value)}" for name, value in record.metrics.items())
    for output in record.outputs:
        found = stored_output(index, record, output.url)
        yield "output", f"{output.url}  {size_text(output.size)}{'' if found.exists else '  (gone)'}"
    yield "error", record.error
    git = _git(index.run_row(record.run_id).git)
    hint = "" if logs or not record.logged else f"   log: {record.logged} lines (--log)"
    yield "code", f"{record.code[:12]}{f', git {git}' if git else ''}{hint}"


def _log(index: Index, record: RunRecord) -> str:
    """Return the log records of the last attempt of a task."""
    if "lines" not in record.log_files:
        return "It logged nothing, or logs are not kept (run.keep_logs)."
    text = log_text(index.workspace, record)
    return "Its log file is gone." if text is None else text.rstrip()
