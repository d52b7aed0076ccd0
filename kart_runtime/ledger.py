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
from functools import lru_cache
from pathlib import Path
from typing import Any

from kart_runtime.registry import codec_for, split_url, store_for
from kart_runtime.targets import Stored, Target

LOG_FILES: Mapping[str, str] = {
    "task_log": ".pkl",
    "task_params": ".pkl",
    "random_seed": ".pkl",
    "processing_time": ".pkl",
    "module_versions": ".txt",
}
"""The kinds of log files and their suffixes."""

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

    __slots__ = ("_folder", "_name")

    def __init__(self, workspace: str, name: str, unique_id: str) -> None:
        slash = "" if workspace.endswith("/") or not workspace else "/"
        self._folder = f"{workspace}{slash}log/"
        self._name = f"/{name}_{unique_id}"

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

    def write(self, kind: str, value: Any) -> str:
        """Write a log file and return where it lies.

        There are five of them with each output, so they go to the store directly: nobody needs a checksum of them.

        Parameters
        ----------
        kind
            A key of `LOG_FILES`.
        value
            What the file's format takes.
        """
        url = self.url(kind)
        store, key = store_for(url)
        with store.write(key) as file:
            codec_for(url).dump(value, file)
        return url


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
        The urls of its log files.
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

    def append(self, workspace: str, record: RunRecord) -> None:
        """Add the record of one attempt.

        Parameters
        ----------
        workspace
            The workspace of the task.
        record
            What happened.
        """
        line = vars(record) | {"outputs": [vars(stored) for stored in record.outputs], "run_id": self.run_id}
        # One write call a line: a reader, or a crash, meets whole lines and at most one cut one at the end.
        os.write(self._file(workspace), json.dumps(line).encode() + b"\n")

    def _file(self, workspace: str) -> int:
        descriptor = self._files.get(workspace)
        if descriptor is None:
            path = Path(split_url(workspace)[1]) / RUNS_FOLDER / f"{self.run_id}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._files[workspace] = descriptor
            os.write(descriptor, json.dumps(_header(self.run_id)).encode() + b"\n")
        return descriptor

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])


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
    folder = Path(split_url(workspace)[1]) / RUNS_FOLDER
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                found = json.loads(line)
                if "unique_id" in found:
                    yield RunRecord.from_json(found)
            except (ValueError, TypeError):
                continue
