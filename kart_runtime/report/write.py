"""Writer of a report: from a run of a workspace, and what is known about earlier ones, to one HTML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kart_runtime.edits.output_file import check_output_file, write_output_file
from kart_runtime.history.index import Index, open_index
from kart_runtime.history.labels import LabelNode, labels
from kart_runtime.history.runs import Run
from kart_runtime.report.columns import columns
from kart_runtime.report.data import Contents, contents, variants
from kart_runtime.report.earlier import before, nearest_runs
from kart_runtime.report.logs import logs_and_traces, series
from kart_runtime.report.page import MARK, image_id, page
from kart_runtime.report.previews import MOST_TASKS, Preview, previews
from kart_runtime.report.texts import counted


def write_report(
    workspace: str,
    run_id: str,
    path: str | os.PathLike[str],
    *,
    with_previews: bool = True,
    unpickles: bool = False,
    force: bool = False,
) -> Path:
    """Write the report of a run to a file, and return its path.

    Parameters
    ----------
    workspace
        Path or url of the workspace.
    run_id
        Id of the run.
    path
        Where to write it. Only another report is replaced.
    with_previews
        Whether to look into outputs.
    unpickles
        Whether to load pickles for previews, which runs code.
    force
        Whether to replace any file.

    Raises
    ------
    KeyError
        If there is no such run.
    ConfigError
        If the folder does not exist, or a file is there that is no report.
    """
    target = Path(path)
    check_place(target, force=force)
    with open_index(workspace) as index:
        text = report_text(index, index.run(run_id), with_previews=with_previews, unpickles=unpickles)
    write_output_file(target, text)
    return target


def check_place(path: Path, *, force: bool) -> None:
    """Raise `ConfigError` if a report cannot be written to a path."""
    check_output_file(path, lambda head: MARK.encode() in head, "is no report of kart", force=force)


def report_text(index: Index, run: Run, *, with_previews: bool, unpickles: bool) -> str:
    """Return the report of a run as HTML."""
    found = contents(run, index)
    names = _labels(found)
    shown, notes = _previews(found, index, unpickles) if with_previews else ([], [])
    extras, more = _extras(found, index, shown)
    keys, values, metrics = variants(found)
    data = columns(found, names) | {
        "hasGraph": found.has_graph,
        "sweep": {"keys": keys, "values": values, "metrics": metrics},
    }
    images = [preview for preview in shown if preview.kind == "image"]
    return page(found, names, data=data, extras=extras, images=images, before=before(index, run), notes=[*notes, *more])


def _labels(found: Contents) -> list[str]:
    nodes = [
        LabelNode(task.name.module, task.name.task, task.record.params if task.record else {}, task.name.unique_id)
        for task in found.tasks
    ]
    return labels(nodes, found.requires)


def _previews(found: Contents, index: Index, unpickles: bool) -> tuple[list[Preview], list[str]]:
    shown = previews(found, index, unpickles=unpickles)
    stored = sum(1 for task in found.tasks if task.record is not None and task.record.outputs)
    if stored > MOST_TASKS:
        return shown, [f"Previews: of {MOST_TASKS} of the {counted(stored, 'task')} with outputs, some of each class."]
    return shown, []


def _extras(found: Contents, index: Index, shown: Sequence[Preview]) -> tuple[dict[str, Any], list[str]]:
    """Return what the panel shows, by number of the task, and notes about what was left out."""
    logs, traces, left_out = logs_and_traces(found, index.workspace)
    nearest = {
        number: {"id": each.earlier.unique_id, "run": each.earlier.run_id, "differs": each.differences}
        for number, each in nearest_runs(found, index).items()
    }
    of_task: dict[int, list[tuple[object, ...]]] = {}
    for preview in shown:
        content = image_id(preview) if preview.kind == "image" else preview.content
        of_task.setdefault(preview.task, []).append((preview.output, preview.kind, content, preview.type))
    extras: dict[str, Mapping[int, Any]] = {
        "logs": logs,
        "traces": traces,
        "series": series(found, index.workspace),
        "nearest": nearest,
        "previews": of_task,
    }
    notes = [f"Logs: {left_out:,} are not in this report; kart show ID --log prints one."] if left_out else []
    return dict(extras), notes
