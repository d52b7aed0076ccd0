"""Files of a workspace that runs have written, and their deletion.

A record is only a text that anybody who can write to the workspace may have changed, so a url counts only if it surely
lies in the workspace.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kart_runtime.errors import StoreError
from kart_runtime.history.cleanup.local_files import is_stale_temp_file, stale_folders, walk
from kart_runtime.history.cleanup.notice import DeletionLost
from kart_runtime.storage.codecs.folder import FILES_SUFFIX, SUFFIX, decoded, is_token
from kart_runtime.storage.commit import pending_temporaries
from kart_runtime.storage.folder_deletion import delete_files, delete_folder, is_files_folder
from kart_runtime.storage.folder_files import files_key, folder_key
from kart_runtime.storage.leftovers import has_other_builds
from kart_runtime.storage.processes import is_alive
from kart_runtime.storage.registry import split_url, store_for
from kart_runtime.storage.signing import SUFFIX as SIGNATURE
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.stores import Stat
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import DAY, token_in
from kart_runtime.storage.workspace import LOG, RUNS, as_folder

_FEW = 64
"""Objects that are queried one by one; for more than that the workspace is listed, 1,000 a request."""

_FILLED_WITHIN = 7 * DAY
"""Age from which the files of a folder that no list names count as left: a `run()` stores the list at its end."""

_LOCAL = ("", "file")
_PARALLEL_REQUESTS = 16
_DELETE_BATCH = 1000


class WorkspaceFiles(Protocol):
    """Files of one workspace, each identified by its place: a path, or a key of the store."""

    @property
    def workspace(self) -> str:
        """The workspace, in a form that is valid from any folder."""
        ...

    @property
    def key(self) -> str:
        """Place of the workspace itself: a path without links, or the prefix of its keys."""
        ...

    def place(self, url: str) -> str | None:
        """Return the place of a url in a record; None if it may be outside the workspace, or is a run's file."""
        ...

    def url(self, place: str) -> str:
        """Return the url of a place, for messages."""
        ...

    def stats(self, places: Collection[str]) -> dict[str, Stat]:
        """Return the stats of the files that exist."""
        ...

    def stale_temp_files(self, now: float | None = None) -> dict[str, Stat]:
        """Return the temporary files, and half-filled folders, that dead processes have left."""
        ...

    check: Callable[[], None]
    """Called before a deletion; it raises `DeletionLost` when nothing more may be deleted."""

    def all(self) -> Iterator[Stat]:
        """Iterate over all files, without hidden ones and the parts of folder values."""
        ...

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        """Delete files; return the reason for each that is still there. A missing file is no failure."""
        ...


@dataclass
class RemovalResult:
    """Result of a deletion, of one workspace or several.

    Attributes
    ----------
    deleted
        Urls of the deleted files, with their sizes in bytes.
    failed
        Urls of the files that could not be deleted, with the reason.
    uploads
        Number of incomplete uploads that were aborted.
    warnings
        Other failures.
    """

    deleted: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    uploads: int = 0
    warnings: tuple[str, ...] = ()

    def delete(self, files: WorkspaceFiles, sizes: Mapping[str, int]) -> bool:
        """Delete files (place to bytes) and add them to the result; return whether all are gone."""
        failed = files.delete(list(sizes))
        self.failed |= {files.url(place): reason for place, reason in failed.items()}
        self.deleted |= {files.url(place): size for place, size in sizes.items() if place not in failed}
        return not failed


_LOST = "it stays, because this process stood still for so long that builds no longer wait for it; run it again"


def _nothing() -> None:
    """Allow the deletion."""


def files_of(workspace: str, root: Path) -> WorkspaceFiles:
    """Return the files of a workspace; paths on this machine are relative to `root`."""
    store, key = store_for(workspace)
    return _LocalFiles(key, root) if isinstance(store, LocalStore) else _Objects(store, workspace, key)


class _LocalFiles:
    """Files of a folder on this machine. A link is deleted itself and never followed out of the folder."""

    def __init__(self, path: str, root: Path) -> None:
        self.workspace = str(root / path)
        self.check: Callable[[], None] = _nothing
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
        # The folder is resolved and not the file: a link stands for itself.
        parent = self._resolved(folder or ("/" if path.startswith("/") else "."))
        return None if parent is None or parent / name in self._way_to_runs else str(parent / name)

    def _resolved(self, folder: str) -> Path | None:
        """Return a folder without links, None when it is not in the workspace."""
        if folder not in self._parents:
            try:
                path: Path | None = (self._root / folder).resolve()
            except (OSError, RuntimeError, ValueError):  # links in a circle; no valid path
                path = None
            inside = path is not None and path.is_relative_to(self._folder) and not path.is_relative_to(self._runs)
            self._parents[folder] = path if inside else None
        return self._parents[folder]

    def url(self, place: str) -> str:
        return place

    def stats(self, places: Collection[str]) -> dict[str, Stat]:
        return {place: status for place in places if (status := self._stat(place)) is not None}

    def _stat(self, place: str) -> Stat | None:
        return _folder_stat(LocalStore(), place, _lstat(place)) if place.endswith(SUFFIX) else _lstat(place)

    def stale_temp_files(self, now: float | None = None) -> dict[str, Stat]:  # noqa: ARG002 - processes can be asked
        pending = pending_temporaries(self.workspace)
        stale = {path: name for path, name in walk(self.key) if is_stale_temp_file(path, name) and name not in pending}
        if has_other_builds(self.workspace):  # they may commit what nobody has touched for long
            return self.stats([path for path, name in stale.items() if is_alive(token_in(name)) is False])
        return self.stats(stale) | stale_folders(self.key, {name for name in pending if name})

    def all(self) -> Iterator[Stat]:
        for path, _ in walk(self.key):
            status = self._stat(path)
            if status is not None:
                yield status

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        failed: dict[str, str] = {}
        for number, place in enumerate(places):
            try:
                self.check()
                if place.endswith(SUFFIX) or is_files_folder(place):
                    delete_folder(LocalStore(), folder_key(place))
                else:
                    Path(place).unlink(missing_ok=True)
                if f"/{LOG}/" not in place:  # outputs have one, log files do not
                    Path(f"{place}{SIGNATURE}").unlink(missing_ok=True)
            except DeletionLost:
                return failed | dict.fromkeys(places[number:], _LOST)
            except OSError as error:
                failed[place] = error.strerror or str(error)
        return failed


def _folder_stat(store: Any, place: str, status: Stat | None) -> Stat | None:
    """Return the size and time of a folder value with its files, also if a deletion has left only these."""
    files = list(store.list(files_key(place)))
    if not files:
        return status
    parts = [*files, *(() if status is None else (status,))]
    return Stat(place, sum(part.size for part in parts), max(part.modified for part in parts))


def _lstat(place: str) -> Stat | None:
    try:
        status = os.lstat(place)
    except (OSError, ValueError):  # gone, or no valid path
        return None
    is_file = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    return Stat(place, status.st_size, status.st_mtime) if is_file else None


class _Objects:
    """Objects of another store below one key. Keys are literal there: ``..`` is a name like any other."""

    def __init__(self, store: Any, workspace: str, key: str) -> None:
        self.workspace = workspace
        self.check: Callable[[], None] = _nothing
        self._store = store
        self._url, self.key = as_folder(workspace), as_folder(key)

    def place(self, url: str) -> str | None:
        below = url.removeprefix(self._url)
        # A store may give these names the meaning that they have in paths, and they would lead out of the workspace.
        if not url.startswith(self._url) or not {"", ".", ".."}.isdisjoint(below.split("/")):
            return None
        return None if f"{below}/".startswith(f"{RUNS}/") or not _is_text(below) else f"{self.key}{below}"

    def url(self, place: str) -> str:
        return f"{split_url(self.workspace)[0]}://{place}"

    def stats(self, places: Collection[str]) -> dict[str, Stat]:
        if len(places) > _FEW:
            requested = frozenset(places)
            found = {status.key: status for status in self._store.list(self.key) if status.key in requested}
        else:
            with ThreadPoolExecutor(_PARALLEL_REQUESTS, "kart-files") as threads:
                answers = threads.map(self._store.stat, places)
                found = {place: status for place, status in zip(places, answers, strict=True) if status is not None}
        for place in places:
            if place.endswith(SUFFIX):
                status = _folder_stat(self._store, place, found.get(place))
                found |= {} if status is None else {place: status}
        return found

    def stale_temp_files(self, now: float | None = None) -> dict[str, Stat]:
        found: dict[str, Stat] = {}
        for part in self._store.list(self.key):
            beginning, is_part, rest = part.key.partition(f"{FILES_SUFFIX}/")
            token = rest.partition("/")[0]
            if is_part and is_token(token):
                place = f"{beginning}{FILES_SUFFIX}/{token}"
                size, changed = found[place][1:3] if place in found else (0, 0.0)
                found[place] = Stat(place, size + part.size, max(changed, part.modified))
        old = (time.time() if now is None else now) - _FILLED_WITHIN
        return {place: stat for place, stat in found.items() if stat.modified < old and not self._is_listed(place)}

    def _is_listed(self, place: str) -> bool:
        """Return whether the list of a folder, as it is now, names files that are stored at a place."""
        files, _, token = place.rpartition("/")
        try:
            with self._store.open(folder_key(files)) as file:
                return decoded(file.read()).token == token
        except FileNotFoundError:
            return False
        except (OSError, StoreError, ValueError, KeyError, TypeError):  # no answer, or a damaged list: it may name them
            return True

    def all(self) -> Iterator[Stat]:
        for status in self._store.list(self.key):
            if f"{FILES_SUFFIX}/" not in status.key:
                yield status

    def delete(self, places: Sequence[str]) -> dict[str, str]:
        failed: dict[str, str] = {}
        batches: list[Sequence[str]] = [[place] for place in places if _is_folder(place)]
        others = [place for place in places if not _is_folder(place)]
        others += [f"{place}{SIGNATURE}" for place in places if f"/{LOG}/" not in place] if keyring() else []
        batches += [others[start : start + _DELETE_BATCH] for start in range(0, len(others), _DELETE_BATCH)]
        for number, batch in enumerate(batches):
            try:
                self.check()
            except DeletionLost:
                return failed | {place: _LOST for batch in batches[number:] for place in batch}
            failed |= self._delete_folder(batch[0]) if _is_folder(batch[0]) else self._delete(batch)
        return failed

    def _delete(self, places: Sequence[str]) -> dict[str, str]:
        delete_many = getattr(self._store, "delete_many", None)
        if delete_many is None:
            return {place: reason for place in places if (reason := self._delete_one(place))}
        try:
            return dict(delete_many(places))
        except OSError as error:
            return dict.fromkeys(places, str(error))

    def _delete_folder(self, place: str) -> dict[str, str]:
        try:
            if place.endswith(SUFFIX):
                delete_folder(self._store, place)
            elif not self._is_listed(place):  # a process may have stored its list since it was found
                files, _, token = place.rpartition("/")
                delete_files(self._store, folder_key(files), token)
        except OSError as error:
            return {place: str(error)}
        return {}

    def _delete_one(self, place: str) -> str:
        """Delete an object; return the reason of a failure, or ""."""
        try:
            self._store.delete(place)
        except OSError as error:
            return str(error)
        return ""


def _is_folder(place: str) -> bool:
    """Return whether a place is that of a folder value, or of the files of one write of it."""
    folder, _, name = place.rpartition("/")
    return place.endswith(SUFFIX) or (folder.endswith(FILES_SUFFIX) and is_token(name))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def delete_damaged(url: str) -> str:
    """Delete a damaged output, so that it is computed again; return the reason of a failure, or ""."""
    store, key = store_for(url)
    try:
        if key.endswith(SUFFIX):
            delete_folder(store, key)
        else:
            store.delete(key)
    except OSError as error:
        return str(error)
    return ""
