"""Layout of a workspace: paths below it, and its folder `log/` with log files, records of runs and locks.

::

    <workspace>/<path of an output>
    <workspace>/log/<kind>/<class>_<unique id><suffix>     five log files for each output, as gokart writes them
    <workspace>/log/{lines,series}/<class>_<unique id>...  log records of the last attempt, and metrics by step
    <workspace>/log/runs/<run id>.jsonl                    one file for each run
    <workspace>/log/runs/{deleting,deleted}.json           notice of a deletion that goes on, and runs that are deleted
    <workspace>/log/locks/tasks.lock                       the locks of all tasks, in a workspace on disk
    <workspace>/log/locks/<name>.lock                      one object for each lock, in an object store
    <workspace>/log/scratch/<class>_<unique id>/           scratch folders of tasks, in a workspace on disk
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from kart_runtime.storage.registry import split_url

LOG = "log"
RUNS = f"{LOG}/runs"
LOCKS = f"{LOG}/locks"
DELETING = "deleting.json"
"""Name, in the folder of runs, of the notice that a process deletes files of the workspace."""

LOG_FILES: Mapping[str, str] = {
    "task_log": ".pkl",
    "task_params": ".pkl",
    "random_seed": ".pkl",
    "processing_time": ".pkl",
    "module_versions": ".txt",
}
"""The kinds of log files that gokart writes, and their suffixes."""

KEPT_FILES: Mapping[str, str] = {**LOG_FILES, "lines": ".log", "series": ".jsonl"}
"""Those, the log records of an attempt, and the metrics that it logged step by step."""


def as_folder(path: str) -> str:
    """Return a path, url or key with a slash at its end; the empty one stays empty."""
    return path if path.endswith("/") or not path else f"{path}/"


def why_not_writable(folder: str) -> str:
    """Return why this process cannot create files in a local folder, made if missing; the empty text if it can."""
    path = Path(folder or ".").absolute()
    while not os.path.lexists(path) and path != path.parent:  # unlike `Path.exists`, false for what cannot be looked at
        path = path.parent
    if not path.is_dir():
        return f"{path} is not a folder. Move it, or"
    if os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return ""
    owner = ""
    with suppress(OSError, KeyError, NotImplementedError, ImportError, AttributeError):  # Windows has no owners
        owner = f" belongs to {path.owner()} and"
    return f"{path}{owner} is not writable for this process. Change its owner or its permissions, or"


class Workspace:
    """A folder or url in which outputs lie, with or without a slash at its end."""

    __slots__ = ("base", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.base = as_folder(url)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return split_url(self.url)[0] in ("", "file")

    @property
    def normalized(self) -> str:
        """The url in one spelling: `./resources/` and `resources` are one folder."""
        return self.url.removeprefix("./").rstrip("/")

    @property
    def log(self) -> str:
        """The url of the folder of logs, with a slash at its end."""
        return f"{self.base}{LOG}/"

    @property
    def runs(self) -> str:
        """The url of the folder that holds a file for each run."""
        return f"{self.base}{RUNS}"

    def join(self, path: str) -> str:
        """Return the url of a path in the workspace; an absolute path stays what it is."""
        return path if os.path.isabs(path) else f"{self.base}{path}"  # noqa: PTH117 - a Path would cut urls

    def lock(self, name: str) -> str:
        """Return the url of a lock."""
        return f"{self.base}{LOCKS}/{name}.lock"
