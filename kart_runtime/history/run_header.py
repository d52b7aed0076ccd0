"""First and last words of a run's file: what was asked for, where, with which versions, and how it ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from kart_runtime.errors.secrets import masked, masked_values
from kart_runtime.history.log_files import module_versions
from kart_runtime.history.restarts import this_boot
from kart_runtime.storage.processes import this_process

FORMAT = 2
"""Version of the files of runs. Later ones only add keys."""

_CHECKED = ("--range", "--label")
"""Options of the command line whose values may hold `=` and are no secrets."""

_PLAIN = frozenset(
    {"run", "run_id", "started", "end", "state", "host", "versions", "workspace", "folder", "roots", "modules"}
    | {"process", "previous", "project", "root_classes", "boot"}
)
"""Keys of values that readers rely on, and that hold no secret, though a short one may be a part of them by chance."""

_GIT_SECONDS = 2.0
"""Seconds to wait at the end of a run for an answer of git."""


@dataclass(frozen=True)
class RunInfo:
    """What a run was asked for, as far as its tasks do not say it.

    Attributes
    ----------
    env
        Environment of the configuration.
    overrides
        Full key to text of each value of the command line, secrets masked.
    settings
        Settings of the run that differ from their defaults.
    label
        Label that the user gave it.
    sweep
        Keys and values of the variants, if several run at once.
    project
        Folder of the project; "" for a program that has none.
    """

    env: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    sweep: Mapping[str, Any] | None = None
    project: str = ""


_project: Callable[[], RunInfo] = RunInfo


def project_info() -> RunInfo:
    """Return what the active project says of a run, for a build that was not told."""
    return _project()


def set_project_info(source: Callable[[], RunInfo]) -> Callable[[], RunInfo]:
    """Set where `project_info` comes from, and return the previous one."""
    global _project
    previous, _project = _project, source
    return previous


def header_of(
    run_id: str, info: RunInfo, roots: Sequence[str], workspace: str, root_classes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the header of a run's file; `roots` are the unique ids of the requested tasks, of these classes."""
    folder = os.getcwd()  # noqa: PTH109 - the text
    header = {
        "run": run_id,
        "format": FORMAT,
        "started": now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process": this_process(),
        "boot": this_boot(),
        "command": _command(info),
        "versions": module_versions(),
        "workspace": workspace,
        "folder": folder,
        "project": info.project or folder,
        "env": info.env,
        "roots": list(roots),
        "root_classes": sorted(set(root_classes)),
        "label": info.label,
        "overrides": dict(info.overrides),
        "settings": dict(info.settings),
    }
    return header if info.sweep is None else {**header, "sweep": dict(info.sweep)}


def _command(info: RunInfo) -> list[str]:
    """Return the command line; a value that nobody has checked may be a secret, and is left out."""
    texts = {f"{key.rpartition('.')[2]}={text}" for key, text in info.overrides.items()}
    return [masked(_checked(word, before, texts)) for before, word in pairwise(["", *sys.argv])]


def _checked(word: str, before: str, texts: set[str]) -> str:
    if before in _CHECKED or word.startswith(tuple(f"{option}=" for option in _CHECKED)):
        return word
    key, equals, value = word.partition("=")
    is_known = f"{key.rpartition('.')[2]}={value}" in texts
    return word if not equals or is_known else f"{key}=..."


def now() -> str:
    """Return the time, ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a header or an end without known secrets."""
    return {key: value if key in _PLAIN else masked_values(value) for key, value in values.items()}


def line_of(values: Mapping[str, Any]) -> str:
    """Return values as a line of a run's file."""
    return json.dumps(values) + "\n"


def new_versions(before: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the libraries that were imported since the header was written."""
    return {name: version for name, version in module_versions().items() if before.get(name) != version}


class GitState:
    """Commit and changes of the git repository around a folder, asked of a child process while the tasks run."""

    def __init__(self, folder: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._result: dict[str, Any] = {}
        if any((place / ".git").exists() for place in (Path(folder), *Path(folder).parents)):
            command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
            with suppress(OSError):  # git is not installed
                self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is not meant for it
                )

    def result(self) -> dict[str, Any]:
        """Return `commit` and `dirty`; empty if there is no repository, or git does not answer in time."""
        if self._process is not None:
            process, self._process = self._process, None
            self._result = _answer(process)
        return self._result


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return what git has answered."""
    with process:
        try:
            text, _ = process.communicate(timeout=_GIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return {}
    lines = text.decode(errors="replace").splitlines()
    commit = next((line.rpartition(" ")[2] for line in lines if line.startswith("# branch.oid ")), "")
    if process.returncode or len(commit) < 40:  # "(initial)" before the first commit
        return {}
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
