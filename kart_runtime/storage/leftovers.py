"""What dead processes have left of their outputs, and its removal by the next build.

A build that writes to a workspace on a disk keeps a marker there, in ``log/``, which lists the folders that it writes
to. The marker of a dead process is the sign that something may be left: then the next build looks through these
folders, completely. Without a sign it looks at some names of the folders that it is about to write to, which finds what
earlier versions and other programs have left. The folders for temporary files are looked through in any case; they
also hold a note of each upload that is going on (`storage.notes`), so no service has to be asked.

Files of this machine go when their process has ended, those of others when nobody has touched them for a day, and no
other build works in the workspace. A build touches its marker once a minute, and not what it has staged.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from kart_runtime.errors import StoreError
from kart_runtime.storage import notes, temporary
from kart_runtime.storage.codecs.folder import FILES_SUFFIX, is_token
from kart_runtime.storage.commit import pending_temporaries
from kart_runtime.storage.folder_deletion import delete_files, is_files_folder, sweep
from kart_runtime.storage.folder_files import folder_key, stored_manifest
from kart_runtime.storage.folder_markers import modified, newest
from kart_runtime.storage.processes import is_alive, this_process
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import UnfinishedUpload
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import DAY, FOLDER_PREFIX, TEMPORARY_PREFIX, is_left, temporary_name, token_in
from kart_runtime.storage.workspace import LOG, RUNS, Workspace

logger = logging.getLogger(__name__)

MARKER_SUFFIX = ".build"
"""End of the name of the marker of a build."""

_NAMES = 2_000
"""Names of files that a build looks at in the folders of its outputs without a sign of a dead process."""

_SECONDS = 5.0
"""Seconds that a build spends at most on what others have left; the rest is found by the next one, or by `kart gc`."""

_SAME_TIME = 300.0
"""Seconds by which the clocks of this machine and of a service may differ."""

_FOLDERS = 1_000
"""Folders that a marker lists at most."""


class Clearing:
    """Removal of what dead processes have left, and the markers of the workspaces that this one writes to.

    If `lost_workers` says at the end that workers of this build have died, what they have left goes, too.
    """

    def __init__(self, lost_workers: Callable[[], bool]) -> None:
        self._lost_workers = lost_workers
        self._written: dict[str, Collection[str]] = {}
        self._markers: list[Path] = []

    @property
    def workspaces(self) -> Set[str]:
        """Return the workspaces that are marked."""
        return self._written.keys()

    def add(self, folders: Mapping[str, Collection[str]]) -> None:
        """Clear the folders that the build writes to, by workspace, and mark them, if their workspace is a new one.

        Of a workspace without folders, only dead processes are looked for.
        """
        new = {workspace: written for workspace, written in folders.items() if workspace not in self._written}
        if not new:
            return
        _Removal(time.monotonic() + _SECONDS).clear(new)
        for workspace, written in new.items():
            if written:
                self._written[workspace] = written
                path = _mark(workspace, written)
                self._markers += [] if path is None else [path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for path in self._markers:
            temporary.lasting.discard(str(path))
            _unlink(path)
        if self._lost_workers():
            removal = _Removal(time.monotonic() + _SECONDS)
            for workspace, written in self._written.items():
                removal.clear_workspace(workspace, written, thorough=True)
            removal.clear_temporary(thorough=True)
            removal.tell()


def _mark(workspace: str, folders: Collection[str]) -> Path | None:
    """Create the marker of this process in a workspace on a disk."""
    if not Workspace(workspace).is_local:
        return None
    path = Path(store_for(f"{Workspace(workspace).log}{temporary_name()}{MARKER_SUFFIX}")[1])
    lines = [os.path.abspath(folder or ".") for folder in itertools.islice(folders, _FOLDERS)]  # noqa: PTH100
    lines += [f"temporary {parent}" for parent in temporary.parents]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines), errors="surrogateescape")
    except OSError:  # nothing can be written here, as the build will say
        return None
    temporary.lasting.add(str(path))
    return path


class _Removal:
    """One removal, which ends at a time."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._names = _NAMES
        self._workspaces: set[str] = set()
        self._parents: set[str] = set()
        self._marked: list[str] = []
        self._others: bool | None = None
        """Whether other builds work in these workspaces, once that was asked."""
        self._found_sign = False
        """Whether the marker of a dead process was found."""
        self._undecided = False
        """Whether something of a process that may run was found, so that the sign of a dead one has to stay."""
        self.removed: list[str] = []

    def clear(self, folders: Mapping[str, Collection[str]]) -> None:
        """Remove what is left in workspaces, and in the folders for temporary files."""
        for workspace, written in folders.items():
            place = Workspace(workspace)
            if place.is_local and place.base not in self._workspaces:
                self._workspaces.add(place.base)
                with suppress(OSError, StoreError):
                    self._clear_by_markers(workspace, written)
        self.clear_temporary(thorough=self._found_sign)
        self.tell()

    def _clear_by_markers(self, workspace: str, written: Collection[str]) -> None:
        dead = dict(_dead_markers(workspace))
        if not dead:
            self.clear_workspace(workspace, written, thorough=False)
            return
        self._found_sign = True
        known = {line for lines in dead.values() for line in lines}
        self._parents.update(line.removeprefix("temporary ") for line in known if line.startswith("temporary "))
        outputs = [line for line in known if line and not line.startswith("temporary ")]
        self.clear_workspace(workspace, [*written, *outputs], thorough=True)
        if not self._undecided and time.monotonic() < self._until:
            for path in dead:
                _unlink(path)

    def clear_workspace(self, workspace: str, written: Collection[str], *, thorough: bool) -> None:
        """Remove what is left in the folders that are written to, and in that of logs."""
        place = Workspace(workspace)
        if not place.is_local:
            return
        self._marked.append(workspace)
        base = Path(store_for(place.base)[1]).absolute()
        folders = [*(Path(os.path.abspath(each or ".")) for each in written), base]  # noqa: PTH100
        if written or thorough:  # else there is only what a process left that died before it wrote: marks for Dask
            folders += [base / LOG, base / RUNS]
        names: list[Path] = []
        for folder in dict.fromkeys(folders):
            names += self._left_in(folder, thorough=thorough)
        if thorough:
            for folder in self._other_folders(base, frozenset(folders)):
                names += self._left_in(folder, thorough=True)
        needed = pending_temporaries(workspace) if names else frozenset()
        for path in names:
            if path.name not in needed and not path.name.endswith(MARKER_SUFFIX):
                self._remove_file(path)

    def _other_folders(self, base: Path, seen: Collection[Path]) -> Iterator[Path]:
        """Yield the other folders of a workspace, those of logs at last, until the time is over."""
        for folder, folders, _ in os.walk(base):
            if time.monotonic() > self._until:
                return
            path = Path(folder)
            at_log = path == base / LOG
            folders[:] = sorted(
                (
                    name
                    for name in folders
                    if not name.startswith(".")
                    and not name.endswith(FILES_SUFFIX)
                    and not (at_log and name == "scratch")
                ),
                key=lambda name: (name == LOG, name),
            )
            if path not in seen:
                yield path

    def _is_left(self, name: str, changed: float) -> bool:
        """Return whether a temporary file or folder was left behind, and no build that lives may have made it."""
        return is_left(name, changed) and (is_alive(token_in(name)) is False or not self._others_live())

    def _others_live(self) -> bool:
        """Return whether other builds work in the workspaces: then what is old may be what they will commit."""
        if self._others is None:
            self._others = any(map(has_other_builds, self._marked))
        return self._others

    def _left_in(self, folder: Path, *, thorough: bool) -> Iterator[Path]:
        """Yield the temporary files in a folder whose processes have ended."""
        for entry in self._entries(folder, thorough=thorough):
            if entry.name.startswith(TEMPORARY_PREFIX):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        if self._is_left(entry.name, status.st_mtime):
                            yield Path(entry.path)
                        elif token_in(entry.name) and not entry.name.endswith(MARKER_SUFFIX):
                            self._undecided = True
            elif (
                thorough
                and not self._others_live()
                and entry.name.endswith(FILES_SUFFIX)
                and is_files_folder(entry.path)
            ):
                with suppress(OSError, StoreError):
                    sweep(LocalStore(), folder_key(entry.path))

    def _entries(self, folder: Path, *, thorough: bool) -> Iterator[os.DirEntry[str]]:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                self._names -= 1
                if self._names < 0 and (not thorough or (self._names % 1000 == 0 and time.monotonic() > self._until)):
                    return
                yield entry

    def clear_temporary(self, *, thorough: bool) -> None:
        """Remove the folders in which dead processes packed models, and end their uploads."""
        for parent in {tempfile.gettempdir(), *temporary.parents, *self._parents}:
            self._names = max(self._names, _NAMES)
            found = [entry for entry in self._entries(Path(parent), thorough=thorough) if token_in(entry.name)]
            for entry in found:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if _is_mine(status) and entry.name.startswith(FOLDER_PREFIX):
                        self._clear_one(Path(entry.path), status)

    def _clear_one(self, path: Path, status: os.stat_result) -> None:
        if not self._is_left(path.name, status.st_mtime):
            return
        if stat.S_ISDIR(status.st_mode):
            if is_left(path.name, newest(path)):
                shutil.rmtree(path, ignore_errors=True)
                self.removed.append(str(path))
        elif not stat.S_ISREG(status.st_mode):
            return
        elif not path.name.endswith(notes.NOTE_SUFFIX):
            self._remove_file(path)
        elif time.monotonic() < self._until and settle(path):
            self.removed.append(str(path))

    def _remove_file(self, path: Path) -> None:
        if _unlink(path):
            self.removed.append(str(path))

    def tell(self) -> None:
        """Log what was removed."""
        if self.removed:
            logger.info("Removed what dead processes have left: %s", ", ".join(self.removed[:20]))


def has_other_builds(workspace: str) -> bool:
    """Return whether builds of other processes, which live as far as this one can tell, work in a workspace."""
    folder, own = store_for(Workspace(workspace).log)[1], this_process()
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.endswith(MARKER_SUFFIX) and entry.name.startswith(TEMPORARY_PREFIX):
                with suppress(OSError):
                    if token_in(entry.name) != own and not is_left(entry.name, entry.stat().st_mtime):
                        return True
    return False


def _dead_markers(workspace: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield the markers of dead processes in a workspace, with the lines in them."""
    folder = store_for(Workspace(workspace).log)[1]
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.endswith(MARKER_SUFFIX) and entry.name.startswith(TEMPORARY_PREFIX):
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and is_left(entry.name, entry.stat().st_mtime):
                        lines = Path(entry.path).read_text(errors="surrogateescape").split("\n")
                        yield Path(entry.path), [line for line in lines if "\0" not in line]  # zeros after a power cut


# -- what was being stored in a service ------------------------------------------------------------------------------


def settle(path: Path) -> bool:
    """Take back what a dead process has begun to store, by its note; return whether nothing is left to do."""
    values = notes.read(path)
    try:
        store, key = store_for(str(values["url"]))
        if values.get("service") != store.service_id():
            raise OSError("it was another service")
        _SETTLING[values["kind"]](store, key, values)
    except (LookupError, TypeError, ValueError, AttributeError):
        pass  # it says nothing
    except (OSError, StoreError, ImportError) as error:
        logger.debug("What %s notes cannot be taken back: %s", path, error)
        if _age(path) < DAY:  # the service, or the right to ask it, may come back
            return False
    notes.delete(path)
    return True


def _abort_upload(store: Any, key: str, values: Mapping[str, Any]) -> None:
    """Abort the upload of a dead process. If it died before it knew the id, the service is asked for it."""
    if values.get("id"):
        store.discard(UnfinishedUpload(key, str(values["id"])))
        return
    living = _ids_of_living()
    for upload in store.unfinished(key.rpartition("/")[0], float(values["began"]) + _SAME_TIME):
        if upload.key == key and upload.id not in living:
            store.discard(upload)


def _ids_of_living() -> frozenset[str]:
    """Return the ids of the uploads of processes that may run."""
    folder = tempfile.gettempdir()
    names = [name for name in os.listdir(folder) if name.endswith(notes.NOTE_SUFFIX) and token_in(name)]  # noqa: PTH208
    living = [name for name in names if is_alive(token_in(name)) is not False]
    return frozenset(str(notes.read(Path(folder, name)).get("id", "")) for name in living)


def _delete_folder_files(store: Any, key: str, values: Mapping[str, Any]) -> None:
    """Delete the files of a folder whose list was not stored; if it was, those that it has replaced."""
    stored = stored_manifest(store, key)
    current = "" if stored is None else stored.token
    left = str(values["before"] if current == values["token"] else values["token"])
    if is_token(left) and left != current:
        delete_files(store, key, left)


_SETTLING = {"upload": _abort_upload, "folder": _delete_folder_files}


def _age(path: Path) -> float:
    return time.time() - modified(path)


def _is_mine(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _unlink(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
        return True
    return False
