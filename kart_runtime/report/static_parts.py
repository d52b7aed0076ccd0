"""Parts of the page that need no script: head, failures with their traces, tables of classes and of a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kart_runtime.report.data import COMPLETE, FAILED, MARKS, STATES, Contents, mapping, variants
from kart_runtime.report.texts import counted, escaped, number_text, seconds_text, when_text

_MOST_FAILURES = 20
_TRACE_BUDGET = 5_000
"""Characters of traces in the parts without a script; the panel has more of them."""

_MOST_CLASSES = 200
_MOST_VARIANTS = 100

_RESULTS = {
    "done": "✓ done",
    "failed": "✗ failed",
    "interrupted": "✗ interrupted",
    "running": "… still running",
    "died": "✗ died (its process ended before it)",
    "died?": "✗ died? (no end was recorded)",
}


def result(contents: Contents) -> str:
    """Return how the run ended, with its counts, as text."""
    counts = ", ".join(f"{count:,} {STATES[state]}" for state, count in contents.counts().items())
    return f"{_RESULTS.get(contents.state, contents.state)}: {counts or 'no task'}"


def head(contents: Contents, labels: Sequence[str], before: Mapping[str, Sequence[str]], before_id: str) -> str:
    """Return the head: result, what was asked for, where, and what differs from the run before."""
    run = contents.run
    header, end = run.header, run.end or {}
    kind = {"done": "ran", "running": "pending"}.get(contents.state, "failed")
    by_id = {task.name.unique_id: label for task, label in zip(contents.tasks, labels, strict=True)}
    roots = [by_id.get(str(root), str(root)[:8]) for root in _listed(header.get("roots"))]
    title = ", ".join(roots[:3]) + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")
    label = f" <span class='label'>{escaped(header['label'], 80)}</span>" if header.get("label") else ""
    git = mapping(end.get("git") or header.get("git"))
    facts = {
        "Run": f"{run.id}, {when_text(run.started)}, took {seconds_text(contents.seconds())}",
        "Command": _command(header),
        "Overrides": _pairs(header.get("overrides")),
        "Settings": _pairs(header.get("settings")),
        "Environment": header.get("env", ""),
        "Git": f"{str(git['commit'])[:12]}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else "",
        "Host": f"{header['host']}, process {header.get('pid', '')}" if header.get("host") else "",
        "Workspace": header.get("workspace", ""),
        "Damage": run.unread or run.cut,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escaped(value, 2000)}</dd>" for name, value in facts.items() if value)
    return (
        f"<header><h1>{escaped(title or run.id, 200)}{label}</h1>"
        f'<p class="result {kind}">{escaped(result(contents))}</p>'
        f"<dl>{rows}</dl>{_versions(header, end)}{_before(before, before_id)}</header>"
    )


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _command(header: Mapping[str, Any]) -> str:
    words = [str(word) for word in _listed(header.get("command"))]
    if not words:
        return ""
    program = words[0].replace("\\", "/").rpartition("/")[2]
    return " ".join([program, *(f"'{word}'" if " " in word or not word else word for word in words[1:])])


def _pairs(values: object) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) if isinstance(values, Mapping) else ""


def _versions(header: Mapping[str, Any], end: Mapping[str, Any]) -> str:
    versions = {**mapping(header.get("versions")), **mapping(end.get("versions"))}
    if not versions:
        return ""
    text = escaped(", ".join(f"{name} {version}" for name, version in versions.items()), 6000)
    return f"<details><summary>Versions of {len(versions)} libraries</summary><p>{text}</p></details>"


def _before(differences: Mapping[str, Sequence[str]], run_id: str) -> str:
    """Return what differs from the run before."""
    if not run_id:
        return ""
    if not differences:
        return f"<p>Nothing that is recorded differs from the run before ({escaped(run_id)}).</p>"
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{'<br>'.join(escaped(line, 400) for line in lines)}</dd>"
        for name, lines in differences.items()
    )
    summary = f"What differs from the run before ({escaped(run_id)})"
    return f"<details open><summary>{summary}</summary><dl>{rows}</dl></details>"


def failures(contents: Contents, labels: Sequence[str]) -> str:
    """Return the errors with the tasks that failed with them, and the trace of the first."""
    by_error: dict[str, list[int]] = {}
    for number, task in enumerate(contents.tasks):
        if task.state == FAILED and task.record is not None:
            by_error.setdefault(task.record.error, []).append(number)
    items: list[str] = []
    left = _TRACE_BUDGET
    for error, numbers in list(by_error.items())[:_MOST_FAILURES]:
        trace = getattr(contents.tasks[numbers[0]].record, "trace", "")[-min(left, 4000) :] if left > 0 else ""
        left -= len(trace)
        shown = f"<pre>{escaped(trace)}</pre>" if trace else ""
        names = ", ".join(escaped(labels[number], 100) for number in numbers[:3])
        more = f" and {len(numbers) - 3:,} more" if len(numbers) > 3 else ""
        items.append(
            f"<details{' open' if len(items) < 3 else ''}><summary><b>✗ {names}{more}</b> "
            f"{escaped(error, 300)}</summary>{shown}</details>"
        )
    if not items:
        return ""
    rest = f"<p>… and {len(by_error) - len(items):,} other errors</p>" if len(by_error) > len(items) else ""
    heading = counted(sum(map(len, by_error.values())), "failure")
    return f'<section id="failures"><h2>{heading}</h2>{"".join(items)}{rest}</section>'


def class_table(contents: Contents) -> str:
    """Return a table with a row for each class: states, and time."""
    states: dict[tuple[str, str], Counter[int]] = {}
    seconds: dict[tuple[str, str], float] = {}
    for task in contents.tasks:
        key = (task.name.module, task.name.task)
        states.setdefault(key, Counter())[task.state] += 1
        if task.attempts and task.record is not None:
            seconds[key] = seconds.get(key, 0.0) + float(task.record.seconds)
    used = list(contents.counts()) or [COMPLETE]
    heads = "".join(f"<th scope=col class=n>{MARKS[state]} {STATES[state]}</th>" for state in used)
    rows = [
        f"<tr><th scope=row>{escaped(key[1], 100)}</th><td>{escaped(key[0], 100)}</td>"
        + "".join(f"<td class=n>{found[state] or ''}</td>" for state in used)
        + f"<td class=n>{seconds_text(seconds[key]) if key in seconds else ''}</td></tr>"
        for key, found in sorted(states.items(), key=lambda each: -seconds.get(each[0], 0.0))[:_MOST_CLASSES]
    ]
    rest = f"<p>… and {len(states) - len(rows):,} more classes</p>" if len(states) > len(rows) else ""
    return (
        '<section id="classes"><h2>Classes</h2><div class="scroll"><table><thead><tr><th scope=col>Class</th>'
        f"<th scope=col>Module</th>{heads}<th scope=col class=n>time</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{rest}</section>"
    )


def path_text(contents: Contents, labels: Sequence[str]) -> str:
    """Return the critical path as text."""
    if not contents.path:
        return ""
    bars = [contents.timeline.bars[number] for number in contents.path]
    steps = [f"{labels[bar.task]} {seconds_text(bar.seconds)}" for bar in bars]
    if len(steps) > 12:
        steps = [*steps[:6], f"… {len(steps) - 11:,} more", *steps[-5:]]
    total, whole = seconds_text(contents.path_seconds()), seconds_text(contents.timeline.seconds)
    return f"Critical path {total} of {whole}: {' → '.join(escaped(step, 100) for step in steps)}"


def sweep_table(contents: Contents) -> str:
    """Return the table of the variants of a sweep; "" without one."""
    keys, values, metrics = variants(contents)
    if not values:
        return ""
    names = list(dict.fromkeys(name for row in metrics for name in row))[:20]
    heads = _cells("th scope=col", [".".join(key.split(".")[-2:]) for key in keys]) + _cells(
        "th scope=col class=n", names
    )
    rows = [
        f"<tr>{_cells('td', row)}{_cells('td class=n', [number_text(found.get(name, '')) for name in names])}</tr>"
        for row, found in list(zip(values, metrics, strict=True))[:_MOST_VARIANTS]
    ]
    rest = f"<p>… and {len(values) - len(rows):,} more variants</p>" if len(values) > len(rows) else ""
    return (
        f'<section id="sweep"><h2>{counted(len(values), "variant")}</h2><div class="scroll"><table><thead><tr>{heads}'
        f'</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{rest}<div id="scatter"></div></section>'
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escaped(text, 60)}</{tag.partition(' ')[0]}>" for text in texts)
