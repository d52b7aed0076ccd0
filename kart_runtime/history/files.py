"""Which files of a workspace have runs made, and how are they removed? What a record names is only a text.

Anybody who can write to the workspace may have changed a record, so a url counts only where it surely lies in there.
Called by `garbage` and by ``kart clean``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from kart_runtime.history.ledger import LogFiles
from kart_runtime.history.runs import RunRecord
from kart_runtime.storage.registry import split_url, store_for
from kart_runtime.storage.stores import Stat
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import LOG_FILES, RUNS, as_folder

_FEW = 64
"""Objects that are asked for one by one; of more than that the workspace is listed, 1,000 a request."""

_LOCAL = ("", "file")
_AT_ONCE = 16
_DELETED_AT_ONCE = 1000


class WorkspaceFiles(Protocol):
    """The files of one workspace, each known by its place: a path, or a key of the store."""

    @property
    def key(self) -> str:
        """Where the workspace itself lies: a path without links, or what the keys in it begin with."""
        ...

    def place(self, url: str) -> str | None:
        """Return where a file lies that a record names; None when it may be outside the workspace, or is a run's."""
        ...

    def found(self, places: Collection[str]) -> dict[str, Stat]:
        """Return what is known of those that exist."""
        ...

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        """Delete files; return what is in the way of those that are still there. One that has gone is no failure."""
        ...


def files_of(workspace: str, root: Path) -> WorkspaceFiles:
    """Return the files of a workspace.

    Parameters
    ----------
    workspace
        The workspace.
    root
        The folder that paths on this machine are relative to.

    Raises
    ------
    UnknownScheme
        When no store is known for the workspace.
    """
    store, key = store_for(workspace)
    return _LocalFiles(key, root) if isinstance(store, LocalStore) else _Objects(store, workspace, key)


def absolute(workspace: str, root: Path) -> str:
    """Return a workspace as it may be used from any folder.

    Parameters
    ----------
    workspace
        The workspace.
    root
        The folder that it is relative to, if it is on this machine.
    """
    scheme, path = split_url(workspace)
    return str(root / path) if scheme in _LOCAL else workspace


def url_of(workspace: str, place: str) -> str:
    """Return the url of a file of a workspace, for people.

    Parameters
    ----------
    workspace
        The workspace.
    place
        The file's place.
    """
    scheme = split_url(workspace)[0]
    return place if scheme in _LOCAL else f"{scheme}://{place}"


def named_urls(workspace: str, record: RunRecord) -> Iterator[str]:
    """Go through the urls of what a record names: outputs and log files.

    Parameters
    ----------
    workspace
        The workspace of the record.
    record
        The record.
    """
    yield from (stored.url for stored in record.outputs)
    logs = LogFiles(workspace, record.task, record.unique_id)
    yield from (logs.url(kind) for kind in record.log_files if kind in LOG_FILES)


class _LocalFiles:
    """A folder of this machine. Of a link only the link itself is ever deleted, and none leads out of the folder."""

    def __init__(self, path: str, root: Path) -> None:
        self._root = root
        self._folder = (root / path).resolve()
        runs = self._folder / RUNS
        self._runs = runs.resolve()
        # Either may be a link to where a team keeps its runs, and without the link they would not be found.
        self._way_to_runs = (runs.parent, runs.parent.resolve() / runs.name, self._runs)
        self.key = str(self._folder)
        self._parents: dict[str, Path | None] = {}

    def place(self, url: str) -> str | None:
        scheme, path = split_url(url)
        folder, _, name = path.rpartition("/")
        if scheme not in _LOCAL or name in ("", ".", ".."):
            return None
        # The folder is resolved and not the file, for of a link the link itself is meant.
        parent = self._resolved(folder or ("/" if path.startswith("/") else "."))
        return None if parent is None or parent / name in self._way_to_runs else str(parent / name)

    def _resolved(self, folder: str) -> Path | None:
        """Return a folder without links, None when it is not in the workspace."""
        if folder not in self._parents:
            try:
                found: Path | None = (self._root / folder).resolve()
            except (OSError, RuntimeError, ValueError):  # links in a circle; no text for a path
                found = None
            inside = found is not None and found.is_relative_to(self._folder) and not found.is_relative_to(self._runs)
            self._parents[folder] = found if inside else None
        return self._parents[folder]

    def found(self, places: Collection[str]) -> dict[str, Stat]:
        return {place: known for place in places if (known := _status(place)) is not None}

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        kept = {}
        for place in places:
            try:
                Path(place).unlink(missing_ok=True)
            except OSError as error:
                kept[place] = error.strerror or str(error)
        return kept


def _status(place: str) -> Stat | None:
    try:
        found = os.lstat(place)
    except (OSError, ValueError):  # gone, or not to be asked for
        return None
    is_file = stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)
    return Stat(place, found.st_size, found.st_mtime) if is_file else None


class _Objects:
    """The objects of another store below one key. There, keys are taken as they are: ``..`` is a name like another."""

    def __init__(self, store: Any, workspace: str, key: str) -> None:
        self._store = store
        self._url, self.key = as_folder(workspace), as_folder(key)

    def place(self, url: str) -> str | None:
        below = url.removeprefix(self._url)
        # A store may give a meaning to names that paths have, so that these lead out of the workspace there.
        if not url.startswith(self._url) or not {"", ".", ".."}.isdisjoint(below.split("/")):
            return None
        return None if f"{below}/".startswith(f"{RUNS}/") or not _is_text(below) else f"{self.key}{below}"

    def found(self, places: Collection[str]) -> dict[str, Stat]:
        if len(places) > _FEW:
            wanted = frozenset(places)
            return {known.key: known for known in self._store.list(self.key) if known.key in wanted}
        with ThreadPoolExecutor(_AT_ONCE, "kart-files") as threads:
            answers = threads.map(self._store.stat, places)
            return {place: known for place, known in zip(places, answers, strict=True) if known is not None}

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        kept: dict[str, str] = {}
        for start in range(0, len(places), _DELETED_AT_ONCE):
            kept |= self._delete(places[start : start + _DELETED_AT_ONCE])
        return kept

    def _delete(self, places: Sequence[str]) -> dict[str, str]:
        at_once = getattr(self._store, "delete_many", None)
        if at_once is None:
            return {place: why for place in places if (why := self._why_not(place))}
        try:
            return dict(at_once(places))
        except OSError as error:
            return dict.fromkeys(places, str(error))

    def _why_not(self, place: str) -> str:
        """Delete an object; return what is in the way, "" when it has gone."""
        try:
            self._store.delete(place)
        except OSError as error:
            return str(error)
        return ""


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
