"""Cache of remote objects on this machine's disk, shared by all its processes.

A read requests the first chunk unless the object still has the version of the cached file (one request, answered by
"304 not modified"), so it always returns what the service has now. A large object is downloaded in chunks, several at
once, to the disk and not to memory. Files are named by version and checksum (one whose bytes have changed is downloaded
again), appear by a rename, and are deleted, least recently used first, when their total size exceeds a limit; a file
that is being read stays readable.

The cache belongs to the machine and not to the project, so environment variables configure it: ``KART_CACHE_DIR``
(default: ``kart`` in the user's cache folder) and ``KART_CACHE_MB`` (default: 10,000; 0 switches it off).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import quote, unquote

from kart_runtime.errors import ConfigError, RequestFailed, StoreError
from kart_runtime.storage.checksum import checksum_of
from kart_runtime.storage.stores.threads import RequestThreads
from kart_runtime.storage.system import after_fork
from kart_runtime.storage.temporary import folder_prefix, temporary_name

CHUNK = 8 << 20
"""Bytes of one request."""

_CONCURRENCY = 8
"""Chunks of one object that are downloaded at once."""

_DEFAULT_MB = 10_000
_STRIPES = 1024
_BLOCK = 4096
"""Bytes that the smallest file takes on a disk."""

_READS = 3
"""Attempts to read an object that is replaced while it is read."""

_POLL_SECONDS = 0.01
"""Seconds between two tries at an object that another process is downloading."""

FOLDERS = "folders"
"""Name of the part of the cache that holds whole folders, which `folder_cache` looks after."""

UNKNOWN_SIZE = -1
"""The size of an object whose service does not report it with a chunk."""


class ObjectReplaced(RequestFailed):
    """An object was replaced between two requests that read it.

    Parameters
    ----------
    url
        The object.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "read", "it was replaced while it was read", "Try again.")


class _Store(Protocol):
    """The methods of a store that this module calls."""

    def service_id(self) -> str: ...
    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Any: ...
    def url(self, key: str) -> str: ...


def open_object(store: _Store, key: str) -> BinaryIO:
    """Open an object for reading, as a file that can seek."""
    limit = cache_limit()
    for _ in range(_READS - 1):
        with contextlib.suppress(ObjectReplaced):
            return _open(store, key, limit)
    return _open(store, key, limit)


def _open(store: _Store, key: str, limit: int) -> BinaryIO:
    if limit:
        entry = _entry(store, key, limit)
        try:
            return entry.open(store, key)
        except StoreError:
            raise
        except OSError:
            pass  # a full disk, or a folder of another user: no reason to fail
    return _uncached(store, key, store.get(key, 0, CHUNK))


def download(store: _Store, key: str, file: BinaryIO) -> None:
    """Write an object into an empty file without caching it, for folders, which have a cache of their own."""
    for _ in range(_READS - 1):
        with contextlib.suppress(ObjectReplaced):
            _download(file, store, key, store.get(key, 0, CHUNK))
            return
        file.seek(0)
        file.truncate()
    _download(file, store, key, store.get(key, 0, CHUNK))


def cache_limit() -> int:
    """Return the limit of the cache in bytes; 0 switches it off."""
    text = os.environ.get("KART_CACHE_MB", "").strip()
    try:
        megabytes = float(text) if text else _DEFAULT_MB
    except ValueError:
        megabytes = -1
    if not megabytes >= 0:
        raise ConfigError(f"'{text}' is not a size", key="KART_CACHE_MB", expected="a number of megabytes, 0 for none")
    return int(megabytes * 1_000_000)


def cache_root() -> Path:
    """Return the folder of the cache."""
    configured = os.environ.get("KART_CACHE_DIR", "").strip()
    if configured:
        return Path(configured).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache").expanduser() / "kart" / "objects"


def forget(store: _Store, key: str) -> None:
    """Delete the cached files of an object."""
    with contextlib.suppress(OSError):
        for path in list(_entry(store, key, 0).folder.iterdir()):
            path.unlink(missing_ok=True)


def _entry(store: _Store, key: str, limit: int) -> _CacheEntry:
    return _CacheEntry(cache_root(), limit, f"{store.service_id()} {key}")


def _uncached(store: _Store, key: str, chunk: Any) -> BinaryIO:
    if chunk.size <= len(chunk.data):
        return io.BytesIO(chunk.data)
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix=folder_prefix()))  # noqa: SIM115 - the caller closes it
    try:
        _download(file, store, key, chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _download(file: BinaryIO, store: _Store, key: str, first: Any) -> None:
    """Write an object into a file: the first chunk, and the others as they arrive."""
    file.write(first.data)
    starts = range(len(first.data), first.size, CHUNK)
    if not starts:
        return
    lock = threading.Lock()

    def fetch(start: int) -> None:
        chunk = store.get(key, start, CHUNK, only=first.version)
        if chunk.size not in {first.size, UNKNOWN_SIZE}:  # a service without conditional reads
            raise ObjectReplaced(store.url(key))
        expected = min(CHUNK, first.size - start)
        if len(chunk.data) != expected:
            reason = f"{len(chunk.data)} of {expected} bytes arrived"
            raise RequestFailed(store.url(key), "read", reason, "Try again.")
        with lock:
            file.seek(start)
            file.write(chunk.data)

    with RequestThreads(min(_CONCURRENCY, len(starts)), "kart-download") as threads:
        futures = [threads.submit(fetch, start) for start in starts]
        for future in futures:
            future.result()


class _CacheEntry:
    """One object in the cache: a folder with a file for the version that was read last."""

    def __init__(self, root: Path, limit: int, name: str) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        self._root, self._limit = root, limit
        self.folder = root / digest[:40]
        self._stripe = root / "locks" / str(int(digest[:8], 16) % _STRIPES)

    def open(self, store: _Store, key: str) -> BinaryIO:
        chunk, file = self._current(store, key, None)
        if file is not None:
            return file
        with self._locked():  # a second reader then finds what the first one has downloaded
            chunk, file = self._current(store, key, chunk)
            if file is not None:
                return file
            if chunk is None:
                chunk = store.get(key, 0, CHUNK)
            if chunk.version and chunk.size <= self._limit:
                return self._add(store, key, chunk)
        return _uncached(store, key, chunk)

    def _current(self, store: _Store, key: str, chunk: Any) -> tuple[Any, BinaryIO | None]:
        """Return the cached file if it is up to date, and the first chunk of the object if it was downloaded."""
        version, file = self._cached()
        if file is None or (chunk is not None and chunk.version == version):
            return chunk, file
        if chunk is None:
            chunk = _newer(store, key, version, file)
            return chunk, file if chunk is None else None
        file.close()
        return chunk, None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes of this machine from downloading the same object meanwhile."""
        from filelock import lock_descriptor, unlock_descriptor

        try:
            descriptor = os.open(self._stripe, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._stripe.parent.mkdir(exist_ok=True)
            descriptor = os.open(self._stripe, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lock_descriptor(descriptor, poll_interval=_POLL_SECONDS)
            try:
                yield
            finally:
                # Closing alone would not do: a process that was forked meanwhile has the file open, too.
                unlock_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def _cached(self) -> tuple[str, BinaryIO | None]:
        """Return the cached version and its file, open, because it may be deleted at any time."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.folder):  # noqa: PTH208 - only the names are needed
                version, _, digest = name.rpartition(".")
                if name.startswith(".") or not version:
                    continue
                file = (self.folder / name).open("rb")
                if _digest(file) == digest:
                    return unquote(version), file
                file.close()  # the disk changed it, or the machine went down before it was all there
        return "", None

    def _add(self, store: _Store, key: str, chunk: Any) -> BinaryIO:
        self.folder.mkdir(exist_ok=True)
        temporary = self.folder / temporary_name()
        try:
            with temporary.open("xb") as file:
                _download(file, store, key, chunk)
            with temporary.open("rb") as file:
                digest = _digest(file)
            for old in list(self.folder.iterdir()):
                if old != temporary:
                    with contextlib.suppress(PermissionError):  # Windows: another process reads it
                        old.unlink(missing_ok=True)
            path = self.folder / f"{quote(chunk.version, safe='')}.{digest}"
            temporary.replace(path)
            opened = path.open("rb")
        finally:
            temporary.unlink(missing_ok=True)
        _cache_limit.added(self._root, self._limit, max(chunk.size, _BLOCK))
        return opened


def _digest(file: BinaryIO) -> str:
    """Return the checksum of a file's bytes, as it stands in the file's name, and go back to its start."""
    digest = checksum_of(file).partition(":")[2]
    file.seek(0)
    return digest


def _newer(store: _Store, key: str, version: str, file: BinaryIO) -> Any:
    """Return the first chunk of an object that is not the cached version, and close the file then."""
    try:
        chunk = store.get(key, 0, CHUNK, unless=version)
    except BaseException:
        file.close()
        raise
    if chunk is not None:
        file.close()
    else:
        with contextlib.suppress(OSError):  # of another user, or deleted meanwhile
            os.utime(file.name)  # used now: among the last to be deleted
    return chunk


class _CacheLimit:
    """Keeps the total size of the files below the limit; checks after each tenth of it that this process has added."""

    def __init__(self) -> None:
        self._added = float("inf")  # the first file checks what other processes have left
        self._lock = threading.Lock()

    def added(self, root: Path, limit: int, size: int) -> None:
        with self._lock:
            self._added += size
            if self._added < limit / 10:
                return
            self._added = 0.0
        _shrink(root, limit - limit // 10)


_cache_limit = _CacheLimit()


def _shrink(root: Path, limit: int) -> None:
    """Delete the least recently used files, until the rest is below a limit."""
    files: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        if folder.name in ("locks", FOLDERS):
            continue
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                status = path.stat()
                files.append((status.st_mtime, max(status.st_size, _BLOCK), path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        total -= size
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # refused while another file is in it


def _begin_in_child() -> None:
    """Replace the lock in a forked process: a thread of its parent may have held it."""
    global _cache_limit
    _cache_limit = _CacheLimit()


after_fork(_begin_in_child)
