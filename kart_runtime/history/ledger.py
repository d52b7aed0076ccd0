"""What happened? The five log files of a task, and one line for each attempt in the file of its run.

The log files are gokart's, under gokart's names, so that its users and tools find them. The run's file
``log/runs/<run id>.jsonl`` begins with a header (versions, host, command) and grows by one line an attempt: a line
costs a fraction of a file of its own. Another line says which tasks the run refers to, for whoever tidies up.
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

from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import background, is_remote, put
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.target import Target

logger = logging.getLogger(__name__)

LOG_FILES: Mapping[str, str] = {
    "task_log": ".pkl",
    "task_params": ".pkl",
    "random_seed": ".pkl",
    "processing_time": ".pkl",
    "module_versions": ".txt",
}
"""The kinds of log files and their suffixes."""

_quoted = json.encoder.encode_basestring_ascii

RUNS_FOLDER = "log/runs"


class LogFiles:
    """The log files of one task.

    Parameters
    ----------
    workspace
        The workspace.
    name
        The class name of the task.
    unique_id
        The id of the task.
    """

    __slots__ = ("_folder", "_key", "_name", "_put")

    def __init__(self, workspace: str, name: str, unique_id: str) -> None:
        slash = "" if workspace.endswith("/") or not workspace else "/"
        self._folder = f"{workspace}{slash}log/"
        self._name = f"/{name}_{unique_id}"
        store, self._key = store_for(self._folder)
        self._put = _putting(store)

    def url(self, kind: str) -> str:
        """Return where a log file lies.

        Parameters
        ----------
        kind
            A key of `LOG_FILES`.
        """
        return f"{self._folder}{kind}{self._name}{LOG_FILES[kind]}"

    def target(self, kind: str) -> Target:
        """Return the target of a log file, to look for it and to read it.

        Parameters
        ----------
        kind
            A key of `LOG_FILES`.
        """
        return Target(self.url(kind))

    def write(self, kind: str, data: bytes) -> None:
        """Write a log file.

        There are five of them with each output, so they go to their place in one write each, without a checksum and
        without the rename that makes an output whole or absent: nobody takes one for a result.

        Parameters
        ----------
        kind
            A key of `LOG_FILES`.
        data
            Its bytes.
        """
        self._put(f"{self._key}{kind}{self._name}{LOG_FILES[kind]}", data)

    def read(self, kind: str) -> Any:
        """Return what a log file holds, None when there is none; an empty one was begun by a process that died.

        Parameters
        ----------
        kind
            A key of `LOG_FILES`.
        """
        target = Target(self.url(kind))
        found = target.stat()
        return target.load() if found is not None and found.size else None


@lru_cache(maxsize=1)
def _versions_of(number_of_modules: int) -> dict[str, str]:  # noqa: ARG001 - the key of the cache
    found = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.items()):
        version = None if "." in name or name.startswith("_") else vars(module).get("__version__")
        if isinstance(version, str) and name not in sys.stdlib_module_names:
            found[name] = version.partition(" ")[0]
    return found


def module_versions() -> dict[str, str]:
    """Return the version of each imported library that states one, and Python's."""
    return _versions_of(len(sys.modules))


def versions_text() -> bytes:
    """Return what `module_versions` returns as text, a line for each library."""
    return _text_of(len(sys.modules))


@lru_cache(maxsize=1)
def _text_of(number_of_modules: int) -> bytes:
    return "\n".join(f"{name}=={version}" for name, version in _versions_of(number_of_modules).items()).encode()


def new_run_id() -> str:
    """Return an id for a run: its time in UTC, which sorts, and a random part from the system."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


class Ledger:
    """The writer of one run's file, in each workspace that the run touches.

    On a file system the file grows by a line an attempt. A remote store cannot append: there lines are collected, and
    stored as an object of their own when some time has passed, and at the end.

    Parameters
    ----------
    run_id
        The id of the run; a new one by default.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self._files: dict[str, _File] = {}

    def append(self, workspace: str, record: Mapping[str, Any]) -> None:
        """Add the record of one attempt.

        Parameters
        ----------
        workspace
            The workspace of the task.
        record
            What happened: the fields of `RunRecord`, without the run.
        """
        self._file(workspace).append(self._line(record))

    def record_references(
        self, workspace: str, tasks: Mapping[str, Mapping[str, Sequence[str]]], optional: bool = False
    ) -> None:
        """Add which tasks the run refers to, also those that have nothing to do: what they have stored is in use.

        It is stored at once, or in the background: whoever tidies up has to know of a run that goes on.

        Parameters
        ----------
        workspace
            The workspace of the tasks.
        tasks
            Module to class name to unique ids.
        optional
            Whether a workspace that cannot be written to is no reason to fail, because the run has nothing to store.
        """
        line = json.dumps({"run_id": self.run_id, "tasks": tasks}) + "\n"
        try:
            file = self._file(workspace)
            file.append(line)
            file.flush(at_once=optional)
        except OSError as error:
            if not optional:
                raise
            logger.warning("That this run has used %s could not be noted there: %s", workspace, error)

    def _line(self, record: Mapping[str, Any]) -> str:
        """Return the record as JSON, put together by hand: json.dumps would take twice as long for the same text."""
        params = ", ".join([f"{_quoted(name)}: {_quoted(text)}" for name, text in record["params"].items()])
        outputs = ", ".join(
            [
                f'{{"url": {_quoted(url)}, "size": {size}, "checksum": "{checksum}"}}'
                for url, size, checksum in record["outputs"]
            ]
        )
        seed = record["seed"]
        return (
            f'{{"task": {_quoted(record["task"])}, "module": {_quoted(record["module"])}, '
            f'"unique_id": "{record["unique_id"]}", "state": "{record["state"]}", "started": "{record["started"]}", '
            f'"seconds": {record["seconds"]:.6f}, "seed": {"null" if seed is None else seed}, '
            f'"params": {{{params}}}, "outputs": [{outputs}], "log_files": {_list_of(record["log_files"])}, '
            f'"error": {_quoted(record["error"])}, "reason": {_quoted(record["reason"])}, "run_id": "{self.run_id}"}}\n'
        )

    def _file(self, workspace: str) -> _File:
        folder = workspace if workspace.endswith("/") or not workspace else f"{workspace}/"
        found = self._files.get(folder)
        if found is None:
            store, key = store_for(f"{folder}{RUNS_FOLDER}/{self.run_id}")
            header = json.dumps(_header(self.run_id)) + "\n"
            found = _Lines(key, header) if isinstance(store, LocalStore) else _Objects(store, key, header)
            self._files[folder] = found
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()


class _Lines:
    """A file of this machine, which grows by one line at a time."""

    def __init__(self, key: str, header: str) -> None:
        path = Path(f"{key}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.append(header)

    def append(self, line: str) -> None:
        # One write call a line: a reader, or a crash, meets whole lines and at most one cut one at the end.
        os.write(self._descriptor, line.encode())

    def flush(self, at_once: bool = False) -> None:
        """Do nothing: it is stored already."""

    def close(self) -> None:
        os.close(self._descriptor)


_FLUSH_SECONDS = 30.0
"""How much of a long run's records a crash may take on a remote store."""


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
    """Return how log files are stored."""
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
    # An override on the command line may hold a secret that somebody typed; its name is enough to explain the run.
    return [re.sub(r"=.*", "=...", word, flags=re.DOTALL) for word in argv]
