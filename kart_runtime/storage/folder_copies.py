"""Copy of a stored folder, with its list: whole or absent, from any store to any other one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.codecs.folder import FileEntry, Manifest
from kart_runtime.storage.folder_deletion import delete_files, sweep
from kart_runtime.storage.folder_files import check_no_link, each, files_key, stored_manifest
from kart_runtime.storage.folder_markers import Marker
from kart_runtime.storage.stores import copy, copy_between
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.system import make_executable


def copy_folder(store: Any, key: str, into: Any, target: str) -> str:
    """Copy the files of a stored folder, and then its list; return the version of the copied list, "" if not known.

    The files of the folder that it replaces stay for those who read them; they go with a later copy, a day old.
    """
    manifest = stored_manifest(store, key)
    if manifest is None:
        raise ObjectMissing(key)
    if isinstance(into, LocalStore):
        check_no_link(Path(files_key(target)))
    copied = manifest._replace(token=os.urandom(8).hex(), times=())
    with contextlib.suppress(OSError):
        sweep(into, target)
    marker = Marker.create(Path(files_key(target)), copied.token, "") if isinstance(into, LocalStore) else None
    try:
        source = f"{files_key(key)}/{manifest.token}"
        times = _copy_files(store, source, into, f"{files_key(target)}/{copied.token}", copied)
        writer = into.write(target)
        with writer as file:
            file.write(copied._replace(times=times).encoded())
    except BaseException:
        with contextlib.suppress(OSError):
            delete_files(into, target, copied.token)
        raise
    finally:
        if marker is not None:
            marker.delete()
    return str(getattr(file, "version", "") or getattr(writer, "version", ""))


def _copy_files(store: Any, source: str, into: Any, folder: str, manifest: Manifest) -> tuple[int, ...]:
    """Copy the files of a folder; return their times, if they are on a disk now."""
    is_local = isinstance(into, LocalStore)
    for name in ("", *manifest.folders) if is_local else ():
        Path(folder, name).mkdir(parents=True, exist_ok=True)

    def copy_one(entry: FileEntry) -> int:
        key = f"{folder}/{entry.name}"
        if store is into:
            copy(store, f"{source}/{entry.name}", key)
        else:
            copy_between(store, f"{source}/{entry.name}", into, key)
        if not is_local:
            return 0
        if entry.executable:
            make_executable(Path(key))
        return Path(key).stat().st_mtime_ns

    times = each(copy_one, manifest.files)
    return tuple(times) if is_local else ()
