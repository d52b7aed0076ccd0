"""Files of a workspace on this machine, temporary files that dead processes left there, and unsafe workspaces."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator

from kart_runtime.errors import StoreError
from kart_runtime.storage.codecs.folder import FILES_SUFFIX
from kart_runtime.storage.commit import SUFFIX as COMMIT_SUFFIX
from kart_runtime.storage.commit import pending_temporaries
from kart_runtime.storage.folder_deletion import is_files_folder
from kart_runtime.storage.folder_deletion import is_left as is_left_folder
from kart_runtime.storage.registry import CODECS
from kart_runtime.storage.scratch import SCRATCH
from kart_runtime.storage.signing import SUFFIX as SIGNATURE
from kart_runtime.storage.stores import Stat
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import DAY, TEMPORARY_PREFIX, is_left

STALE_AFTER = DAY
"""Seconds after which a temporary file counts as left behind if nothing is known of its process."""


class UnsafeWorkspace(StoreError, ValueError):
    """A workspace in which nothing may be deleted; nothing was.

    Parameters
    ----------
    workspace
        The workspace of the task.
    reason
        Why not, and what to do.
    """

    def __init__(self, workspace: str, reason: str) -> None:
        self.workspace, self.reason = workspace, reason
        super().__init__(f"Nothing was deleted from the workspace '{workspace}': {reason}")


def walk(root: str, excluded: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield path and name of the files below a folder, but of no excluded path, hidden folder or linked folder."""
    if root in excluded:
        return
    for folder, folders, files in os.walk(root):
        prefix = os.path.join(folder, "")  # noqa: PTH118 - plain text for each file of the workspace
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and f"{prefix}{name}" not in excluded
            and not (name.endswith(FILES_SUFFIX) and is_files_folder(f"{prefix}{name}"))  # deleted with its list
        ]
        for name in files:
            path = f"{prefix}{name}"
            if path not in excluded:
                yield path, name


def stale_folders(root: str, pending: Collection[str]) -> dict[str, Stat]:
    """Return the files of folder values without a list that dead processes have left; none if a commit is pending."""
    stale: dict[str, Stat] = {}
    for folder, folders, _ in os.walk(root) if not pending else ():
        own = [f"{folder}/{name}" for name in folders if is_files_folder(f"{folder}/{name}")]
        folders[:] = [name for name in folders if not name.startswith(".") and f"{folder}/{name}" not in own]
        for path in own:
            if is_left_folder(path):
                stale[path] = Stat(path, sum(file.size for file in LocalStore().list(path)), 0.0)
    return stale


def unneeded_files(
    root: str, needed: Collection[str], recorded: Collection[str], *, by_suffix: bool = False
) -> Iterator[str]:
    """Yield the files below a folder that are recorded, or have an id in their names, and are not needed.

    `by_suffix` takes files with the suffix of a format as well, as gokart does, but not what a person may write.
    Hidden files, links, scratch folders and what unfinished commits need stay.
    """
    pending = pending_temporaries(root)
    for path, name in walk(root, {*needed, os.path.join(root, *SCRATCH.split("/"))}):  # noqa: PTH118
        if name in pending or name.endswith(COMMIT_SUFFIX) or path.removesuffix(SIGNATURE) in needed:
            continue
        is_output = path in recorded or _WITH_ID.fullmatch(name) or (by_suffix and _has_suffix_of_a_format(name))
        if is_stale_temp_file(path, name) or (is_output and _is_regular(path)):
            yield path


_WITH_ID = re.compile(r"[^.].*_[0-9a-f]{32}(\.[^.]+){1,2}")
"""Name of an output of any task: what a person has put into a workspace stays."""


_DOCUMENTS = frozenset({".md", ".html", ".pdf", ".yaml", ".yml", ".toml", ".xlsx"})
"""Suffixes of what a person may write, too."""


def _has_suffix_of_a_format(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a plain text for each file of the workspace
    return not name.startswith(".") and ((suffix in CODECS and suffix not in _DOCUMENTS) or suffix == ".zip")


def is_stale_temp_file(path: str, name: str) -> bool:
    """Return whether a temporary file was left behind by a process that has ended."""
    if not name.startswith(TEMPORARY_PREFIX):
        return False
    try:
        status = os.lstat(path)
    except FileNotFoundError:  # removed since the listing
        return False
    return stat.S_ISREG(status.st_mode) and is_left(name, status.st_mtime)


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
