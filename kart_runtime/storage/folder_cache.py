"""Cache of remote folders on this machine's disk, shared by all its processes: a folder is downloaded once.

It lies below ``folders`` in the cache of objects (`object_cache`). An entry holds the files of one write, whose token
is a part of its name, so it is never out of date; it counts once its list of files is there. Consumers use the files
where they lie, so an entry that was used in the last day stays; older ones are deleted, least recently used first, when
all are larger than the limit. Without a cache (``KART_CACHE_MB=0``) an entry lives as long as the process.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from kart_runtime.storage.codecs.folder import Manifest, decoded
from kart_runtime.storage.folder_files import difference, fetch
from kart_runtime.storage.folder_markers import Marker, live_markers, newest
from kart_runtime.storage.stores.object_cache import FOLDERS, cache_limit, cache_root
from kart_runtime.storage.temporary import folder_prefix, is_left, temporary_name, token_in

_FILES = "files"
_LIST = "list"
_SIZE = "size"
_DAY = 86_400.0
_STRIPES = 256
"""Lock files, so that they do not become more and more."""


class CachedFolder:
    """One folder of a store, as it is or will be on this machine."""

    def __init__(self, store: Any, key: str, token: str) -> None:
        service = store.service_id() if hasattr(store, "service_id") else f"{type(store).__module__}:{type(store)}"
        digest = hashlib.sha256(f"{service} {key} {token}".encode(errors="surrogatepass")).hexdigest()
        self._root = _root()
        self._entry = self._root / digest[:40]
        self.path = self._entry / _FILES
        self._store, self._key = store, key
        self._marker: Marker | None = None

    def new(self) -> Path:
        """Create the folder, to be filled here and then sent to the store."""
        _clear_left(self._root)
        self._marker = Marker.create(self._entry, "", "")  # keeps other processes from deleting it
        self.path.mkdir(parents=True)
        return self.path

    def keep(self, manifest: Manifest) -> None:
        """Count the files as those of the store."""
        (self._entry / _SIZE).write_text(str(manifest.size))
        temporary = self._entry / temporary_name()
        temporary.write_bytes(manifest.encoded())
        temporary.replace(self._entry / _LIST)
        if self._marker is not None:
            self._marker.delete()
        _shrink(self._root, keep=self._entry)

    def delete(self) -> None:
        """Delete the files."""
        shutil.rmtree(self._entry, ignore_errors=True)

    def get(self, manifest: Manifest) -> Path:
        """Return the folder with the files of the store, downloaded unless they are here.

        Raises ValueError if the store does not have the files of the list, as they were.
        """
        if self._is_whole(manifest):
            return self.path
        _clear_left(self._root)
        with _locked(self._entry):  # a second reader then finds what the first one has downloaded
            if not self._is_whole(manifest):
                self._set_aside()
                try:
                    self.keep(fetch(self._store, self._key, self.path, manifest))
                except BaseException:
                    self.delete()
                    raise
        return self.path

    def _is_whole(self, manifest: Manifest) -> bool:
        """Return whether the files are here, and nobody has changed them."""
        path = self._entry / _LIST
        try:
            here = decoded(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return False
        with contextlib.suppress(OSError):
            os.utime(path)  # used now
        return here.files == manifest.files and not difference(self.path, here)

    def _set_aside(self) -> None:
        """Move what is here, which a download has left incomplete or a consumer has changed, and delete it."""
        if self._entry.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{folder_prefix()}", dir=self._root))
            with contextlib.suppress(OSError):  # Windows: somebody reads it; then the download fails, and says so
                self._entry.rename(aside / "entry")
            shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _locked(entry: Path, wait: float = -1) -> Iterator[None]:
    """Keep other threads and processes of this machine from downloading the same folder meanwhile."""
    from filelock import FileLock

    locks = entry.parent / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{int(entry.name[:8], 16) % _STRIPES}.lock", wait, is_singleton=False):
        yield


_looked_through: set[Path] = set()
"""Folders of entries in which this process has looked for what dead ones have left."""


def _clear_left(root: Path) -> None:
    """Delete the entries that dead processes have not filled, once in each process."""
    if root in _looked_through:
        return
    _looked_through.add(root)
    with contextlib.suppress(OSError):
        for path in root.iterdir():
            if token_in(path.name):
                if is_left(path.name, newest(path)):
                    shutil.rmtree(path, ignore_errors=True)
            elif path.name != "locks" and not (path / _SIZE).exists():
                _clear_unfilled(path)


def _clear_unfilled(entry: Path) -> None:
    """Delete an entry without a size unless a process fills it, with a marker, or downloads it, with a lock."""
    with contextlib.suppress(OSError, ValueError), _locked(entry, 0):  # filelock's TimeoutError is an OSError
        if not (entry / _SIZE).exists() and not live_markers(str(entry)):
            shutil.rmtree(entry, ignore_errors=True)


class _OfThisProcess:
    """A temporary folder that goes with the process, for machines without a cache."""

    path: ClassVar[Path | None] = None
    process: ClassVar[int] = 0

    @classmethod
    def get(cls) -> Path:
        if cls.path is None or cls.process != os.getpid():
            path = cls.path = Path(tempfile.mkdtemp(prefix=folder_prefix()))
            cls.process = os.getpid()
            atexit.register(cls._delete, path, cls.process)
        return cls.path

    @staticmethod
    def _delete(path: Path, process: int) -> None:
        if os.getpid() == process:  # a forked process has a copy of this call
            shutil.rmtree(path, ignore_errors=True)


def _root() -> Path:
    """Return the folder of the entries: in the cache, or one of this process if there is none that it can write to."""
    if cache_limit():
        root = cache_root() / FOLDERS
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(root, os.W_OK):
                return root
    return _OfThisProcess.get()


def _shrink(root: Path, keep: Path) -> None:
    """Delete the least recently used folders, but none of the last day, until all are below the limit."""
    limit = cache_limit()
    entries = [(_used(entry), _size(entry), entry) for entry in root.iterdir() if entry.name != "locks"]
    total = sum(size for _, size, _ in entries)
    for used, size, entry in sorted(entries):
        if entry == keep or used > time.time() - _DAY or (total <= limit and size):
            continue
        if not live_markers(str(entry)):  # without a size: a download or a run that was killed
            shutil.rmtree(entry, ignore_errors=True)
            total -= size


def _used(entry: Path) -> float:
    for path in (entry / _LIST, entry):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return time.time()


def _size(entry: Path) -> int:
    try:
        return max(int((entry / _SIZE).read_text()), 1)
    except (OSError, ValueError):
        return 0
