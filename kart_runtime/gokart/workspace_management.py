"""How is a workspace tidied up? By removing the files that no task of a pipeline has as its output.

Called by `luigi_command` and by users. Removing cannot be taken back, so whatever is in doubt stays: other places than
a folder of this machine, links, hidden files, logs. `garbage` removes by another rule, on any store.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.history.abandoned import UnsafeWorkspace, is_stale_temp_file
from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.stores.local import TEMPORARY_PREFIX
from kart_runtime.storage.target import path_of
from kart_runtime.storage.workspace import LOG
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.nested import iter_flat

logger = logging.getLogger(__name__)


def delete_unnecessary_outputs(task: TaskOnKart[Any], dry_run: bool = False) -> list[str]:
    """Remove the files of a task's workspace that are no outputs of it or of anything upstream; return their paths.

    What stays: outputs, also those in the folder of another workspace inside this one and everything below an output
    that is a folder; all below ``log`` of the workspaces of these tasks; hidden files and folders; links; temporary
    files of programs that run. Empty folders stay, too. Tasks that `run()` only yields are not known, so their outputs
    go. Do not call it while other pipelines write to the workspace.

    Parameters
    ----------
    task
        The task whose outputs are needed, with those of everything upstream.
    dry_run
        Only return what would be removed.

    Returns
    -------
    Absolute paths, sorted.

    Raises
    ------
    UnsafeWorkspace
        When the workspace is not on a file system, or is a folder that is surely no workspace: `/`, the home folder, or
        the folder that the program runs in, or one above these.
    """
    root = _checked(task.workspace_directory)
    tasks = build_graph([task]).tasks
    needed = {path for path in map(_real, _outputs(tasks)) if path}
    needed |= {os.path.join(folder, LOG) for folder in map(_real, _workspaces(tasks)) if folder}  # noqa: PTH118
    found = sorted(_unneeded(root, frozenset(needed)))
    for path in found:
        if not dry_run:
            Path(path).unlink(missing_ok=True)  # another process may have been faster
        logger.info("%s %s", "would remove" if dry_run else "removed", path)
    logger.info("%d files below %s are not needed by %s", len(found), root, task.get_task_family())
    return found


def _checked(workspace: str) -> str:
    """Return the real path of a workspace in which files may be removed."""
    if not workspace.strip():
        raise UnsafeWorkspace(workspace, "it is empty, which is the current folder. Set workspace_directory.")
    root = _real(workspace)
    if root is None:
        raise UnsafeWorkspace(
            workspace, "it is not on a file system of this machine. Remove files there by the tools of that storage."
        )
    for place, name in ((Path.cwd(), "the current folder"), (Path("~").expanduser(), "the home folder")):
        if Path(root) in (place.resolve(), *place.resolve().parents):
            raise UnsafeWorkspace(
                workspace, f"it is {name} or holds it. Set workspace_directory to a folder of its own."
            )
    return root


def _real(url: str) -> str | None:
    """Return the absolute path without links, so that `./resources//x` and `resources/x` are one; None elsewhere."""
    scheme, path = split_url(url)
    return os.path.realpath(path) if scheme in ("", "file") and path else None


def _outputs(tasks: Iterable[luigi.Task]) -> Iterator[str]:
    for task in tasks:
        yield from (path_of(target) for target in iter_flat(task.output()))


def _workspaces(tasks: Iterable[luigi.Task]) -> set[str]:
    return {task.workspace_directory for task in tasks if isinstance(task, TaskOnKart)}


def _unneeded(root: str, needed: frozenset[str]) -> Iterator[str]:
    """Go through the files to remove; links to folders are not entered, so each path is a real path."""
    if root in needed:
        return
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _stays(folder, name, needed)]
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118 - once for each file of the workspace
            if name.startswith(TEMPORARY_PREFIX):
                if is_stale_temp_file(path, name):
                    yield path
            elif not _stays(folder, name, needed) and _is_regular(path):
                yield path


def _stays(folder: str, name: str, needed: frozenset[str]) -> bool:
    return name.startswith(".") or os.path.join(folder, name) in needed  # noqa: PTH118


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:  # removed since the listing
        return False


delete_local_unnecessary_outputs = delete_unnecessary_outputs
"""gokart's name."""
