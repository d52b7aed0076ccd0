"""Writer of a report: from a run of a workspace, and what is known about earlier ones, to one HTML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kart_runtime.errors import KartError
from kart_runtime.history.index import Index, open_index
from kart_runtime.history.labels import LabelNode, labels
from kart_runtime.history.runs import Run
from kart_runtime.report.columns import columns
from kart_runtime.report.data import Contents, contents, variants
from kart_runtime.report.earlier import nearest_runs, run_differences
from kart_runtime.report.logs import logs_and_traces, series
from kart_runtime.report.page import MARK, image_id, page
from kart_runtime.report.previews import MOST_TASKS, Preview, previews
from kart_runtime.report.texts import counted
from kart_runtime.storage.registry import split_url

_HEAD = 2_000
"""Bytes of a file in which the mark of a report is."""


class NoReport(KartError):
    """A report cannot be written to a place.

    Parameters
    ----------
    path
        The place.
    why
        The reason, and what to do.
    """

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}")


def write_report(
    workspace: str,
    run_id: str,
    path: str | os.PathLike[str],
    *,
    folder: str = "",
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
    folder
        Folder that relative paths of outputs refer to; "": that of the run, if it is there, else the current one.
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
    NoReport
        If the folder does not exist, or a file is there that is no report.
    """
    target = Path(path)
    check_place(target, force=force)
    with open_index(workspace) as index:
        text = report_text(index, index.run(run_id), folder, with_previews=with_previews, unpickles=unpickles)
    try:
        target.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise NoReport(str(target), f"it cannot be written: {error.strerror or error}.") from error
    return target


def check_place(path: Path, *, force: bool) -> None:
    """Raise `NoReport` if a report cannot be written to a path."""
    if path.is_dir():
        raise NoReport(str(path), "it is a folder. Name a file, such as report.html.")
    if not path.parent.is_dir():
        raise NoReport(str(path), f"the folder {path.parent} does not exist. Create it first, or name another one.")
    if force or not path.exists():
        return
    try:
        with path.open("rb") as file:
            is_report = MARK.encode() in file.read(_HEAD)
    except OSError as error:
        raise NoReport(str(path), f"it cannot be read: {error.strerror or error}. Name another file.") from error
    if not is_report:
        raise NoReport(str(path), "it is not a report of kart. Name another file, or replace it with --force.")


def report_text(index: Index, run: Run, folder: str, *, with_previews: bool, unpickles: bool) -> str:
    """Return the report of a run as HTML."""
    found = contents(run, index.newest, index.upstream)
    names = _labels(found)
    shown, notes = _previews(found, folder or _folder_of(run), unpickles) if with_previews else ([], [])
    extras, more = _extras(found, index, shown)
    keys, values, metrics = variants(found)
    data = columns(found, names) | {
        "hasGraph": found.has_graph,
        "sweep": {"keys": keys, "values": values, "metrics": metrics},
    }
    images = [preview for preview in shown if preview.kind == "image"]
    before = _before(index, run)
    return page(found, names, data=data, extras=extras, images=images, before=before, notes=[*notes, *more])


def _labels(found: Contents) -> list[str]:
    nodes = [
        LabelNode(task.name.module, task.name.task, task.record.params if task.record else {}, task.name.unique_id)
        for task in found.tasks
    ]
    return labels(nodes, found.requires)


def _folder_of(run: Run) -> str:
    """Return the folder that the outputs' paths refer to: that in which the run began, if it is on this machine."""
    folder = run.header.get("folder")
    is_here = isinstance(folder, str) and Path(folder).is_dir()
    return str(folder) if is_here else os.getcwd()  # noqa: PTH109 - the text


def _previews(found: Contents, folder: str, unpickles: bool) -> tuple[list[Preview], list[str]]:
    shown = previews(found, folder, unpickles=unpickles)
    stored = sum(1 for task in found.tasks if task.record is not None and task.record.outputs)
    if stored > MOST_TASKS:
        return shown, [f"Previews: of {MOST_TASKS} of the {counted(stored, 'task')} with outputs, some of each class."]
    return shown, []


def _extras(found: Contents, index: Index, shown: Sequence[Preview]) -> tuple[dict[str, Any], list[str]]:
    """Return what the panel shows, by number of the task, and notes about what was left out."""
    workspace = _workspace_of(found.run, index.workspace)
    logs, traces, left_out = logs_and_traces(found, workspace)
    nearest = {
        number: {"id": each.record.unique_id, "run": each.record.run_id, "differs": each.differences}
        for number, each in nearest_runs(found, index.candidates).items()
    }
    of_task: dict[int, list[tuple[object, ...]]] = {}
    for preview in shown:
        content = image_id(preview) if preview.kind == "image" else preview.content
        of_task.setdefault(preview.task, []).append((preview.output, preview.kind, content, preview.type))
    extras: dict[str, Mapping[int, Any]] = {
        "logs": logs,
        "traces": traces,
        "series": series(found, workspace),
        "nearest": nearest,
        "previews": of_task,
    }
    notes = [f"Logs: {left_out:,} are not in this report; kart show ID --log prints one."] if left_out else []
    return dict(extras), notes


def _workspace_of(run: Run, workspace: str) -> str:
    """Return the workspace to read from: the one that was asked for, which may have moved since the run."""
    return (
        workspace
        if split_url(workspace)[0] or Path(workspace).is_dir()
        else str(run.header.get("workspace") or workspace)
    )


def _before(index: Index, run: Run) -> tuple[str, dict[str, list[str]]]:
    """Return the id of the run before, and what differs from it; an empty id if there is none."""
    rows = [row.id for row in index.runs()]
    place = rows.index(run.id) + 1 if run.id in rows else len(rows)
    if place >= len(rows):
        return "", {}
    before = index.run(rows[place])
    return before.id, run_differences(before, run)
