"""Writer of the five log files of a task, and of a line for each attempt in the file of its run.

The log files are gokart's, under gokart's names, so that its users and tools find them. The run's file
``log/runs/<run id>.jsonl`` begins with a header (versions, host, command) and grows by one line an attempt: a line
costs a fraction of a file of its own. Another line names the tasks that the run uses, for `kart gc`.
*Existence of outputs decides what to do; the ledger only explains it.*
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

from kart_runtime.errors import CodecError, ObjectCorrupt, described, warn
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import background, is_remote, put
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.target import Target
from kart_runtime.storage.workspace import LOG_FILES, Workspace

logger = logging.getLogger(__name__)

_quoted = json.encoder.encode_basestring_ascii


_reported: set[str] = set()
"""Folders of which it was said, since the last build began, that something could not be written there."""


def report_loss(what: str, folder: str, error: Exception) -> None:
    """Warn, once for a folder, of something that could not be written there, and that only explains what happened."""
    if folder not in _reported:
        _reported.add(folder)
        warn(
            logger,
            "Could not %s in %s: %s. Outputs are not affected. Further losses there are not reported.",
            what,
            folder,
            described(error),
        )


class LogFiles:
    """Log files of one task, given by its workspace, class name and id."""

    __slots__ = ("_key", "_name", "_put", "folder")

    def __init__(self, workspace: str, name: str, unique_id: str) -> None:
        self.folder = Workspace(workspace).log
        self._name = f"/{name}_{unique_id}"
        store, self._key = store_for(self.folder)
        self._put = _putting(store)

    def url(self, kind: str) -> str:
        """Return the url of a log file; `kind` is a key of `LOG_FILES`."""
        return f"{self.folder}{kind}{self._name}{LOG_FILES[kind]}"

    def target(self, kind: str) -> Target:
        """Return the target of a log file."""
        return Target(self.url(kind))

    def write(self, kind: str, data: bytes) -> None:
        """Write a log file.

        There are five of them with each output, so each is written at once, without a checksum and without the rename
        that makes an output atomic: nobody takes one for a result.
        """
        self._put(f"{self._key}{kind}{self._name}{LOG_FILES[kind]}", data)

    def read(self, kind: str) -> Any:
        """Return the value in a log file; None if there is none, or if it is damaged, with a warning."""
        target = Target(self.url(kind))
        try:
            stat = target.stat()
            return target.load() if stat is not None and stat.size else None  # empty: a process died while it wrote it
        except (ObjectCorrupt, CodecError, ImportError, MemoryError) as error:
            logger.warning("Ignoring a log file that cannot be read: %s", error)
            return None


@lru_cache(maxsize=1)
def _versions_of(number_of_modules: int) -> dict[str, str]:  # noqa: ARG001 - the key of the cache
    versions = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.items()):
        version = None if "." in name or name.startswith("_") else vars(module).get("__version__")
        if isinstance(version, str) and name not in sys.stdlib_module_names:
            versions[name] = version.partition(" ")[0]
    return versions


def module_versions() -> dict[str, str]:
    """Return the version of each imported library that states one, and Python's."""
    return _versions_of(len(sys.modules))


def versions_text() -> bytes:
    """Return `module_versions` as text, a line for each library."""
    return _text_of(len(sys.modules))


@lru_cache(maxsize=1)
def _text_of(number_of_modules: int) -> bytes:
    return "\n".join(f"{name}=={version}" for name, version in _versions_of(number_of_modules).items()).encode()


def new_run_id() -> str:
    """Return an id for a run: its time in UTC to the microsecond, which sorts, and a random part from the system."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{os.urandom(4).hex()}"


class Ledger:
    """Writer of one run's file, in each workspace that the run uses.

    On a file system the file grows by a line an attempt. A remote store cannot append: there lines are collected, and
    stored as an object of their own every 30 seconds, and at the end.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self._files: dict[str, _File] = {}
        _reported.clear()

    def append(self, workspace: str, record: Mapping[str, Any]) -> None:
        """Add the record of one attempt: the fields of `RunRecord`, without the run."""
        try:
            self._file(workspace).append(self._line(record))
        except Exception as error:  # noqa: BLE001 - it only explains, and the other tasks go on
            what = f"write the record of {record['task']} {record['unique_id']}"
            report_loss(what, Workspace(workspace).runs, error)

    def append_definitions(self, workspace: str, code: str, definitions: Mapping[str, str]) -> None:
        """Add the definitions of a fingerprint of code: label to hash."""
        try:
            self._file(workspace).append(json.dumps({"code": code, "definitions": dict(definitions)}) + "\n")
        except Exception as error:  # noqa: BLE001 - as above
            report_loss("write the definitions of the code", Workspace(workspace).runs, error)

    def record_references(
        self, workspace: str, tasks: Mapping[str, Mapping[str, Sequence[str]]], optional: bool = False
    ) -> None:
        """Add the tasks that the run uses (module to class name to ids), also those that have nothing to do.

        The line is stored at once, or in the background, because `kart gc` has to know of active runs. A workspace that
        cannot be written is no reason to fail.
        """
        line = json.dumps({"run_id": self.run_id, "tasks": tasks}) + "\n"
        try:
            file = self._file(workspace)
            file.append(line)
            file.flush(at_once=optional)
        except Exception as error:  # noqa: BLE001 - as above
            what = "record this run (`kart gc` may delete outputs that it uses)"
            report_loss(what, Workspace(workspace).runs, error)

    def _line(self, record: Mapping[str, Any]) -> str:
        """Return the record as JSON, put together by hand: json.dumps would take twice as long for the same text."""
        params = ", ".join([f"{_quoted(name)}: {_quoted(text)}" for name, text in record["params"].items()])
        outputs = ", ".join(
            [
                f'{{"url": {_quoted(url)}, "size": {size}, "checksum": "{checksum}", "version": {_quoted(version)}}}'
                for url, size, checksum, version in record["outputs"]
            ]
        )
        loaded = record.get("inputs")
        pairs = [f"{_quoted(url)}: {_quoted(checksum)}" for url, checksum in dict(loaded).items()] if loaded else ()
        seed, peak = record["seed"], record.get("peak_mb")
        return (
            f'{{"task": {_quoted(record["task"])}, "module": {_quoted(record["module"])}, '
            f'"unique_id": "{record["unique_id"]}", "state": "{record["state"]}", "started": "{record["started"]}", '
            f'"seconds": {record["seconds"]:.6f}, "seed": {"null" if seed is None else seed}, '
            f'"peak_mb": {"null" if peak is None else f"{peak:.1f}"}, '
            f'"params": {{{params}}}, "outputs": [{outputs}], "log_files": {_list_of(record["log_files"])}, '
            f'"error": {_quoted(record["error"])}, "reason": {_quoted(record["reason"])}, '
            f'"inputs": {{{", ".join(pairs)}}}, "origin": {_quoted(record.get("origin", ""))}, '
            f'"code": "{record.get("code", "")}", "run_id": "{self.run_id}"}}\n'
        )

    def _file(self, workspace: str) -> _File:
        place = Workspace(workspace)
        file = self._files.get(place.base)
        if file is None:
            store, key = store_for(f"{place.runs}/{self.run_id}")
            header = json.dumps(_header(self.run_id) | {"workspace": place.base}) + "\n"
            file = _Lines(key, header) if isinstance(store, LocalStore) else _Objects(store, key, header)
            self._files[place.base] = file
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._files:
            workspace, file = self._files.popitem()
            try:
                file.close()
            except Exception as error:  # noqa: BLE001 - as above
                report_loss("write the last records", Workspace(workspace).runs, error)


class _Lines:
    """A file of this machine, which grows by one line at a time."""

    def __init__(self, key: str, header: str) -> None:
        path = Path(f"{key}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._is_cut = False
        try:
            self.append(header)
        except BaseException:
            self.close()
            raise

    def append(self, line: str) -> None:
        # One write call a line: a reader, or a crash, meets whole lines and at most one cut one at the end.
        data = (f"\n{line}" if self._is_cut else line).encode()
        written = os.write(self._descriptor, data)
        self._is_cut = written < len(data)
        if self._is_cut:  # a full disk takes a part, and reports the error only for the rest
            os.write(self._descriptor, data[written:])
            self._is_cut = False

    def flush(self, at_once: bool = False) -> None:
        """Do nothing: it is stored already."""

    def close(self) -> None:
        os.close(self._descriptor)


_FLUSH_SECONDS = 30.0
"""Seconds of a long run's records that a crash may lose on a remote store."""


class _Objects:
    """Objects of a remote store: ``<run>.jsonl``, and for a long run ``<run>.part0001.jsonl`` and so on."""

    def __init__(self, store: Any, key: str, header: str) -> None:
        self._store, self._key = store, key
        self._lines = [header]
        self._parts = 0
        self._flushed = time.monotonic()

    def append(self, line: str) -> None:
        self._lines.append(line)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def close(self) -> None:
        self.flush()

    def flush(self, at_once: bool = False) -> None:
        if self._lines:
            part = f".part{self._parts:04}" if self._parts else ""
            store = put if at_once else background.put
            store(self._store, f"{self._key}{part}.jsonl", "".join(self._lines).encode())
            self._lines, self._parts, self._flushed = [], self._parts + 1, time.monotonic()


_File = _Lines | _Objects


def _putting(store: Any) -> Callable[[str, bytes], None]:
    """Return the function that stores log files."""
    if is_remote(store):
        return partial(background.put, store)
    return getattr(store, "put", None) or partial(put, store)


@lru_cache(maxsize=16)
def _list_of(kinds: tuple[str, ...]) -> str:
    return json.dumps(kinds)


def _header(run_id: str) -> dict[str, Any]:
    return {
        "run": run_id,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": _without_values(sys.argv),
        "versions": module_versions(),
    }


def _without_values(argv: list[str]) -> list[str]:
    # An override on the command line may contain a secret; its name is enough to explain the run.
    return [re.sub(r"=.*", "=...", word, flags=re.DOTALL) for word in argv]
