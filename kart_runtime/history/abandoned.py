"""Temporary files that ended processes have left in a workspace, and workspaces in which nothing is deleted."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from collections.abc import Iterator

from kart_runtime.errors import StoreError
from kart_runtime.storage.stores.local import TEMPORARY_PREFIX

STALE_AFTER = 86_400.0
"""Seconds after which a temporary file whose process is gone counts as left behind.

Containers may share a folder and a host name and not see each other's processes; none of them writes one file for a day
without touching it.
"""


class UnsafeWorkspace(StoreError, ValueError):
    """A workspace in which nothing may be removed; nothing was.

    Parameters
    ----------
    workspace
        The workspace of the task.
    reason
        Why not, and what to do.
    """

    def __init__(self, workspace: str, reason: str) -> None:
        self.workspace, self.reason = workspace, reason
        super().__init__(f"Nothing is removed from the workspace '{workspace}': {reason}")


def stale_temp_files(root: str) -> Iterator[str]:
    """Go through the temporary files that processes of this machine have left behind, in folders that are not hidden.

    Parameters
    ----------
    root
        The workspace's folder, without links.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118 - once for each file of the workspace
            if name.startswith(TEMPORARY_PREFIX) and is_stale_temp_file(path, name):
                yield path


def is_stale_temp_file(path: str, name: str) -> bool:
    """Return whether a temporary file was left behind by a process of this machine that has ended."""
    host = re.escape(socket.gethostname()[:60])
    parts = re.fullmatch(rf"{re.escape(TEMPORARY_PREFIX)}{host}-(\d+)-\d+", name)
    if not parts or _runs(int(parts[1])):
        return False
    try:
        found = os.lstat(path)
    except FileNotFoundError:  # removed since the listing
        return False
    return stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > STALE_AFTER


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # it is somebody else's; or the number is none of a process
        return True
    return True
