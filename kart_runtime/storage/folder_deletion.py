"""Deletion of folder values: whole, the list first, and of what dead processes have left beside them."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

from kart_runtime.storage.codecs.folder import FILES_SUFFIX, is_token
from kart_runtime.storage.folder_files import files_key, folder_key, stored_manifest
from kart_runtime.storage.folder_markers import MARKER, live_markers, markers_in, modified
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import DAY


def delete_folder(store: Any, key: str) -> bool:
    """Delete a stored folder, its list first, so that it is never half there; return whether there was one.

    What another process is writing at this moment stays.
    """
    manifest = stored_manifest(store, key)
    existed = bool(store.delete(key))
    if manifest is not None:
        delete_files(store, key, manifest.token)
    is_local = isinstance(store, LocalStore)
    left = sweep(store, key, age=0.0 if is_local else DAY)
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


def sweep(store: Any, key: str, age: float = DAY) -> list[str]:
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
    return [token for token, changed in newest.items() if is_token(token) and changed < time.time() - age]


def _left_on_disk(folder: str, current: str, age: float) -> list[str]:
    try:
        names = [] if os.path.islink(folder) else os.listdir(folder)  # noqa: PTH114, PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    left: set[str] = set()
    live: set[str] = set()
    for token, before, marker in markers_in(folder, names):
        if not marker.is_stale(Path(folder, token)):
            live.add(token)
            continue
        left.add(before if token == current else token)  # it was killed after its commit, or before
        marker.delete()
    present = {name for name in names if is_token(name)} - live
    return [name for name in present if name in left or age <= 0 or modified(Path(folder, name)) < time.time() - age]


def is_files_folder(path: str) -> bool:
    """Return whether a folder on this machine holds the files of folder values, and nothing else."""
    if not path.endswith(FILES_SUFFIX):
        return False
    try:
        names = os.listdir(path)  # noqa: PTH208 - only the names are needed
    except OSError:
        return False
    ours = all(is_token(name) or MARKER.fullmatch(name) for name in names)
    return bool(names) and ours and not os.path.islink(path)  # noqa: PTH114


def is_left(path: str) -> bool:
    """Return whether a folder of files on this machine has no list, no live process fills it, and it is a day old."""
    if os.path.lexists(folder_key(path)):
        return False
    names = os.listdir(path)  # noqa: PTH208 - only the names are needed
    if live_markers(path):
        return False
    newest = max((modified(Path(path, name)) for name in names), default=0.0)
    return newest < time.time() - DAY
