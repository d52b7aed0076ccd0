"""Command `kart diff`: show what differs between two runs."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from kart_runtime.cli.commands.runs import short_id
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.past_runs import no_run, open_history, print_csv, print_json, width
from kart_runtime.errors import ConfigError
from kart_runtime.history.differences import Change, RunDifference, difference, relative_change
from kart_runtime.history.names import default_runs, resolve_run
from kart_runtime.history.tables import ago, named_counts, number_text, printable, seconds_text

_MOST = 8
"""Entries of a section that are shown; --json has all."""


_LONGEST = 2000
"""Characters of an entry."""


def execute(arguments: argparse.Namespace) -> int:
    """Print the differences."""
    index, words = open_history(arguments)
    if len(words) > 2:
        raise ConfigError(f"too many arguments: {' '.join(words[2:])}. Write: kart diff RUN RUN", file="command line")
    if no_run(index, arguments):
        return ExitCode.OK
    newest = default_runs(index, 2)
    words = words or (newest[::-1] if len(newest) > 1 else ["last~1", "last"])
    before, after = (resolve_run(index, word) for word in (words if len(words) == 2 else [*words, newest[0]]))
    found = difference(index, index.run_row(before), index.run_row(after))
    if arguments.json:
        print_json(found.as_json())
    elif arguments.csv:
        print_csv(found.rows())
    else:
        print("\n".join(lines(found)))
    return ExitCode.OK


def lines(found: RunDifference) -> list[str]:
    """Return the differences as text, a section after the other."""
    runs = [f"{short_id(run.id)} ({ago(run.started)})" for run in (found.before, found.after)]
    sections: list[tuple[str, list[str]]] = [
        ("runs", [f"{runs[0]} → {runs[1]}"]),
        ("settings", [_changed(change) for change in found.settings]),
        ("versions", [_changed(change) for change in found.versions]),
        ("code", [_changed(change) if change.name == "git" else change.name for change in found.code]),
        ("inputs", [_input(found, change) for change in found.inputs]),
        ("tasks", list(_tasks(found))),
        ("time", [f"{seconds_text(found.before.seconds)} → {seconds_text(found.after.seconds)}"]),
        ("metrics", [_metrics(name, changes) for name, changes in found.metrics.items()]),
    ]
    texts = []
    for title, entries in sections:
        shown = entries[:_MOST]
        shown += [f"… {len(entries) - _MOST} more (--json)"] if len(entries) > _MOST else []
        for number, entry in enumerate(shown):
            line = f"{title if not number else '':<10}{printable(entry, _LONGEST)}"
            most = width()
            texts.append(line if most is None or len(line) <= most else f"{line[: most - 1]}…")
    if not (found.settings or found.versions or found.code or found.inputs or found.tasks or found.metrics):
        texts.append("Nothing else differs.")
    return texts


def _text(value: Any) -> str:
    return "–" if value is None else printable(str(value))


def _input(found: RunDifference, change: Change) -> str:
    """Return a file with the first digits of its checksums, its path relative to the folder of the run."""
    path = change.name.removeprefix(f"{found.after.header.get('folder')}/")
    return f"{path}  {_digits(change.before)} → {_digits(change.after)}"


def _digits(checksum: str) -> str:
    """Return the first digits of a checksum; of an object in a bucket its version or size."""
    algorithm, colon, rest = checksum.partition(":")
    return rest[:8] if colon and algorithm != "version" else printable(rest or checksum)


def _number(value: Any) -> str:
    return number_text(value) or "–"


def _changed(change: Change) -> str:
    return f"{change.name}  {_text(change.before)} → {_text(change.after)}"


def _tasks(found: RunDifference) -> Iterator[str]:
    """Yield how many tasks are in both, and what took the place of the others."""
    both = [(each.after.task, each.changed or each.is_first) for each in found.tasks if each.before and each.after]
    changed = Counter(task for task, is_cause in both if is_cause)
    follow = Counter(task for task, is_cause in both if not is_cause)
    gone = Counter(each.before.task for each in found.tasks if each.before and not each.after)
    new = Counter(each.after.task for each in found.tasks if each.after and not each.before)
    replaced = sum((changed + follow).values())
    text = f"{found.same} in both"
    if replaced:
        words = [_named(changed)] if changed else []
        words += [f"{_named(follow)} follow"] if follow else []
        text += f", {replaced} replaced ({' → '.join(words)})"
    for counts, word in ((gone, "only before"), (new, "only after")):
        if counts:
            text += f", {sum(counts.values())} {word} ({_named(counts)})"
    yield text
    yield from dict.fromkeys(
        f"  {each.after.task}  {', '.join(map(_changed, each.changed))}"
        for each in found.tasks
        if each.after and each.changed
    )


def _named(counts: Counter[str]) -> str:
    names = named_counts(counts)
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _metrics(name: str, changes: Sequence[Change]) -> str:
    texts = [
        f"{change.name} {_number(change.before)} → {_number(change.after)}{relative_change(change)}"
        for change in changes[:_MOST]
    ]
    texts += [f"… {len(changes) - _MOST} more (--json)"] if len(changes) > _MOST else []
    return f"{name}  {'   '.join(texts)}"
