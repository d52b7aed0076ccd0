"""Deletion of the files of a workspace that are no outputs of a pipeline, as gokart has it.

A deletion cannot be undone, so whatever is in doubt stays: workspaces that are not a folder of this machine, links,
hidden files, logs. `kart gc` deletes by another rule, on any store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.history.cleanup.files import RemovalResult, files_of
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace, unneeded_files
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.folder_files import files_key
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.target import path_of
from kart_runtime.storage.workspace import LOG
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.nested import iter_flat

logger = logging.getLogger(__name__)


def delete_unnecessary_outputs(task: TaskOnKart[Any], dry_run: bool = False) -> list[str]:
    """Delete the files of a task's workspace that are no outputs of it or of anything upstream.

    Only files whose names outputs may have are deleted: with a unique id and a suffix, or with the suffix of one of
    kart's formats. What stays: all others; outputs, also those in another workspace inside this one and everything
    below an output that is a folder; published files; everything below ``log`` of the workspaces of these tasks;
    hidden files and folders; links; temporary files of running programs; empty folders. Tasks that only `run()` yields
    are not known, so their outputs are deleted. Do not call it while other pipelines write to the workspace.

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
        The workspace is not on a file system, or is a folder that is surely no workspace: `/`, the home folder, the
        current folder, or a folder that contains one of these.
    OSError
        Some files could not be deleted; the others are.
    """
    root = _checked(task.workspace_directory)
    tasks = build_graph([task]).tasks
    needed = {path for path in map(_real, _outputs(tasks)) if path}
    needed |= {path for path in map(_real, _published(tasks)) if path}
    needed |= {os.path.join(folder, LOG) for folder in map(_real, _workspaces(tasks)) if folder}  # noqa: PTH118
    paths = sorted(unneeded_files(root, needed))
    result = RemovalResult()
    if not dry_run:
        result.delete(files_of(root, Path.cwd()), dict.fromkeys(paths, 0))
    for path in paths:
        if path not in result.failed:
            logger.info("%s %s", "would remove" if dry_run else "removed", path)
    logger.info("%d files below %s are not needed by %s", len(paths), root, task.get_task_family())
    if result.failed:
        raise OSError("; ".join(f"{path}: {reason}" for path, reason in result.failed.items()))
    return paths


def _checked(workspace: str) -> str:
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
    return root


def _real(url: str) -> str | None:
    """Return the absolute path without links, so that `./resources//x` and `resources/x` are equal; None elsewhere."""
    scheme, path = split_url(url)
    return os.path.realpath(path) if scheme in ("", "file") and path else None


def _outputs(tasks: Iterable[luigi.Task]) -> Iterator[str]:
    for task in tasks:
        yield from (path_of(target) for target in iter_flat(task.output()))


def _published(tasks: Iterable[luigi.Task]) -> Iterator[str]:
    for workspace in _workspaces(tasks):
        for url in (PublishedFile(workspace, path).url for path in published_paths(workspace)):
            yield url
            if url.endswith(FOLDER_SUFFIX):
                yield files_key(url)


def _workspaces(tasks: Iterable[luigi.Task]) -> set[str]:
    return {task.workspace_directory for task in tasks if isinstance(task, TaskOnKart)}


delete_local_unnecessary_outputs = delete_unnecessary_outputs
"""gokart's name."""
