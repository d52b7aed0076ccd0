"""The one lock file of a workspace, ``log/locks/tasks.lock``: a range of bytes for each task, and who uses the file.

::

    bytes 0 to 15       token of the process that has come last: whoever sees another one than its own is not alone
    bytes 256 n to ...  process n, as JSON
    2**61 + n           locked while process n uses the file
    2**62 + 2**31 h     start of the range of a task, where h are 31 bits of the hash of the lock's name

The start and length of a locked range say which process has locked it, and when: the system tells them to those who
wait, so that a holder writes nothing. Two names with the same hash are one lock for other processes, and two inside a
process.

A process that is alone locks all ranges at once, and then needs no system call for a task. A thread looks ten times a
second whether another process has come, and releases what no running task needs; it does so, too, when a task takes
long, so that a process that is stopped in it keeps nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
import time
from typing import Any, NamedTuple

from kart_runtime.errors import LockLost
from kart_runtime.execution.locks import ranges
from kart_runtime.execution.locks.lease import boot_clock, holder_text
from kart_runtime.storage.processes import is_alive, parsed, this_process
from kart_runtime.storage.system import after_fork

NAME = "tasks.lock"
"""Name of the file in the folder of locks."""

_HEADER, _RECORD, _SLOTS = 16, 256, 1023
_NOBODY = bytes(_HEADER)
_PRESENT, _TASKS, _END = 1 << 61, 1 << 62, (1 << 63) - 2
_HASH_BITS, _REGION, _SECONDS_BITS = 31, 1 << 31, 20
_MOST_SECONDS = (1 << _SECONDS_BITS) - 1
_SUSPENDED = _REGION - 2
"""Byte of a range that is locked while the task waits for what its `run()` has yielded."""

_INTERVAL = 0.1
"""Seconds between two looks at who has come."""

_LONG = 0.5
"""Seconds of a task after which a process that is alone keeps the ranges of running tasks only."""

_SILENT = 1.0
"""Seconds within which a process that is alone surely notices that another one has come, unless it is stopped."""

_MOMENT = 0.01
"""Seconds for which a check holds."""

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_NOFOLLOW", 0)


class Held:
    """One lock of this process; `start` is that of its range, 0 as long as all ranges are locked."""

    __slots__ = ("_checked", "_file", "alone", "is_suspended", "name", "since", "start")

    is_lease = False

    def __init__(self, file: LockFile, name: str, since: float, alone: bool, start: int) -> None:
        self._file, self.name, self.since, self.alone, self.start = file, name, since, alone, start
        self.is_suspended, self._checked = False, 0.0

    def check(self) -> None:
        """Return if it is still held; raise `LockLost` if another process may have it."""
        if not self._file.is_current():
            self._file.forget_alone()  # the next try opens the new file
            raise LockLost(self.name, "its lock file was removed, so another process could create a new one")
        self._checked = time.monotonic()

    def check_again(self) -> None:
        """Do what `check` does, unless that was a moment ago."""
        if time.monotonic() - self._checked > _MOMENT:
            self.check()

    def suspend(self) -> None:
        """Tell others that the task waits for tasks that its `run()` has yielded."""
        self.is_suspended = True
        self._file.suspend(self)

    def release(self) -> None:
        """Release it."""
        self._file.release(self)


class Busy(NamedTuple):
    """Who holds a lock, as text; `is_suspended` if it waits for other tasks meanwhile."""

    holder: str
    is_suspended: bool = False


def hash_of(name: str) -> int:
    """Return the bits of a lock's name; those of a task end with its id, which is a hash."""
    try:
        return int(name[-8:], 16) & ((1 << _HASH_BITS) - 1)
    except ValueError:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> (64 - _HASH_BITS)


class LockFile:
    """An open lock file; all threads of the process share it. `open_lock_file` returns it."""

    def __init__(self, path: str, descriptor: int, system: ranges.Ranges, seen: bytes | None) -> None:
        self.path, self._descriptor, self._system = path, descriptor, system
        self._lock, self._unlock = system.lock, system.unlock
        status = os.fstat(descriptor)
        self._device, self._node = self.identity = status.st_dev, status.st_ino
        self.users = 0
        self._is_dropped = False
        self._mutex = threading.Lock()
        self._held: dict[str, Held] = {}
        self._ranges: dict[int, list[Held]] = {}
        """Start of a range that is locked for a task to the locks in it, of which there are two if hashes collide."""
        self._lengths: dict[int, int] = {}
        self._born = time.monotonic()
        self._token = os.urandom(_HEADER)
        self._number = self._register()
        # Alone is who has seen, before the plan was made, that nobody used the file, and nobody has come since.
        self.alone = seen == self._read(_HEADER, 0) and self._find_others() is None
        self._write(self._token, 0)
        self._is_whole = self.alone and self._lock_all()

    # -- locks ---------------------------------------------------------------------------------------------------

    def acquire(self, name: str) -> Held | Busy | None:
        """Lock a name; return who holds it if another one does, None if the file was removed."""
        with self._mutex:
            if name in self._held:
                return self._busy_here(name)
            if not self._is_whole:
                return self._acquire_range(name)
            held = self._held[name] = Held(self, name, time.monotonic(), True, 0)
        return held

    def _acquire_range(self, name: str) -> Held | Busy | None:
        if self._descriptor < 0:
            return None
        start, since = _TASKS + hash_of(name) * _REGION, time.monotonic()
        others = self._ranges.get(start)
        if others is None:
            length = self._length(since)
            if not self._lock(self._descriptor, start, length):
                return self._busy(start) if self.is_current() else None
            if not self._system.locks_all:
                self._lengths[start] = length
            if self.alone and self._read(_HEADER, 0) != self._token:
                self.alone = False
        if not self.alone and not self.is_current():
            if others is None:
                self._unlock_range(start)
            return None
        held = self._held[name] = Held(self, name, since, self.alone, start)
        self._ranges.setdefault(start, []).append(held)
        return held

    def _busy_here(self, name: str) -> Busy | None:
        if not self.is_current():
            return None
        held = self._held[name]
        return Busy(_text(this_process(), time.time() - (time.monotonic() - held.since)), held.is_suspended)

    def release(self, held: Held) -> None:
        """Unlock a name, unless another one with the same hash is held."""
        with self._mutex:
            if self._held.get(held.name) is not held:
                return
            del self._held[held.name]
            if held.start:
                self._release_range(held)
            is_last = self._is_dropped and not self._held
        if is_last:
            self.close()

    def _release_range(self, held: Held) -> None:
        others = self._ranges.get(held.start, [])
        if held in others:
            others.remove(held)
        if not others:
            self._ranges.pop(held.start, None)
            if self._descriptor >= 0:
                self._unlock_range(held.start)

    def _unlock_range(self, start: int) -> None:
        if self._system.locks_all:
            self._unlock(self._descriptor, start, _REGION)
            return
        self._unlock(self._descriptor, start, self._lengths.pop(start))  # Windows unlocks what was locked, as it was
        self._unlock(self._descriptor, start + _SUSPENDED, 1)

    def suspend(self, held: Held) -> None:
        """Mark the lock as one whose task waits."""
        with self._mutex, contextlib.suppress(OSError):
            if self._descriptor >= 0 and held.start:
                self._lock(self._descriptor, held.start + _SUSPENDED, 1)

    def is_current(self) -> bool:
        """Return whether the file still has its name."""
        try:
            # In a process that was forked inside a lock, which is its parent's, the file is closed.
            status = os.fstat(self._descriptor) if self._descriptor >= 0 else os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return status.st_nlink > 0 and status.st_ino == self._node

    # -- all ranges at once --------------------------------------------------------------------------------------

    def _lock_all(self) -> bool:
        start = _TASKS - self._number
        return bool(self._number) and self._system.locks_all and self._lock(self._descriptor, start, _END - start)

    def look(self) -> None:
        """Keep only the ranges of running tasks if another process has come or a task takes long; else all again."""
        with self._mutex, contextlib.suppress(OSError):
            if self._descriptor < 0 or not self.alone:
                return
            is_long = any(time.monotonic() - held.since > _LONG for held in self._held.values())
            if not self._is_whole:
                if not is_long and self._read(_HEADER, 0) == self._token and self._find_others() is None:
                    self._is_whole = self._lock_all()
            elif self._find_others() is not None:
                self.alone = False
                self._keep_running()
            elif is_long:
                self._keep_running()

    def forget_alone(self) -> None:
        """Do as if another process had come."""
        with self._mutex:
            self.alone = False
            if self._is_whole:
                self._keep_running()

    def _keep_running(self) -> None:
        """Release all ranges but those of the tasks that run."""
        self._is_whole = False
        for held in self._held.values():
            held.start = held.start or _TASKS + hash_of(held.name) * _REGION
            others = self._ranges.setdefault(held.start, [])
            if held not in others:
                others.append(held)
        free = _TASKS - self._number
        for start, others in sorted(self._ranges.items()):
            self._unlock(self._descriptor, free, start - free)
            free = start + self._length(others[0].since)
            if any(held.is_suspended for held in others):
                self._unlock(self._descriptor, free, start + _SUSPENDED - free)
                free = start + _SUSPENDED + 1
        self._unlock(self._descriptor, free, _END - free)

    def wait_for_others(self, seconds: float) -> None:
        """Wait until no other process has locked all ranges, which takes long only if one is stopped."""
        deadline = time.monotonic() + seconds
        if not self._system.locks_all:
            return
        while (found := self._system.find(self._descriptor, _TASKS - 1, 1)) and found.start < _TASKS:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)

    # -- who uses the file ---------------------------------------------------------------------------------------

    def _register(self) -> int:
        """Take a number in the file, under which the others find this process; 0 if there is none."""
        for number in range(1, _SLOTS + 1):
            if self._lock(self._descriptor, _PRESENT + number, 1):
                record = {"process": this_process(), "began": time.time(), "clock": boot_clock()}
                self._write(json.dumps(record).encode().ljust(_RECORD - 1) + b"\n", number * _RECORD)
                return number
        return 0

    def _find_others(self) -> ranges.Locked | None:
        return self._system.find(self._descriptor, _PRESENT, _SLOTS + 1)

    def _length(self, since: float) -> int:
        """Return the length of a range, which holds the number of the process and the seconds since it began."""
        return 1 + (self._number << _SECONDS_BITS) + min(int(since - self._born), _MOST_SECONDS)

    def _busy(self, start: int) -> Busy:
        """Return who holds a range."""
        found = self._system.find(self._descriptor, start, _SUSPENDED)
        if found is None:
            return Busy("another process, which has just released it")
        if found.start < _TASKS:
            number, seconds, suspended = _TASKS - found.start, 0, False
        else:
            number, seconds = divmod(max(found.length - 1, 0), 1 << _SECONDS_BITS)
            suspended = self._system.find(self._descriptor, start + _SUSPENDED, 1) is not None
        record = self._record(number)
        if record is None:
            return Busy(f"process {found.pid}" if found.pid > 0 else "another process", suspended)
        text = _text(record["process"], _wall_time(record, seconds))
        return Busy(text + self._note(record["process"], holds_all=found.start < _TASKS), suspended)

    def _note(self, process: str, *, holds_all: bool) -> str:
        """Return what else those who wait for a process should know."""
        if is_alive(process) is False:
            return "; it has ended, but a process that it has started has its lock file open: end that one"
        if holds_all and time.monotonic() - self._born > _SILENT:  # one that can look has seen this process
            pid = getattr(parsed(process), "pid", "")
            return (
                "; it holds the locks of all tasks of the folder and does not answer (stopped, or in compiled code): "
                f"continue it by kill -CONT {pid}, or set run.locks to none"
            )
        return ""

    def _record(self, number: int) -> dict[str, Any] | None:
        try:
            record = json.loads(self._read(_RECORD, number * _RECORD)) if number else None
        except ValueError:
            return None
        return record if isinstance(record, dict) and parsed(str(record.get("process", ""))) else None

    # -- the file itself -----------------------------------------------------------------------------------------

    def _read(self, size: int, offset: int) -> bytes:
        if _HAS_PREAD:
            return os.pread(self._descriptor, size, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return os.read(self._descriptor, size)

    def _write(self, data: bytes, offset: int) -> None:
        if _HAS_PREAD:
            os.pwrite(self._descriptor, data, offset)
            return
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        os.write(self._descriptor, data)

    def close(self) -> None:
        """Close the file, which releases everything."""
        with self._mutex:
            descriptor, self._descriptor = self._descriptor, -1
            self._held.clear()
            self._is_whole = False
        with contextlib.suppress(OSError):
            if descriptor >= 0 and os.fstat(descriptor).st_ino == self.identity[1]:  # else the program has closed it
                os.close(descriptor)

    @property
    def is_used(self) -> bool:
        """Whether something is locked, or a build goes on."""
        return bool(self.users or self._held)


def _text(token: str, since: float) -> str:
    process = parsed(token)
    if process is None:
        return "another process"
    return holder_text(process.host, process.pid, time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(since)))


def _wall_time(record: dict[str, Any], seconds: int) -> float:
    """Return when a lock was taken, by the clock of this process; the wall clock of the holder may have been set."""
    process, own = parsed(str(record["process"])), parsed(this_process())
    clock, began = record.get("clock"), record.get("began")
    if isinstance(clock, int | float) and process is not None and own is not None and process.machine == own.machine:
        return time.time() - max(boot_clock() - clock - seconds, 0.0)
    return began + seconds if isinstance(began, int | float) else time.time()


_HAS_PREAD = hasattr(os, "pread")

_MOST_UNUSED = 8
"""Files that stay open in a process that runs single attempts, as worker processes do."""

_guard = threading.Lock()
_files: dict[tuple[int, int], LockFile] = {}
"""The open lock files by device and inode: on some systems, closing a second descriptor would drop the locks."""


def _forget_in_fork() -> None:
    global _guard, _watch
    _guard, _watch = threading.Lock(), _Watch()
    for file in _files.values():
        file._mutex = threading.Lock()
        file.close()
    _files.clear()


after_fork(_forget_in_fork)


class _Watch:
    """The thread that looks who has come, as long as a file is open in a process that is alone."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look at the open files from now on."""
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kart-file-locks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            files = [file for file in list(_files.values()) if file.alone]
            if not files:
                self._wake.clear()
                if not any(file.alone for file in list(_files.values())):
                    self._wake.wait()
            time.sleep(_INTERVAL)
            for file in files:
                file.look()


_watch = _Watch()


def look_at(path: str) -> bytes | None:
    """Return who has last used a lock file; None if a process uses it."""
    with _guard:
        if _open_already(path) is not None:
            return None
        try:
            descriptor = os.open(path, os.O_RDWR | _BINARY)
        except FileNotFoundError:
            return _NOBODY
        except OSError:
            return None
        try:
            system = ranges.system_ranges()
            header = os.read(descriptor, _HEADER) or _NOBODY
            return None if system.find(descriptor, _PRESENT, _SLOTS + 1) is not None else header
        except (OSError, ImportError):
            return None
        finally:
            os.close(descriptor)


def open_lock_file(path: str, seen: bytes | None = None) -> LockFile:
    """Return a lock file, open, which is made if it is missing; raise `OSError` or `ImportError` without locks.

    `seen` is what `look_at` has returned.
    """
    with _guard:
        for _ in range(100):
            file = _open_already(path)
            if file is not None:
                file.forget_alone()  # another build of this process may have run a task
                return file
            file = _opened(path, seen)
            if file.is_current():  # else it was removed in the meantime
                _files[file.identity] = file
                _close_unused(_MOST_UNUSED)
                if file.alone:
                    _watch.begin()
                else:
                    file.wait_for_others(5 * _INTERVAL)
                return file
            file.close()
        raise OSError(f"{path} is removed again and again")


def _opened(path: str, seen: bytes | None) -> LockFile:
    system = ranges.system_ranges()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
    try:
        try:
            return LockFile(path, descriptor, system, seen)
        except OSError as error:
            if error.errno != errno.EINVAL or not isinstance(system, ranges.OpenFileRanges):
                raise
            return LockFile(path, descriptor, ranges.process_ranges(), seen)
    except BaseException:
        os.close(descriptor)
        raise


def _open_already(path: str) -> LockFile | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return _files.get((status.st_dev, status.st_ino))


def _close_unused(most: int) -> None:
    """Close files that nobody uses, those first that were opened first, until so many are left."""
    for identity, file in list(_files.items()):
        if len(_files) > most and not file.is_used:
            del _files[identity]
            file.close()


def give_back(file: LockFile) -> None:
    """End the use of a file by a build; close it after the last one."""
    with _guard:
        file.users -= 1
        if not file.is_used and _files.get(file.identity) is file:
            del _files[file.identity]
            file.close()


def drop(file: LockFile) -> None:
    """Forget a file that was removed; it is closed when nothing in it is held any more."""
    with _guard:
        if _files.get(file.identity) is file:
            del _files[file.identity]
        file._is_dropped = True
        if not file._held:
            file.close()
