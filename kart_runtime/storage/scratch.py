"""Scratch folders of tasks: local folders by the task's id that survive failures, and are deleted after a success.

They lie in ``<workspace>/log/scratch/`` where the workspace is a folder, so that they survive a restart of the machine,
and another machine that shares the disk can go on. For a workspace elsewhere they lie in the user's cache folder, or
below a folder of the task's choice. A file beside each folder, locked by the operating system, says who uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

from kart_runtime.storage.registry import store_for
from kart_runtime.storage.system import after_fork
from kart_runtime.storage.workspace import LOG, Workspace

SCRATCH = f"{LOG}/scratch"


_open: weakref.WeakSet[Scratch] = weakref.WeakSet()


class Scratch:
    """A scratch folder that this process uses; no other process gets it meanwhile."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor, self._process = path, descriptor, os.getpid()
        _open.add(self)

    def close(self, *, delete: bool) -> None:
        """Let others use the folder; or delete it, with those that other processes have left for the same task."""
        if os.getpid() != self._process:
            return
        self._release(delete)
        if delete:
            name = self.path.name.partition(".")[0]
            for path in [self.path.with_name(name), *self.path.parent.glob(f"{name}.*")]:
                delete_scratch(path)

    def forget(self) -> None:
        """Close the copy of the lock file that a fork has got, and with which it would hold the lock."""
        os.close(self._descriptor)

    def _release(self, delete: bool) -> None:
        from filelock import unlock_descriptor

        _open.discard(self)
        lock = _lock_file(self.path)
        if delete:
            shutil.rmtree(self.path, ignore_errors=True)
            with contextlib.suppress(OSError):  # Windows deletes no open file
                lock.unlink()
        with contextlib.suppress(OSError):
            unlock_descriptor(self._descriptor)
        os.close(self._descriptor)
        if delete and os.name == "nt":
            with contextlib.suppress(OSError):
                lock.unlink()


def _forget_in_fork() -> None:
    for scratch in list(_open):
        with contextlib.suppress(OSError):
            scratch.forget()
    _open.clear()


after_fork(_forget_in_fork)


def scratch_root(workspace: str, temporary: str = "") -> Path:
    """Return the folder of all scratch folders of a workspace; `temporary` is where to, if it is no local folder."""
    place = Workspace(workspace)
    if place.is_local:
        return Path(store_for(place.join(SCRATCH))[1]).absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache").expanduser() / "kart"
    digest = hashlib.sha256(place.normalized.encode()).hexdigest()[:16]
    return (Path(temporary).absolute() if temporary else cache) / "scratch" / digest


def scratch_path(root: Path, name: str) -> Path:
    """Return the scratch folder of a task, made if it is missing, without a lock."""
    path = root / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def open_scratch(root: Path, name: str) -> Scratch:
    """Return the scratch folder of a task; while another process uses it, one beside it."""
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = root / (name if number == 1 else f"{name}.{number}")
        descriptor = _locked(path)
        if descriptor is not None:
            try:
                if path.is_symlink():  # somebody has put it there, and it may lead anywhere
                    path.unlink()
                path.mkdir(exist_ok=True)
            except BaseException:
                os.close(descriptor)
                raise
            return Scratch(path, descriptor)
    raise AssertionError


def scratch_folders(root: Path) -> Iterator[tuple[Path, int, float]]:
    """Yield each scratch folder with its size in bytes and the time of its last change."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            stats = [status for file in [path, *path.rglob("*")] if (status := _lstat(file)) is not None]
            size = sum(status.st_size for status in stats[1:])
            yield path, size, max((status.st_mtime for status in stats), default=0.0)


def delete_scratch(path: Path) -> bool:
    """Delete a scratch folder unless a process uses it; return whether it is gone."""
    if path.is_dir():
        descriptor = _locked(path)
        if descriptor is not None:
            Scratch(path, descriptor)._release(delete=True)
    return not path.is_dir()


def _locked(path: Path) -> int | None:
    """Lock a scratch folder; return the descriptor of its lock file, None if another process has locked it."""
    from filelock import lock_descriptor

    while True:
        descriptor = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if not lock_descriptor(descriptor, blocking=False):
                os.close(descriptor)
                return None
            if os.fstat(descriptor).st_nlink:  # else it was deleted in the meantime, and others lock a new one
                return descriptor
        except OSError:  # this disk has no locks
            return descriptor
        os.close(descriptor)


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # gone since
        return None
