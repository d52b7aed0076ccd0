"""Files of a folder value: list and check them on this machine, send them to a store and fetch them.

In a store the files lie below ``<stem>.files/<token>/`` beside the list ``<stem>.folder``, which alone says what
counts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kart_runtime.errors import StoreError
from kart_runtime.storage.checksum import ALGORITHM, algorithm_of, checksum_of
from kart_runtime.storage.codecs.folder import FILES_SUFFIX, SUFFIX, FileEntry, Manifest, decoded
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.stores.object_cache import download
from kart_runtime.storage.stores.upload import PART
from kart_runtime.storage.system import copy_file, make_executable
from kart_runtime.storage.temporary import TEMPORARY_PREFIX

_THREADS = 16
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that systems add to any folder that somebody looks at."""

_BYTE_CODE = "__pycache__"
"""Folder that Python adds beside what somebody imports."""

T = TypeVar("T")
R = TypeVar("R")


class FolderNotStorable(StoreError, ValueError):
    """A folder holds something that cannot be stored.

    Parameters
    ----------
    path
        The folder.
    reason
        What it holds, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"The folder {path} cannot be stored: {reason}")


def files_key(key: str) -> str:
    """Return the key of the folder that holds the files of a list ``x.folder``."""
    return key[: -len(SUFFIX)] + FILES_SUFFIX


def check_no_link(folder: Path) -> None:
    """Raise `FolderNotStorable` if the folder of the files of a list is a link: they would be written elsewhere."""
    if folder.is_symlink():
        reason = f"it is a link to {os.path.realpath(folder)}, and its files would be written there. Delete the link."
        raise FolderNotStorable(str(folder), reason)


def folder_key(path: str) -> str:
    """Return the key of the list, for the key of the folder of its files or of the list itself."""
    return path[: -len(FILES_SUFFIX)] + SUFFIX if path.endswith(FILES_SUFFIX) else path


# -- on this machine -------------------------------------------------------------------------------------------------


class _File(NamedTuple):
    name: str
    path: str
    status: os.stat_result


def listed(path: Path, token: str) -> Manifest:
    """Return the list of a folder's files, with their checksums; links to files become files, with their content.

    Raises `FolderNotStorable` for what would not be the same elsewhere: links to folders or to nothing, devices, names
    that are no text.
    """
    files, folders = _walk(path, for_storing=True)
    entries = tuple(FileEntry(file.name, file.status.st_size, _checksum(file.path), _runs(file)) for file in files)
    return Manifest(token, entries, folders, tuple(file.status.st_mtime_ns for file in files))


def _runs(file: _File) -> bool:
    return os.name != "nt" and bool(file.status.st_mode & stat.S_IXUSR)


def _checksum(path: str, algorithm: str = ALGORITHM) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for each of many files
        return checksum_of(file, algorithm)


def _walk(root: Path, *, for_storing: bool = False, follows_links: bool = True) -> tuple[list[_File], tuple[str, ...]]:
    """Return the files below a folder and its empty subfolders, sorted by name."""
    files: list[_File] = []
    empty: list[str] = []
    waiting = [("", str(root))]
    while waiting:
        prefix, folder = waiting.pop()
        with os.scandir(folder) as found:
            entries = list(found)
        if not entries and prefix:
            empty.append(prefix[:-1])
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_symlink() and for_storing:
                _follow(root, name, entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((f"{name}/", entry.path))
                continue
            if for_storing:
                _check_storable(root, name, entry.path)
            files.append(_File(name, entry.path, os.stat(entry.path, follow_symlinks=follows_links)))  # noqa: PTH116 - a list may be older
    return sorted(files), tuple(sorted(empty))


def _follow(root: Path, name: str, path: str) -> None:
    """Replace a link to a file by a copy of the file."""
    target = os.path.realpath(path)
    if os.path.isdir(target):  # noqa: PTH112
        reason = f"'{name}' is a link to the folder {target}. Copy what you need of it into the folder."
        raise FolderNotStorable(str(root), reason)
    if not os.path.isfile(target):  # noqa: PTH113
        raise FolderNotStorable(str(root), f"'{name}' is a link to {target}, which is no file. Delete the link.")
    temporary = f"{path}{TEMPORARY_PREFIX}copy"
    copy_file(Path(target), Path(temporary))
    os.replace(temporary, path)  # noqa: PTH105


def _check_storable(root: Path, name: str, path: str) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        reason = f"'{name}' is no file but a device, socket or pipe. Delete it inside the block."
        raise FolderNotStorable(str(root), reason)
    try:
        name.encode()
    except UnicodeEncodeError:
        reason = f"the name {name!r} is no text in UTF-8. Rename the file."
        raise FolderNotStorable(str(root), reason) from None


_verified: dict[str, tuple[int, ...]] = {}
"""Folders whose files have other times than recorded, as after a copy of the workspace, and proved to be the same."""


def difference(path: Path, manifest: Manifest, *, thorough: bool = False) -> str:
    """Return how a folder on this machine differs from the list of its files, "" if it does not.

    Names and sizes are compared. Bytes are read only of files that were changed since, or of all if `thorough`.
    """
    try:
        files, _ = _walk(path)
    except (FileNotFoundError, NotADirectoryError):
        return f"its folder {path} is missing"
    actual = {file.name: file for file in files}
    missing = next((entry.name for entry in manifest.files if entry.name not in actual), None)
    if missing is not None:
        return f"its file '{missing}' is missing"
    names = {entry.name for entry in manifest.files}
    extra = next((name for name in actual if name not in names and not _is_ignored(name)), None)
    if extra is not None:
        return f"it has the file '{extra}', which was not stored with it; copy a folder before you change it"
    times = tuple(actual[entry.name].status.st_mtime_ns for entry in manifest.files)
    trusted = () if thorough else _verified.get(str(path), manifest.times)
    recorded = trusted if len(trusted) == len(times) else (None,) * len(times)
    for entry, now, before in zip(manifest.files, times, recorded, strict=True):
        problem = _file_difference(entry, actual[entry.name], is_unchanged=now == before)
        if problem:
            return problem
    if times != recorded and not thorough:
        _verified[str(path)] = times
    return ""


def _is_ignored(name: str) -> bool:
    """Return whether a file that was not stored with a folder does no harm to its value."""
    parts = name.split("/")
    return parts[-1] in _IGNORED or _BYTE_CODE in parts


def delete_byte_code(path: Path, names: Collection[str]) -> str:
    """Delete the byte code below a folder that is not among its files; return a file that cannot be deleted, or "".

    An import writes it anew. Python trusts it by the time and size of its source, so whoever can put it there can have
    any code run.
    """
    files, _ = _walk(path, follows_links=False)
    for file in files:
        if file.name in names or _BYTE_CODE not in file.name.split("/"):
            continue
        try:
            os.unlink(file.path)  # noqa: PTH108 - a link as well, and not what it leads to
        except FileNotFoundError:
            continue
        except OSError:
            return file.name
    return ""


def _file_difference(entry: FileEntry, file: _File, *, is_unchanged: bool) -> str:
    if file.status.st_size != entry.size:
        return (
            f"its file '{entry.name}' has {file.status.st_size:,} bytes instead of the {entry.size:,} that were stored"
        )
    if is_unchanged:
        return ""
    checksum = _checksum(file.path, algorithm_of(entry.checksum) or ALGORITHM)
    if checksum != entry.checksum:
        return f"its file '{entry.name}' was changed: its checksum is {checksum}, and not {entry.checksum} as stored"
    return ""


# -- in a store ------------------------------------------------------------------------------------------------------


def each(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """Call a function for each value, several at once; the first error ends it."""
    with ThreadPoolExecutor(_THREADS, "kart-folder") as threads:
        futures = [threads.submit(function, value) for value in values]
        try:
            return [future.result() for future in futures]
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def send(store: Any, key: str, path: Path, manifest: Manifest) -> None:
    """Store the files of a folder; nobody takes them for anything before their list is stored."""
    prefix = f"{files_key(key)}/{manifest.token}"
    each(lambda entry: _send_one(store, f"{prefix}/{entry.name}", path / entry.name, entry.size), manifest.files)


def _send_one(store: Any, key: str, path: Path, size: int) -> None:
    with path.open("rb") as file:
        if hasattr(store, "upload") and size > PART:
            store.upload(key, file)
        elif hasattr(store, "upload"):
            store.put(key, file.read())
        else:
            with store.write(key) as sink:
                shutil.copyfileobj(file, sink, PART)


def fetch(store: Any, key: str, path: Path, manifest: Manifest) -> Manifest:
    """Write the files of a stored folder into a new folder, and return the list with the times that they have there.

    Raises ValueError, with the file, if the bytes are not those that were stored.
    """
    prefix = f"{files_key(key)}/{manifest.token}"
    folders = {(path / entry.name).parent for entry in manifest.files} | {path / name for name in manifest.folders}
    for folder in sorted({path, *folders}):
        folder.mkdir(parents=True, exist_ok=True)

    def fetch_one(entry: FileEntry) -> int:
        return _fetch_one(store, f"{prefix}/{entry.name}", path / entry.name, entry)

    return manifest._replace(times=tuple(each(fetch_one, manifest.files)))


def _fetch_one(store: Any, key: str, path: Path, entry: FileEntry) -> int:
    """Fetch a file and return its time."""
    try:
        file = path.open("x+b")
    except FileExistsError:
        reason = f"its file '{entry.name}' cannot lie beside another one on this system: the names differ in case only"
        raise ValueError(reason) from None
    with file:
        if hasattr(store, "upload"):
            download(store, key, file)
        else:
            with store.open(key) as source:
                shutil.copyfileobj(source, file, PART)
        file.seek(0)
        if checksum_of(file, algorithm_of(entry.checksum) or ALGORITHM) != entry.checksum:
            raise ValueError(f"its file '{entry.name}' is not what was stored")
    if entry.executable:
        make_executable(path)
    return path.stat().st_mtime_ns


def stored_manifest(store: Any, key: str) -> Manifest | None:
    """Return the list of files that is stored now, None if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, StoreError), store.open(key) as file:
        return decoded(file.read())
    return None


def stored_difference(store: Any, key: str) -> str:
    """Return how a stored folder differs from its list, reading all of its files; "" if it does not."""
    manifest = stored_manifest(store, key)
    if manifest is None:
        return "its list of files cannot be read"
    if isinstance(store, LocalStore):
        return difference(Path(files_key(key)) / manifest.token, manifest, thorough=True)
    prefix = f"{files_key(key)}/{manifest.token}"

    def problem(entry: FileEntry) -> str:
        try:
            with store.open(f"{prefix}/{entry.name}") as file:
                is_same = checksum_of(file, algorithm_of(entry.checksum) or ALGORITHM) == entry.checksum
        except FileNotFoundError:
            return f"its file '{entry.name}' is missing"
        return "" if is_same else f"its file '{entry.name}' is not what was stored"

    return next(filter(None, each(problem, manifest.files)), "")


def folder_size(store: Any, key: str) -> int:
    """Return the bytes of the files of a stored folder, with those that dead processes have left."""
    return sum(stat.size for stat in store.list(files_key(key)))
