"""What decides whether runs are retained, from the index, or from their files where it does not know them."""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence

from kart_runtime.history.cleanup.retention import RunSummary
from kart_runtime.history.index import Index
from kart_runtime.history.runs import Run, RunFiles, lost_lines, read_runs

_QUERY = """SELECT run, header, ended, root_names,
            tasks > 0 OR verdicts != '{}' OR EXISTS (SELECT 1 FROM attempts a WHERE a.run = r.run),
            lines, damage FROM runs r"""


def summaries(
    index: Index, workspace: str, listed: Sequence[RunFiles], read: MutableMapping[str, Run]
) -> list[RunSummary]:
    """Return what is known of each run, in the same order; `read` are those that were read, and gets more of them."""
    rows = {row[0]: row[1:] for row in index.select(_QUERY)}
    found: dict[str, RunSummary] = {}
    doubtful = []
    for files in listed:
        row = rows.get(files.id)
        if files.id in read:
            continue
        if row is None or not (row[3] or row[1]):  # it names no tasks, or has not said yet which it uses
            doubtful.append(files)
            continue
        header, end = json.loads(row[0] or "{}"), json.loads(row[1]) if row[1] else None
        damage = row[5] or lost_lines(row[4], end)
        found[files.id] = RunSummary(files, header, end, bool(row[3]), json.loads(row[2]), damage)
    read.update({run.id: run for run in read_runs(workspace, doubtful)})
    return [found.get(files.id) or _summary(read[files.id]) for files in listed]


def _summary(run: Run) -> RunSummary:
    roots = run.header.get("roots")
    wanted = set(map(str, roots)) if isinstance(roots, list) else set()
    names = sorted({task.task for task in run.tasks if task.unique_id in wanted})
    has_references = run.has_references or bool(run.records)
    return RunSummary(RunFiles(run.id, run.files), run.header, run.end, has_references, names, run.damage)
