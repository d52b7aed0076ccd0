"""Commit of all outputs of a run at once, and its completion by whoever comes next.

One output becomes visible by a rename or a request, so it is whole or absent. Several need as many steps, and a process
may die between them, when some outputs are new and others old. So a commit file in ``log/runs`` first lists all of
them. On a file system it names the temporary files, too: `recover` renames those that are left. Objects cannot be
finished by others: if only some of them are new, `recover` deletes the old ones, so that the task is not complete.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kart_runtime.storage import durable
from kart_runtime.storage.checksum import algorithm_of, checksum_of
from kart_runtime.storage.processes import is_alive, this_process
from kart_runtime.storage.registry import split_url, store_for
from kart_runtime.storage.signing_keys import VARIABLE, Signature, keyring
from kart_runtime.storage.staging import StagedWrite
from kart_runtime.storage.stores import Conditional, is_remote, put
from kart_runtime.storage.stores.local import LocalStore, flush_entry
from kart_runtime.storage.temporary import TEMPORARY_PREFIX
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

SUFFIX = ".commit.json"
"""End of the name of a commit file."""

LEASE_SECONDS = 60.0
"""Seconds, by the store's clock, in which a commit of objects belongs to the process that has begun it.

Unless that is known to have ended, because it was one of this machine.
"""

_numbers = itertools.count()


def commit(writes: Sequence[StagedWrite], workspace: str) -> None:
    """Make several outputs of a run visible, all or none.

    If it raises, either nothing is visible, or the outputs do not make a complete set.
    """
    recover(workspace)  # what another process has left must not be finished after this
    for write in writes:
        write.sign()
    entries = [_entry_of(write, workspace) for write in writes]
    if not any(entry.replaces or not entry.temporary for entry in entries):
        _commit_new(writes)
        return
    store, folder = store_for(Workspace(workspace).runs)
    key = f"{folder}/{os.urandom(8).hex()}-{os.getpid()}-{next(_numbers)}{SUFFIX}"
    text = _signed({"outputs": [entry._asdict() for entry in entries], "process": this_process()})
    if durable.is_on():  # the commit file promises that they are there
        _flush_temporaries(writes)
    if isinstance(store, LocalStore):
        with store.write(key) as file:  # whole or absent; `put` is not
            file.write(text)
    else:
        put(store, key, text)
    journal = _Journal(store, key, workspace, entries)
    try:
        for write in sorted(writes, key=lambda write: isinstance(write.store, LocalStore)):  # objects first
            _commit_one(write)
    except BaseException as error:
        try:
            whole = journal.settle()
        except OSError as second:
            error.add_note(f"Its other outputs could not be put right: {second}")
            raise error from None
        if not whole or not isinstance(error, OSError):
            raise
    else:
        journal.delete()


def _commit_new(writes: Sequence[StagedWrite]) -> None:
    """Rename files where none is replaced: some of them without the others are no complete set."""
    done: list[StagedWrite] = []
    try:
        for write in writes:
            write.commit()
            done.append(write)
    except BaseException:
        for write in done:
            with contextlib.suppress(OSError):
                write.store.delete(write.key)
        raise


def _flush_temporaries(writes: Sequence[StagedWrite]) -> None:
    names = (getattr(write.writer, "temporary", "") for write in writes)
    for folder in {os.path.dirname(name) for name in names if name}:  # noqa: PTH120
        durable.flush_folder(folder)


def _commit_one(write: StagedWrite) -> None:
    try:
        write.commit()
    except FileNotFoundError:
        stat = write.store.stat(write.key)
        if stat is None or stat.version != write.writer.version:
            raise
        # Another process has recovered the commit meanwhile.


class _Entry(NamedTuple):
    """One output in a commit file.

    `url` is relative to the workspace if it lies there. Of a file, `temporary` is the name of the temporary file
    beside it, `version` what it will have, and `replaces` that of the file that it replaces.
    """

    url: str
    size: int
    checksum: str
    temporary: str = ""
    version: str = ""
    replaces: str = ""


def _entry_of(write: StagedWrite, workspace: str) -> _Entry:
    place = Workspace(workspace)
    url = write.url
    if url.startswith(place.base):
        url = url.removeprefix(place.base)
    elif not split_url(url)[0]:
        url = str(Path(url).absolute())
    if not isinstance(write.store, LocalStore):
        return _Entry(url, write.size, write.checksum)
    temporary = Path(getattr(write.writer, "temporary", "")).name
    before = write.store.stat(write.key)
    replaces = "" if before is None else before.version
    return _Entry(url, write.size, write.checksum, temporary, write.writer.version, replaces)


@dataclass(frozen=True)
class _Journal:
    """A commit file: where it is, and the outputs in it."""

    store: Any
    key: str
    workspace: str
    entries: Sequence[_Entry]
    process: str = ""
    """Token of the process that writes them."""

    def urls(self) -> Iterator[str]:
        """Yield the urls of the outputs."""
        place = Workspace(self.workspace)
        for entry in self.entries:
            yield entry.url if split_url(entry.url)[0] else place.join(entry.url)

    def settle(self) -> bool:
        """Finish the commit and return True; if that is impossible, see to it that the set does not count.

        May be called by several processes at once, and again after it was interrupted at any point.
        """
        outputs = [_Output(entry, *store_for(url)) for entry, url in zip(self.entries, self.urls(), strict=True)]
        states = [output.state() for output in outputs]
        if "lost" not in states:
            for output, state in zip(outputs, states, strict=True):
                if state == "ready":
                    output.finish()
            self.delete()
            return True
        for output, state in zip(outputs, states, strict=True):
            if state != "done":
                output.drop_temporary()
                if "done" in states:
                    output.delete()
        self.delete()
        return False

    def delete(self) -> None:
        """Delete the commit file; one that stays is recovered once more, which changes nothing."""
        with contextlib.suppress(OSError):
            self.store.delete(self.key)

    def belongs_to_a_writer(self) -> bool:
        """Return whether the process that writes these outputs may still go on; files can be finished by anyone."""
        if all(entry.temporary for entry in self.entries) or is_alive(self.process) is False:
            return False
        if isinstance(self.store, Conditional):
            found = self.store.read(self.key)
            return found is not None and found.age < LEASE_SECONDS
        stat = self.store.stat(self.key)
        return stat is not None and time.time() - stat.modified < LEASE_SECONDS


class _Output:
    """One output of a commit file, as it is now."""

    def __init__(self, entry: _Entry, store: Any, key: str) -> None:
        self._entry, self._store, self._key = entry, store, key
        self._version = ""
        folder = key[: max(key.rfind("/"), key.rfind(os.sep)) + 1]
        self._temporary = f"{folder}{entry.temporary}" if entry.temporary.startswith(TEMPORARY_PREFIX) else ""

    def state(self) -> str:
        """Return "done" if it is visible, "ready" if its temporary file can be renamed, and "lost" otherwise."""
        # The temporary file first: if a living process renames it now, the other question finds it.
        ready = self._temporary and self._has_content(LocalStore(), self._temporary)
        stat = self._store.stat(self._key)
        self._version = "" if stat is None else stat.version
        if stat is not None and self._is_new(stat.version):
            return "done"
        return "ready" if ready and self._version == self._entry.replaces else "lost"

    def _is_new(self, version: str) -> bool:
        return bool(version and version == self._entry.version) or self._has_content(self._store, self._key)

    def _has_content(self, store: Any, key: str) -> bool:
        entry = self._entry
        stat = store.stat(key)
        if stat is None or stat.size != entry.size:
            return False
        algorithm = algorithm_of(entry.checksum)
        try:
            with store.open(key) as file:
                return bool(algorithm) and checksum_of(file, algorithm) == entry.checksum
        except FileNotFoundError:
            return False

    def finish(self) -> None:
        """Rename the temporary file, unless another process does."""
        try:
            os.replace(self._temporary, self._key)  # noqa: PTH105
        except FileNotFoundError:
            if self.state() != "done":
                raise
        if durable.is_on():
            flush_entry(self._key)

    def drop_temporary(self) -> None:
        """Delete the temporary file."""
        if self._temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)  # noqa: PTH108

    def delete(self) -> None:
        """Delete what is visible, if it is still what was found."""
        if not self._version:
            return
        logger.warning("Deleting %s: a run that would have replaced it has died between its outputs.", self._key)
        if isinstance(self._store, Conditional):
            self._store.delete_version(self._key, self._version)
        else:
            self._store.delete(self._key)


def recover(workspace: str, names: Iterable[str] | None = None) -> frozenset[str]:
    """Finish, or undo, the commits in a workspace that died on their way; return the urls that do not count yet.

    These belong to commits of objects that another process may still be writing. `names` are the names of the files in
    the workspace's folder of runs, if they are known, which saves a request.
    """
    store, folder = store_for(Workspace(workspace).runs)
    if names is None:
        names = _names_in(store, folder)
    pending: set[str] = set()
    for name in names:
        if name.endswith(SUFFIX) and "/" not in name:
            pending.update(_recover_one(store, f"{folder}/{name}", workspace))
    return frozenset(pending)


def _recover_one(store: Any, key: str, workspace: str) -> Iterable[str]:
    """Recover one commit; return the urls that do not count yet."""
    journal = _read(store, key, workspace)
    if journal is None:
        return ()
    try:
        if journal.belongs_to_a_writer():
            return tuple(journal.urls())
        journal.settle()
    except FileNotFoundError:  # another process recovers it at this moment
        return ()
    except OSError as error:
        logger.warning("The outputs in %s are only partly stored, and that cannot be mended: %s", key, error)
        return tuple(journal.urls())
    return ()


def _read(store: Any, key: str, workspace: str) -> _Journal | None:
    try:
        with store.open(key) as file:
            values = json.loads(file.read())
        _check_signature(values)
        _check_writer(store, key, [str(entry["url"]) for entry in values["outputs"]])
        entries = [_Entry(**entry) for entry in values["outputs"]]
        return _Journal(store, key, workspace, entries, str(values.get("process", "")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        logger.warning("Ignoring the damaged commit file %s: %s", key, error)
        return None


_LABEL = "kart-commit-1"


def _signed(values: dict[str, Any]) -> bytes:
    """Return the text of a commit file, with its signature if there is a key."""
    keys = keyring()
    if keys is not None:
        signature = keys.sign(_LABEL, json.dumps(values["outputs"], sort_keys=True).encode())
        values = {**values, "signature": str(signature)}
    return json.dumps(values).encode()


def _check_writer(store: Any, key: str, urls: Iterable[str]) -> None:
    """Raise ValueError for a commit file of another user that names something outside of the workspace to replace."""
    is_outside = any(os.path.isabs(url) or "://" in url or ".." in url.split("/") for url in urls)  # noqa: PTH117
    if is_outside and isinstance(store, LocalStore) and hasattr(os, "geteuid") and keyring() is None:
        owner = os.lstat(key).st_uid
        if owner not in {0, os.geteuid()}:
            raise ValueError(f"user {owner} has written it, and it names files outside of the workspace")


def _check_signature(values: Any) -> None:
    """Raise ValueError for the text of a commit file that is not signed, if there is a key."""
    keys = keyring()
    if keys is None:
        return
    key, _, digits = str(values.get("signature", "")).partition(":")
    outputs = json.dumps(values["outputs"], sort_keys=True).encode()
    if not keys.verifies(Signature(key, digits), _LABEL, outputs):
        raise ValueError(f"it is not signed by a key of {VARIABLE}")


def _names_in(store: Any, folder: str) -> Iterator[str]:
    if not isinstance(store, LocalStore):
        yield from (stat.key.removeprefix(f"{folder}/") for stat in store.list(folder))
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from os.listdir(folder)  # noqa: PTH208 - only the names are needed


def pending_temporaries(workspace: str) -> frozenset[str]:
    """Return the names of the temporary files that unfinished commits of a workspace on this machine still need."""
    store, folder = store_for(Workspace(workspace).runs)
    if is_remote(store) or not isinstance(store, LocalStore):
        return frozenset()
    journals = (
        _read(store, f"{folder}/{name}", workspace) for name in _names_in(store, folder) if name.endswith(SUFFIX)
    )
    return frozenset(entry.temporary for journal in journals if journal is not None for entry in journal.entries)
