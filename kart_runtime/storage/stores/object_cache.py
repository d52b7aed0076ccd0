"""How is an object read once by a whole machine? Into a file of a folder that all its processes share.

A read asks the service for the first piece unless the object is still as the file here says (one request, answered by
"304 not modified"), so what is read is always what is there now. A large object comes in pieces, several at once, and
goes to the disk and not to memory. Files are named by the version, appear by a rename, and are removed, the longest
unused first, when all of them together pass a limit; one that somebody reads stays readable.

The environment says where, since that is a matter of the machine and not of the project: ``KART_CACHE_DIR`` (by default
``kart`` in the user's cache folder) and ``KART_CACHE_MB`` (by default 10,000; 0: nothing is kept).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote, unquote

from kart_runtime.errors import ConfigError, RequestFailed, StoreError

PIECE = 8 << 20
"""Bytes that one request asks for."""

_AT_ONCE = 8
"""Pieces of one object that are on their way at once."""

_DEFAULT_MB = 10_000
_STRIPES = 1024
_BLOCK = 4096
"""Bytes of a disk that the smallest file takes."""

_READS = 3
"""How often an object is read from its beginning that is replaced while it is read."""

NOT_TOLD = -1
"""The size of an object whose service does not tell it beside a part."""

_numbers = itertools.count()


class ObjectReplaced(RequestFailed):
    """An object was replaced between two requests that read it.

    Parameters
    ----------
    url
        The object.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "read", "somebody has replaced it meanwhile", "Try again.")


class _Store(Protocol):
    """What is asked of a store here."""

    def place(self) -> str: ...
    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Any: ...
    def url(self, key: str) -> str: ...


def opened(store: _Store, key: str) -> BinaryIO:
    """Open an object for reading, as a file that can seek.

    Parameters
    ----------
    store
        The store.
    key
        The object.

    Raises
    ------
    ObjectMissing
        When there is none.
    ConfigError
        When ``KART_CACHE_MB`` is no number.
    """
    limit = _limit()
    for _ in range(_READS - 1):
        with contextlib.suppress(ObjectReplaced):
            return _opened(store, key, limit)
    return _opened(store, key, limit)


def _opened(store: _Store, key: str, limit: int) -> BinaryIO:
    if limit:
        cached = _CacheEntry(_folder(), limit, f"{store.place()} {key}")
        try:
            return cached.opened(store, key)
        except StoreError:
            raise
        except OSError:
            pass  # a full disk, or a folder of somebody else's: no reason to fail
    return _uncached(store, key, store.get(key, 0, PIECE))


def _limit() -> int:
    text = os.environ.get("KART_CACHE_MB", "").strip()
    try:
        megabytes = float(text) if text else _DEFAULT_MB
    except ValueError:
        megabytes = -1
    if not megabytes >= 0:
        raise ConfigError(f"'{text}' is no size", key="KART_CACHE_MB", expected="a number of megabytes, 0 for none")
    return int(megabytes * 1_000_000)


def _folder() -> Path:
    chosen = os.environ.get("KART_CACHE_DIR", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache").expanduser() / "kart" / "objects"


def _uncached(store: _Store, key: str, piece: Any) -> BinaryIO:
    if piece.size <= len(piece.data):
        return io.BytesIO(piece.data)
    file = tempfile.TemporaryFile(prefix="kart-")  # noqa: SIM115 - the caller closes it
    try:
        _fill(file.fileno(), store, key, piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _fill(descriptor: int, store: _Store, key: str, first: Any) -> None:
    """Write an object into a file: the first piece, and the others as they come."""
    _write_at(descriptor, first.data, 0)
    starts = range(len(first.data), first.size, PIECE)
    if not starts:
        return

    def bring(start: int) -> None:
        piece = store.get(key, start, PIECE, only=first.version)
        if piece.size not in {first.size, NOT_TOLD}:  # a service that does not know conditions
            raise ObjectReplaced(store.url(key))
        wanted = min(PIECE, first.size - start)
        if len(piece.data) != wanted:
            raise RequestFailed(store.url(key), "read", f"{len(piece.data)} of {wanted} bytes came back", "Try again.")
        _write_at(descriptor, piece.data, start)

    with ThreadPoolExecutor(min(_AT_ONCE, len(starts)), "kart-download") as threads:
        futures = [threads.submit(bring, start) for start in starts]
        try:
            for future in futures:
                future.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _write_at(descriptor: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


class _CacheEntry:
    """One object's place in the cache: a folder with a file for the version that was read last."""

    def __init__(self, root: Path, limit: int, name: str) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        self._root, self._limit = root, limit
        self._folder = root / digest[:40]
        self._stripe = root / "locks" / str(int(digest[:8], 16) % _STRIPES)

    def opened(self, store: _Store, key: str) -> BinaryIO:
        piece, file = self._found(store, key, None)
        if file is not None:
            return file
        with self._alone():  # whoever comes second finds what the first one has brought
            piece, file = self._found(store, key, piece)
            if file is not None:
                return file
            if piece is None:
                piece = store.get(key, 0, PIECE)
            if piece.version and piece.size <= self._limit:
                return self._kept(store, key, piece)
        return _uncached(store, key, piece)

    def _found(self, store: _Store, key: str, piece: Any) -> tuple[Any, BinaryIO | None]:
        """Return the file that is here and right, or the first piece of what is right, if that is known."""
        version, file = self._here()
        if file is None or (piece is not None and piece.version == version):
            return piece, file
        if piece is None:
            piece = _newer(store, key, version, file)
            return piece, file if piece is None else None
        file.close()
        return piece, None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other threads and processes of this machine from bringing the same object meanwhile."""
        try:
            descriptor = os.open(self._stripe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._stripe.parent.mkdir(exist_ok=True)
            descriptor = os.open(self._stripe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # To close it would not do: a process that was forked meanwhile has it open, too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _here(self) -> tuple[str, BinaryIO | None]:
        """Return the version that lies here, and its file, opened: it may be removed at any time."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):  # noqa: PTH208 - names are wanted
                version, _, size = name.rpartition(".")
                if name.startswith(".") or not size.isdigit():
                    continue
                file = (self._folder / name).open("rb")
                if os.fstat(file.fileno()).st_size == int(size):
                    return unquote(version), file
                file.close()  # the machine went down before it was all on the disk
        return "", None

    def _kept(self, store: _Store, key: str, piece: Any) -> BinaryIO:
        self._folder.mkdir(exist_ok=True)
        temporary = self._folder / f".{os.getpid()}-{threading.get_ident()}-{next(_numbers)}"
        try:
            with temporary.open("xb") as file:
                _fill(file.fileno(), store, key, piece)
            for old in list(self._folder.iterdir()):
                if old != temporary:
                    old.unlink(missing_ok=True)
            path = self._folder / f"{quote(piece.version, safe='')}.{piece.size}"
            temporary.rename(path)
            opened = path.open("rb")
        finally:
            temporary.unlink(missing_ok=True)
        _room.made(self._root, self._limit, max(piece.size, _BLOCK))
        return opened


def _newer(store: _Store, key: str, version: str, file: BinaryIO) -> Any:
    """Return the first piece of an object if it is not the version that is here; the file is closed then."""
    try:
        piece = store.get(key, 0, PIECE, unless=version)
    except BaseException:
        file.close()
        raise
    if piece is not None:
        file.close()
    else:
        with contextlib.suppress(OSError):  # of another user
            os.utime(file.fileno())  # used now: among the last to be removed
    return piece


class _CacheLimit:
    """Sees that the files together stay below the limit: looks after each tenth of it that this process has added."""

    def __init__(self) -> None:
        self._added = float("inf")  # the first file looks at what others have left
        self._lock = threading.Lock()

    def made(self, root: Path, limit: int, size: int) -> None:
        with self._lock:
            self._added += size
            if self._added < limit / 10:
                return
            self._added = 0.0
        _shrink(root, limit - limit // 10)


_room = _CacheLimit()


def _shrink(root: Path, limit: int) -> None:
    """Remove the files that were used longest ago, until the rest is below a limit."""
    found: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        if folder.name == "locks":
            continue
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                status = path.stat()
                found.append((status.st_mtime, max(status.st_size, _BLOCK), path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        total -= size
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # refused while another file is in it


def _begin_in_child() -> None:
    """Have a lock of its own in a forked process: the other one's may be held for ever."""
    global _room
    _room = _CacheLimit()


os.register_at_fork(after_in_child=_begin_in_child)
