"""Confinement of outputs to their workspace: a path, or a link on the way, must not lead out of it.

A path is often put together of parameters, and a link lies where others may write. Programs that were written for
gokart store at absolute paths, too: there it is allowed, and told once.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any, TypeVar

from kart_runtime.errors import ConfigError, StoreError, warn
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.workspace import LOG, Workspace

logger = logging.getLogger(__name__)

_LOCAL = ("", "file")
_SEPARATORS = ("/", "\\") if os.name == "nt" else ("/",)

_SECONDS = 0.05
"""How long a folder counts as looked at, so that many small files in it cost one look."""

V = TypeVar("V")


class OutsideWorkspace(StoreError, ValueError):
    """The path of an output leads out of the workspace of its task.

    Parameters
    ----------
    task
        The task, as text.
    path
        The path.
    workspace
        Its workspace.
    why
        How the path leads out.
    """

    def __init__(self, task: str, path: str, workspace: str, why: str) -> None:
        self.task, self.path, self.workspace, self.why = task, path, workspace, why
        super().__init__(
            f"{task}: its output {path!r} is outside of the workspace {workspace}: {why}. Correct the path in output() "
            "or the parameter that it is made of; or, if that is meant, set run.outside_paths to allow."
        )


class _Folders:
    """Folders that were found to lie in their workspaces, with the identity of each; and what was told."""

    inside: dict[tuple[str, str], tuple[int, int]] = {}  # noqa: RUF012 - one for the process
    checked: dict[tuple[str, str], float] = {}  # noqa: RUF012 - until when a folder, as written, counts as looked at
    told: set[str] = set()  # noqa: RUF012


def check_inside(url: str, owner: Any, *, allowed: bool) -> None:
    """Raise `OutsideWorkspace` if an output of a task leads out of its workspace; only tell it where it is allowed."""
    workspace = getattr(owner, "workspace_directory", None)
    if not isinstance(workspace, str):
        return
    known = (workspace, url[: max(map(url.rfind, _SEPARATORS)) + 1])
    is_plain = ".." not in url and "\0" not in url and "://" not in url
    if is_plain and _Folders.checked.get(known, 0.0) > time.monotonic():
        return
    why = _why_outside(url, workspace)
    if not why:
        if is_plain and url.startswith(Workspace(workspace).base):
            _note(_Folders.checked, known, time.monotonic() + _SECONDS)
        return
    if not allowed or "\0" in url:
        raise OutsideWorkspace(str(owner), url, workspace, why)
    if workspace not in _Folders.told:
        _Folders.told.add(workspace)
        warn(logger, "%s stores %s, which is outside of the workspace %s: %s.", owner, url, workspace, why)


def check_log_folders(workspace: str, *, allowed: bool) -> None:
    """Raise `ConfigError` if a folder of log files is a link out of the workspace; only tell it where it is allowed."""
    if not Workspace(workspace).is_local:
        return
    root = split_url(Workspace(workspace).base)[1]
    log = os.path.join(root, LOG)  # noqa: PTH118
    for path in _linked_folders(log):
        leads = os.path.realpath(path)
        if _is_below(leads, os.path.realpath(root)):
            continue
        text = f"{path} is a link to {leads}, so log files of the workspace {workspace} would be written outside of it"
        if not allowed:
            raise ConfigError(text, key="run.outside_paths", expected="'allow', if the link is meant")
        if path not in _Folders.told:
            _Folders.told.add(path)
            warn(logger, "%s.", text)


def _linked_folders(log: str) -> list[str]:
    """Return which of the folder of log files and its folders are links."""
    if os.path.islink(log):  # noqa: PTH114
        return [log]
    try:
        with os.scandir(log) as entries:
            return [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return []  # not there yet


def _why_outside(url: str, workspace: str) -> str:
    base = Workspace(workspace).base
    scheme, key = split_url(url)
    if "\0" in url:
        return "a path cannot hold the character NUL"
    if not url.startswith(base):
        if scheme not in _LOCAL or split_url(base)[0] not in _LOCAL:
            return "it is in another store or bucket"
        if not _is_below(os.path.abspath(key), os.path.abspath(split_url(base)[1])):  # noqa: PTH100 - texts
            return "it is an absolute path" if os.path.isabs(key) else "'..' leads out of it"  # noqa: PTH117
    below = url.removeprefix(base)
    if ".." in below and ".." in _parts(below) and (scheme not in _LOCAL or _leaves(below)):
        return "'..' leads out of it"
    if scheme in _LOCAL:
        return _link(key, split_url(base)[1])
    return ""


def _parts(path: str) -> list[str]:
    for separator in _SEPARATORS[1:]:
        path = path.replace(separator, "/")
    return path.split("/")


def _leaves(path: str) -> bool:
    depth = 0
    for part in _parts(path):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _link(key: str, base: str) -> str:
    """Return which folder is a link out of the workspace; "" if none is, or if it is the folder that was looked at."""
    folder = key[: max(map(key.rfind, _SEPARATORS)) + 1]
    known = (base, folder)
    found = _identity(folder or ".")
    if found is not None and _Folders.inside.get(known) == found:
        return ""
    leads, root = os.path.realpath(folder or "."), os.path.realpath(base or ".")
    if not _is_below(leads, root):
        return f"a link leads to {leads}"
    if found is not None:
        _note(_Folders.inside, known, found)
    return ""


def _note(folders: dict[tuple[str, str], V], known: tuple[str, str], value: V) -> None:
    if len(folders) > 10_000:
        folders.clear()
    folders[known] = value


def _identity(folder: str) -> tuple[int, int] | None:
    """Return which folder a path leads to, in one call for the many files of it; None if it is not there yet."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - the path is text
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None
