"""Notice in a workspace that a process deletes files there, because of which builds wait before they trust an output.

No build may find an output complete that is deleted before it is loaded. So a build records what it uses, then looks
for the notice, and plans again if there is one; a deletion puts up its notice, and then reads what all runs use.
Whichever comes second sees the other. On a disk that costs a build one system call. On a remote store, a build sees
the notice in the list of the folder of runs, which it asks for anyway; what it records may be on its way, so a deletion
waits for `GRACE_SECONDS` first, and a build whose plan took half of that asks once more.

A deletion may begin and end while a build plans. So a build whose plan found outputs on a disk looks once more whether
they are there. On a remote store a deletion takes longer than the build relies on its last look.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kart_runtime.errors import warn
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.storage.processes import is_alive, parsed, this_process
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import is_remote, put
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import DELETING, RUNS, as_folder

logger = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""Seconds in which a build on a remote store has recorded what it uses, or looks for a notice once more."""

_LOOK_SECONDS = 5.0
"""Seconds for which a build relies on its last look at a remote store; what it records then arrives in the rest."""

STALE_SECONDS = 60.0
"""Seconds without a change after which a notice counts as left by a dead process, by the clock of who waits."""

_RENEWAL_SECONDS = 5.0
_PAUSES = (0.05, 2.0)
"""Seconds between two looks at a notice: on a disk, on a remote store."""


class DeletionLost(Exception):
    """Others have taken a notice for that of a dead process: nothing more may be deleted under it."""


class Notice:
    """A notice of this process, while it is up.

    Attributes
    ----------
    moment
        When it was put up, by the clock of the store, in seconds since the epoch.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key = store, key
        self._count = 0
        self._write()
        stat = store.stat(key)
        if stat is None:
            raise FileNotFoundError(f"{key} vanished")
        self.moment, self._version, self._renewed = stat.modified, stat.identity, time.monotonic()

    def _write(self) -> None:
        self._count += 1
        put(self._store, self._key, json.dumps({"process": this_process(), "count": self._count}).encode())

    def _own_version(self) -> str:
        stat = self._store.stat(self._key)
        return "" if stat is None else stat.identity

    def check(self) -> None:
        """Renew the notice if that is due; raise `DeletionLost` if it is no longer that of this process."""
        due = time.monotonic() - self._renewed > _RENEWAL_SECONDS
        if is_remote(self._store) and not due:
            return
        if self._own_version() != self._version:
            raise DeletionLost
        if due:
            self._write()
            self._version, self._renewed = self._own_version(), time.monotonic()

    def take_down(self) -> None:
        """Delete the notice."""
        with contextlib.suppress(OSError):
            if self._own_version() == self._version:
                self._store.delete(self._key)


@contextlib.contextmanager
def deleting_from(workspace: str) -> Iterator[Notice | None]:
    """Delete files of a workspace inside the block, while builds wait; None in one where nothing has run.

    Raises `UnsafeWorkspace` if another process deletes there, or the notice cannot be put up.
    """
    store, folder = store_for(f"{as_folder(workspace)}{RUNS}")
    if isinstance(store, LocalStore) and not Path(folder).is_dir():
        yield None
        return
    key = f"{folder}/{DELETING}"
    holder = _holder(store, key)
    if holder and not _is_left(store, key):
        reason = f"{_named(holder)} deletes files of it at this moment. Retry when it has ended."
        raise UnsafeWorkspace(workspace, reason)
    try:
        notice = Notice(store, key)
    except OSError as error:
        reason = f"cannot tell builds to wait, because {store_url(workspace, key)} cannot be written: {error}"
        raise UnsafeWorkspace(workspace, f"{reason}. Allow it.") from error
    try:
        if is_remote(store):
            time.sleep(GRACE_SECONDS)
        yield notice
    finally:
        notice.take_down()


def store_time(workspace: str) -> float:
    """Return the time by the clock of a store, in seconds since the epoch; that of this machine if it does not say."""
    store, folder = store_for(f"{as_folder(workspace)}{RUNS}")
    key = f"{folder}/{this_process()}.time"
    try:
        put(store, key, b"time")
        stat = store.stat(key)
        store.delete(key)
    except OSError as error:
        warn(logger, "Using the clock of this machine, because nothing can be written to %s: %s", workspace, error)
        stat = None
    return time.time() if stat is None else stat.modified


def store_url(workspace: str, key: str) -> str:
    """Return the url of a key, for messages."""
    scheme, found, _ = workspace.partition("://")
    return f"{scheme}://{key}" if found else key


class Watch:
    """What a build knows of the notices of its workspaces."""

    def __init__(self) -> None:
        self._looked: dict[str, float] = {}

    def listed(self, workspace: str, *, has_notice: bool) -> None:
        """Take over what a list of the files of a remote workspace has shown."""
        if not has_notice:
            self._looked[workspace] = time.monotonic()

    def await_deletions(self, workspaces: Iterable[str]) -> bool:
        """Wait while other processes delete files of some workspaces; return whether any did.

        To be called when it is recorded what the build uses. It then has to look again which outputs exist.
        """
        found = False
        for workspace in workspaces:
            if time.monotonic() - self._looked.get(workspace, -math.inf) > _LOOK_SECONDS:
                found |= await_deletions(workspace)
                if is_remote(store_for(workspace)[0]):
                    self._looked[workspace] = time.monotonic()
        return found


def await_deletions(workspace: str) -> bool:
    """Return at once if no process deletes files of a workspace; else wait for it, and return True."""
    store, folder = store_for(f"{as_folder(workspace)}{RUNS}")
    key = f"{folder}/{DELETING}"
    stat = store.stat(key)
    if stat is None or (key, stat.identity) in _left:
        return False
    version, since = stat.identity, time.monotonic()
    holder, is_said = _holder(store, key), False
    while True:
        if is_alive(holder) is False or time.monotonic() - since > STALE_SECONDS:
            _remove_left(workspace, store, key, version)
            return True
        if not is_said:
            warn(logger, "Waiting for %s, which deletes files of %s.", _named(holder), workspace)
            is_said = True
        time.sleep(_PAUSES[is_remote(store)])
        stat = store.stat(key)
        if stat is None:
            return True
        if stat.identity != version:
            version, since = stat.identity, time.monotonic()
            holder = _holder(store, key)


def may_have_missed(workspace: str, since: float) -> bool:
    """Return whether a deletion may have begun and ended since a moment of the monotonic clock."""
    return not is_remote(store_for(workspace)[0]) or time.monotonic() - since > _LOOK_SECONDS


def _remove_left(workspace: str, store: Any, key: str, version: str) -> None:
    """Remove what a dead process has left."""
    try:
        store.delete(key)
    except OSError as error:
        _left.add((key, version))
        warn(logger, "Cannot remove the notice of a dead process: %s. Delete %s.", error, store_url(workspace, key))


_left: set[tuple[str, str]] = set()
"""Notices of dead processes, and their versions, that cannot be removed: they keep no further build waiting."""


def _holder(store: Any, key: str) -> str:
    """Return the token of the process whose notice it is; "" if there is none, or it cannot be read."""
    try:
        with store.open(key) as file:
            holder = json.loads(file.read()).get("process", "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError):
        return "?"
    return holder if isinstance(holder, str) and holder else "?"


def _is_left(store: Any, key: str) -> bool:
    """Return whether a notice was left by a dead process: it is known, or nothing has changed for long."""
    holder = _holder(store, key)
    if is_alive(holder) is not None:
        return is_alive(holder) is False
    before = store.stat(key)
    time.sleep(2 * _RENEWAL_SECONDS)
    after = store.stat(key)
    return before is None or after is None or before.identity == after.identity


def _named(holder: str) -> str:
    process = parsed(holder)
    return f"another process ({process})" if process is not None else "another process"
