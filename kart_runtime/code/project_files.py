"""Files of projects, told from those of installed packages, Python and the engine."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

_FOREIGN = tuple(
    f"{folder}{os.sep}"
    for folder in {Path(os.__file__).parent, Path(os.__file__).resolve().parent, Path(__file__).parent.parent}
)


_used: set[str] = set()


def count_as_project(folder: str) -> None:
    """Let the files below a folder count as a project's, although they are installed."""
    if f"{folder}{os.sep}" not in _used:
        _used.add(f"{folder}{os.sep}")
        is_project_file.cache_clear()


@lru_cache(maxsize=4096)
def is_project_file(path: str) -> bool:
    """Return whether a file belongs to a project; an editable install counts as one."""
    if any(map(path.startswith, _used)):
        return True
    parts = path.replace(os.sep, "/").split("/")
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return not (path.startswith(_FOREIGN) or os.path.realpath(path).startswith(_FOREIGN))
