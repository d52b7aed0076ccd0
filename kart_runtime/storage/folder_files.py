"""Files of a folder value: list and check them on this machine, send them to a store, fetch and delete them.

In a store the files lie below ``<stem>.files/<token>/`` beside the list ``<stem>.folder``, which alone says what
counts. While a process fills a folder on a disk, a marker beside the folder names it, so that what a killed process has
left is told from what another one is writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kart_runtime.errors import StoreError
from kart_runtime.storage.checksum import ALGORITHM, algorithm_of, checksum_of
from kart_runtime.storage.codecs.folder import FILES_SUFFIX, SUFFIX, FileEntry, Manifest, decoded, is_token
from kart_runtime.storage.stores.local import TEMPORARY_PREFIX, LocalStore
from kart_runtime.storage.stores.object_cache import download
from kart_runtime.storage.stores.upload import PART

_THREADS = 16
_DAY = 86_400.0
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__pycache__"})
"""What systems add to any folder that somebody looks at or imports from."""

T = TypeVar("T")
R = TypeVar("R")

_counter = itertools.count()


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


def _walk(root: Path, *, for_storing: bool = False) -> tuple[list[_File], tuple[str, ...]]:
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
            files.append(_File(name, entry.path, os.stat(entry.path)))  # noqa: PTH116 - a list may be older
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
    shutil.copy2(target, temporary)
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
    extra = next((name for name in actual if name not in names and _IGNORED.isdisjoint(name.split("/"))), None)
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


def _each(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
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
    _each(lambda entry: _send_one(store, f"{prefix}/{entry.name}", path / entry.name, entry.size), manifest.files)


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

    return manifest._replace(times=tuple(_each(fetch_one, manifest.files)))


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
    if entry.executable and os.name != "nt":
        path.chmod(path.stat().st_mode | 0o111)
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

    return next(filter(None, _each(problem, manifest.files)), "")


def folder_size(store: Any, key: str) -> int:
    """Return the bytes of the files of a stored folder, with those that dead processes have left."""
    return sum(stat.size for stat in store.list(files_key(key)))


# -- deletion --------------------------------------------------------------------------------------------------------


def delete_folder(store: Any, key: str) -> bool:
    """Delete a stored folder, its list first, so that it is never half there; return whether there was one.

    What another process is writing at this moment stays.
    """
    manifest = stored_manifest(store, key)
    existed = bool(store.delete(key))
    if manifest is not None:
        delete_files(store, key, manifest.token)
    is_local = isinstance(store, LocalStore)
    left = sweep(store, key, age=0.0 if is_local else _DAY)
    if is_local:
        with contextlib.suppress(OSError):
            Path(files_key(key)).rmdir()  # refused while something else is in it
    return bool(left) or existed


def delete_files(store: Any, key: str, token: str) -> None:
    """Delete the files of one write."""
    if isinstance(store, LocalStore):
        folder = Path(files_key(key))
        if folder.is_symlink():  # it leads out of the workspace
            return
        if (folder / token).is_dir():
            _remove_tree(folder / token)
        with contextlib.suppress(OSError):
            folder.rmdir()  # refused while something else is in it
        return
    _delete_keys(store, [stat.key for stat in store.list(f"{files_key(key)}/{token}")])


def _delete_keys(store: Any, keys: list[str]) -> None:
    if hasattr(store, "delete_many"):
        for start in range(0, len(keys), 1000):
            store.delete_many(keys[start : start + 1000])
    else:
        for key in keys:
            store.delete(key)


def _remove_tree(path: Path) -> None:
    """Delete a folder, also with files that are read-only; what another process reads on Windows stays."""

    def retry(function: Any, name: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            os.chmod(name, stat.S_IRWXU)  # noqa: PTH101
            if function in {os.unlink, os.rmdir}:
                function(name)

    shutil.rmtree(path, onerror=retry)


def sweep(store: Any, key: str, age: float = _DAY) -> list[str]:
    """Delete what dead processes have left beside a folder, and replaced files of some age; return their tokens.

    On a disk, what a process has left is known by its marker. Elsewhere only files of a day's age count as left.
    """
    manifest = stored_manifest(store, key)
    current = "" if manifest is None else manifest.token
    is_local = isinstance(store, LocalStore)
    tokens = _left_on_disk(files_key(key), current, age) if is_local else _left_in(store, key, age)
    left = [token for token in tokens if token != current]
    for token in left:
        delete_files(store, key, token)
    return left


def _left_in(store: Any, key: str, age: float) -> list[str]:
    prefix = f"{files_key(key)}/"
    newest: dict[str, float] = {}
    for found in store.list(prefix):
        token = found.key.removeprefix(prefix).partition("/")[0]
        newest[token] = max(newest.get(token, 0.0), found.modified)
    return [token for token, modified in newest.items() if is_token(token) and modified < time.time() - age]


def _left_on_disk(folder: str, current: str, age: float) -> list[str]:
    try:
        names = [] if os.path.islink(folder) else os.listdir(folder)  # noqa: PTH114, PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    left: set[str] = set()
    live: set[str] = set()
    for token, before, marker in _markers(folder, names):
        if not marker.is_stale(Path(folder, token)):
            live.add(token)
            continue
        left.add(before if token == current else token)  # it was killed after its commit, or before
        marker.delete()
    present = {name for name in names if is_token(name)} - live
    return [name for name in present if name in left or age <= 0 or _modified(Path(folder, name)) < time.time() - age]


def _newest(path: Path) -> float:
    """Return when something below a folder was changed last."""
    return max(
        (_modified(Path(folder, name)) for folder, _, names in os.walk(path) for name in (".", *names)), default=0.0
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class Marker(NamedTuple):
    """The file beside a folder that a process is filling: its name holds host and process.

    Its text holds the token of the folder, and that of the one that it replaces.
    """

    path: Path
    host: str
    process: int

    @classmethod
    def create(cls, folder: Path, token: str, before: str) -> Marker:
        """Create the folder of the files, and the marker in it."""
        host, process = _this_machine(), os.getpid()
        path = folder / f"{TEMPORARY_PREFIX}{host}-{process}-{next(_counter)}{_MARKER_SUFFIX}"
        for _ in range(10):  # another process may delete the folder when it was the last one there
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.write_text(f"{token} {before}")
                return cls(path, host, process)
        path.write_text(f"{token} {before}")
        return cls(path, host, process)

    def is_stale(self, files: Path | None = None) -> bool:
        """Return whether the process has ended; of another machine's, whether it has written nothing for a day."""
        if self.host != _this_machine():
            return max(_modified(self.path), 0.0 if files is None else _newest(files)) < time.time() - _DAY
        return not _is_running(self.process)

    def delete(self) -> None:
        """Delete the marker."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def live_markers(folder: str) -> bool:
    """Return whether a process that may still run is filling something in a folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - only the names are needed
    except OSError:
        return False
    return any(not marker.is_stale() for _, _, marker in _markers(folder, names))


@cache
def _this_machine() -> str:
    """Return what tells this machine, or container, from others that may share the workspace and the host's name."""
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text())  # noqa: PTH115
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()[:8]
    return f"{socket.gethostname()[:50]}-{digest}"


_MARKER_SUFFIX = ".writing"
_MARKER = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(.*)-(\d+)-\d+{re.escape(_MARKER_SUFFIX)}")


def _markers(folder: str, names: Iterable[str]) -> Iterator[tuple[str, str, Marker]]:
    """Yield the markers among the files of a folder, with the tokens in them."""
    for name in names:
        match = _MARKER.fullmatch(name)
        if match:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                token, _, before = path.read_text().partition(" ")
                yield token, before, Marker(path, match[1], int(match[2]))


def is_files_folder(path: str) -> bool:
    """Return whether a folder on this machine holds the files of folder values, and nothing else."""
    if not path.endswith(FILES_SUFFIX):
        return False
    try:
        names = os.listdir(path)  # noqa: PTH208 - only the names are needed
    except OSError:
        return False
    ours = all(is_token(name) or _MARKER.fullmatch(name) for name in names)
    return bool(names) and ours and not os.path.islink(path)  # noqa: PTH114


def is_left(path: str) -> bool:
    """Return whether a folder of files on this machine has no list, no live process fills it, and it is a day old."""
    if os.path.lexists(folder_key(path)):
        return False
    names = os.listdir(path)  # noqa: PTH208 - only the names are needed
    if live_markers(path):
        return False
    newest = max((_modified(Path(path, name)) for name in names), default=0.0)
    return newest < time.time() - _DAY


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return True
    if os.name == "nt":  # there, os.kill would end the process
        return _is_running_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_running_on_windows(process: int) -> bool:
    import ctypes

    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(0x00100000, False, process)  # SYNCHRONIZE
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: it has not ended
    finally:
        kernel.CloseHandle(handle)
