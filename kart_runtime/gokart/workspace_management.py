"""Deletion of the files of a workspace that are no outputs of a pipeline, as gokart has it.

A deletion cannot be undone, so whatever is in doubt stays: workspaces that are not a folder of this machine or in which
kart never ran, what nobody has recorded and has no id in its name, links, hidden files, logs. `kart gc` deletes by
another rule, on any store. Unlike the commands, the function deletes when it is called, as its name says.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace, unneeded_files
from kart_runtime.history.cleanup.notice import deleting_from
from kart_runtime.history.cleanup.recorded import id_in, recorded_files
from kart_runtime.history.cleanup.running import used_by_running
from kart_runtime.history.index import open_index
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.folder_files import files_key
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.target import path_of
from kart_runtime.storage.workspace import LOG, LOG_FILES, RUNS
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.nested import iter_flat

logger = logging.getLogger(__name__)


def delete_unnecessary_outputs(task: TaskOnKart[Any], dry_run: bool = False) -> list[str]:
    """Delete the files of a task's workspace that are no outputs of it or of anything upstream.

    Only files that records of runs name, or whose names have a unique id and a suffix, are deleted, and only in a
    workspace in which kart has run. What stays: all others; outputs, also those in another workspace inside this one
    and everything below an output that is a folder; what running runs use; published files; everything below ``log`` of
    the workspaces of these tasks; hidden files and folders; links; temporary files of running programs; empty folders.
    Outputs of tasks that only `run()` yields stay if a recorded run says what was yielded.

    Parameters
    ----------
    task
        The task whose outputs are needed, with those of everything upstream.
    dry_run
        Only return what would be deleted.

    Returns
    -------
    list of str
        Absolute paths, sorted.

    Raises
    ------
    UnsafeWorkspace
        The workspace is not on a file system, kart has never run in it, or it is a folder that is surely no workspace:
        `/`, the home folder, the current folder, the folder of a project, or a folder that contains one of these.
    OSError
        Some files could not be deleted; the others are.
    """
    return _delete(task, dry_run, by_suffix=False)


def delete_local_unnecessary_outputs(task: TaskOnKart[Any], dry_run: bool = False) -> list[str]:
    """Delete the files of a task's workspace that are no outputs of it or of anything upstream, as gokart does.

    Files with the suffix of a format are deleted as well, whether a record names them or not, also in a folder in which
    nothing has run. What a person may write stays: documents, and files without a suffix. In all else it is
    `kart_runtime.delete_unnecessary_outputs`.

    Parameters
    ----------
    task
        The task whose outputs are needed, with those of everything upstream.
    dry_run
        Only return what would be deleted.

    Returns
    -------
    list of str
        Absolute paths, sorted.

    Raises
    ------
    UnsafeWorkspace
        As `delete_unnecessary_outputs`, but for a workspace without records.
    OSError
        Some files could not be deleted; the others are.
    """
    return _delete(task, dry_run, by_suffix=True)


def _delete(task: TaskOnKart[Any], dry_run: bool, *, by_suffix: bool) -> list[str]:
    root = _checked(task.workspace_directory, needs_records=not by_suffix)
    if not Path(root).exists():
        return []
    tasks = build_graph([task]).tasks
    needed = {path for path in map(_real, _outputs(tasks)) if path}
    needed |= {path for path in map(_real, _published(tasks)) if path}
    needed |= {os.path.join(folder, LOG) for folder in map(_real, _workspaces(tasks)) if folder}  # noqa: PTH118
    recorded = recorded_files(root, Path.cwd(), ())
    result = RemovalResult()
    with nullcontext() if dry_run else deleting_from(root) as notice:
        in_use, upstream = used_by_running(recorded), _recorded_upstream(root, tasks)
        paths = sorted(
            path
            for path in unneeded_files(root, needed, recorded.sizes(), by_suffix=by_suffix)
            if not in_use(path) and upstream.isdisjoint({id_in(path), *recorded.ids.get(path, ())})
        )
        if notice is not None:
            recorded.files.check = notice.check
        if not dry_run:
            result.delete(recorded.files, dict.fromkeys(paths, 0))
    for path in paths:
        if path not in result.failed:
            logger.info("%s %s", "would remove" if dry_run else "removed", path)
    logger.info("%d files below %s are not needed by %s", len(paths), root, task.get_task_family())
    if result.failed:
        raise OSError("; ".join(f"{path}: {reason}" for path, reason in result.failed.items()))
    return paths


def _checked(workspace: str, *, needs_records: bool) -> str:
    """Return the real path of a workspace in which files may be deleted."""
    if not workspace.strip():
        raise UnsafeWorkspace(workspace, "it is empty, which means the current folder. Set workspace_directory.")
    root = _real(workspace)
    if root is None:
        raise UnsafeWorkspace(
            workspace, "it is not on a file system of this machine. Delete files with the tools of that storage."
        )
    for place, name in ((Path.cwd(), "the current folder"), (Path("~").expanduser(), "the home folder")):
        if Path(root) in (place.resolve(), *place.resolve().parents):
            raise UnsafeWorkspace(
                workspace, f"it is or contains {name}. Set workspace_directory to a folder of its own."
            )
    if not any((Path(root) / name).exists() for name in _OF_A_PROJECT):
        if not needs_records or not Path(root).exists() or _has_log_files(root):
            return root
        raise UnsafeWorkspace(
            workspace, "no run is recorded in it. Run the task once, or delete by hand what is not needed."
        )
    raise UnsafeWorkspace(workspace, "it is the folder of a project. Set workspace_directory to a folder of its own.")


def _has_log_files(root: str) -> bool:
    """Return whether a run has left records or, as under luigi's worker and gokart, log files of tasks."""
    patterns = [f"{RUNS}/*.jsonl", *(f"{LOG}/{kind}/*_{'[0-9a-f]' * 32}.*" for kind in LOG_FILES)]
    return any(found for pattern in patterns for found in Path(root).glob(pattern))


_OF_A_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")


def _real(url: str) -> str | None:
    """Return the absolute path without links, so that `./resources//x` and `resources/x` are equal; None elsewhere."""
    scheme, path = split_url(url)
    return os.path.realpath(path) if scheme in ("", "file") and path else None


def _outputs(tasks: Iterable[luigi.Task]) -> Iterator[str]:
    for task in tasks:
        yield from (path_of(target) for target in iter_flat(task.output()))


def _recorded_upstream(root: str, tasks: Iterable[luigi.Task]) -> frozenset[str]:
    """Return the ids of what tasks have yielded in recorded runs, and of what that required."""
    new = frozenset(task.make_unique_id() for task in tasks if isinstance(task, TaskOnKart))
    found: set[str] = set()
    with open_index(root) as index:
        while new:
            known = index.upstream_of(new)
            new = frozenset(uid for ids in known.values() for uid in ids) - found
            found |= new
    return frozenset(found)


def _published(tasks: Iterable[luigi.Task]) -> Iterator[str]:
    for workspace in _workspaces(tasks):
        for url in (PublishedFile(workspace, path).url for path in published_paths(workspace)):
            yield url
            if url.endswith(FOLDER_SUFFIX):
                yield files_key(url)


def _workspaces(tasks: Iterable[luigi.Task]) -> set[str]:
    return {task.workspace_directory for task in tasks if isinstance(task, TaskOnKart)}
