"""What happened? The five log files of a task, and one line for each attempt in the file of its run.

The log files are gokart's, under gokart's names, so that its users and tools find them. The run's file
``log/runs/<run id>.jsonl`` begins with a header (versions, host, command) and grows by one line an attempt: a line
costs a fraction of a file of its own. *Existence of outputs decides what to do; the ledger only explains it.*
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

from kart_runtime.registry import split_url, store_for
from kart_runtime.stores import put
from kart_runtime.targets import Stored, Target

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
        self._put = getattr(store, "put", None) or partial(put, store)

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


@dataclass(frozen=True)
class RunRecord:
    """What is kept of one attempt at one task.

    Attributes
    ----------
    task, module, unique_id
        Class name, module and id of the task.
    state
        How the attempt ended: "done", "failed", "complete" (somebody else was faster).
    started
        When it started, ISO 8601 in UTC.
    seconds
        How long it took.
    seed
        The seed that it ran with.
    params
        The significant parameters as text, secrets masked.
    outputs
        What it stored.
    log_files
        The kinds of log files that were written, of `LOG_FILES`; `LogFiles` says where they lie.
    error
        What went wrong, "" when nothing did.
    reason
        Why the task was run.
    run_id
        The run that the attempt belongs to.
    """

    task: str
    module: str
    unique_id: str
    state: str
    started: str
    seconds: float
    seed: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Stored, ...] = ()
    log_files: tuple[str, ...] = ()
    error: str = ""
    reason: str = ""
    run_id: str = ""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RunRecord:
        """Return the record of a decoded line; what a later version added is left out.

        Parameters
        ----------
        found
            The decoded line.
        """
        known = {name: found[name] for name in cls.__dataclass_fields__ if name in found}
        known["outputs"] = tuple(Stored(**stored) for stored in known.get("outputs", ()))
        known["log_files"] = tuple(known.get("log_files", ()))
        return cls(**known)


def new_run_id() -> str:
    """Return an id for a run: its time in UTC, which sorts, and a random part from the system."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


class Ledger:
    """The writer of one run's file, in each workspace that the run touches.

    Parameters
    ----------
    run_id
        The id of the run; a new one by default.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self._files: dict[str, int] = {}

    def append(self, workspace: str, record: Mapping[str, Any]) -> None:
        """Add the record of one attempt.

        Parameters
        ----------
        workspace
            The workspace of the task.
        record
            What happened: the fields of `RunRecord`, without the run.
        """
        # One write call a line: a reader, or a crash, meets whole lines and at most one cut one at the end.
        os.write(self._file(workspace), self._line(record).encode())

    def _line(self, record: Mapping[str, Any]) -> str:
        """Return the record as JSON, put together by hand: json.dumps would take twice as long for the same text."""
        params = ", ".join([f"{_quoted(name)}: {_quoted(text)}" for name, text in record["params"].items()])
        outputs = ", ".join(
            [f'{{"url": {_quoted(url)}, "size": {size}, "sha256": "{sha}"}}' for url, size, sha in record["outputs"]]
        )
        seed = record["seed"]
        return (
            f'{{"task": {_quoted(record["task"])}, "module": {_quoted(record["module"])}, '
            f'"unique_id": "{record["unique_id"]}", "state": "{record["state"]}", "started": "{record["started"]}", '
            f'"seconds": {record["seconds"]:.6f}, "seed": {"null" if seed is None else seed}, '
            f'"params": {{{params}}}, "outputs": [{outputs}], "log_files": {_list_of(record["log_files"])}, '
            f'"error": {_quoted(record["error"])}, "reason": {_quoted(record["reason"])}, "run_id": "{self.run_id}"}}\n'
        )

    def _file(self, workspace: str) -> int:
        descriptor = self._files.get(workspace)
        if descriptor is None:
            path = Path(split_url(workspace)[1]) / RUNS_FOLDER / f"{self.run_id}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._files[workspace] = descriptor
            os.write(descriptor, json.dumps(_header(self.run_id)).encode() + b"\n")
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])


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


def read_records(workspace: str) -> Iterator[RunRecord]:
    """Go through the records of a workspace, oldest run first.

    Parameters
    ----------
    workspace
        The workspace. Cut and foreign lines are passed over.
    """
    for path in _run_files(workspace):
        yield from _records_in(path.read_text(errors="replace"))


def _run_files(workspace: str) -> list[Path]:
    """Return the files of the runs, oldest first."""
    return sorted((Path(split_url(workspace)[1]) / RUNS_FOLDER).glob("*.jsonl"))


def _records_in(text: str) -> Iterator[RunRecord]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
            if "unique_id" in found:
                yield RunRecord.from_json(found)
        except (ValueError, TypeError):
            continue


_LOOK_BACK = 1 << 20
"""Bytes of records, newest first, that are read to learn how long tasks take."""


def typical_seconds(workspace: str) -> dict[tuple[str, str], float]:
    """Return how long the tasks of each class took lately, by module and name: the mean in the newest run that ran any.

    Parameters
    ----------
    workspace
        The workspace. Only the end of its history is read, so that a long one costs no more than a short one.
    """
    means: dict[tuple[str, str], float] = {}
    left = _LOOK_BACK
    for path in reversed(_run_files(workspace)):
        try:
            with path.open("rb") as file:
                file.seek(-min(left, path.stat().st_size), os.SEEK_END)
                text = file.read(left).decode(errors="replace")
        except OSError:  # removed by somebody, or not ours to read: an order of tasks is no reason to fail
            continue
        left -= len(text)
        times: dict[tuple[str, str], list[float]] = {}
        for record in _records_in(text):
            if record.state == "done":
                times.setdefault((record.module, record.task), []).append(record.seconds)
        for cls, seconds in times.items():
            means.setdefault(cls, sum(seconds) / len(seconds))
        if left <= 0:
            break
    return means
