"""Places outside of the workspace: where a missing input was looked for, and the files that a pattern means.

Used by `InputFile` and `SqlSource`, and by the messages about external inputs that do not exist.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import path_of
from kart_runtime.task.nested import iter_flat

_MOST_FILES = 1000
"""Files of a folder in a bucket that are looked through for similar names."""


def absolute(root: str, path: str) -> str:
    """Return a url, or an absolute path, of what is relative to a folder."""
    return path if "://" in path else os.path.normpath(Path(root, path))


def missing_places(task: luigi.Task) -> str:
    """Return the paths of a task's outputs, with what helps to find the one that was meant."""
    targets = list(iter_flat(task.output()))
    hints = "".join(f" {hint}" for hint in map(_hint, targets) if hint)
    return f"{', '.join(map(path_of, targets))} does not exist.{hints}" if targets else ""


def _hint(target: Any) -> str:
    url = path_of(target)
    relative = getattr(target, "relative_to", "")
    parts = [f"The path is relative to {relative}."] if relative else []
    return " ".join([*parts, *similar(url)])


def similar(url: str) -> Iterator[str]:
    """Yield what is said about the folder of a file that does not exist."""
    folder, _, name = url.replace(os.sep, "/").rpartition("/")
    if any(character in name for character in "*?"):
        yield "A path is one file: InputFile.glob(pattern) returns a list of them."
        return
    with suppress(Exception):  # a folder that cannot be listed costs only the hint
        names = list(_names(url, folder))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if close:
            yield f"Similar names there: {', '.join(close)}."
        elif "://" not in url and not Path(folder).is_dir():
            yield f"There is no folder {folder}."


def _names(url: str, folder: str) -> Iterator[str]:
    if "://" not in url:
        yield from sorted(path.name for path in Path(folder).iterdir()) if Path(folder).is_dir() else ()
        return
    store, key = store_for(folder)
    for stat in islice(store.list(key), _MOST_FILES):
        yield stat.key.removeprefix(key).strip("/").partition("/")[0]


def matching(root: str, pattern: str) -> list[str]:
    """Return the files that a pattern means, sorted: paths as the pattern gives them, or urls."""
    if "://" in pattern:
        return sorted(_matching_objects(pattern))
    absolute_pattern = Path(pattern).is_absolute()
    base = Path(Path(pattern).anchor) if absolute_pattern else Path(root)
    relative = pattern[len(Path(pattern).anchor) :] if absolute_pattern else pattern
    files = (path for path in base.glob(relative) if path.is_file())
    return sorted((path if absolute_pattern else path.relative_to(base)).as_posix() for path in files)


def _matching_objects(pattern: str) -> Iterator[str]:
    parts = pattern.split("/")
    fixed = next((index for index, part in enumerate(parts) if any(mark in part for mark in "*?[")), len(parts) - 1)
    store, key = store_for("/".join(parts[:fixed]))
    scheme = pattern.partition("://")[0]
    for stat in store.list(key):
        url = f"{scheme}://{stat.key}"
        found = url.split("/")
        if len(found) == len(parts) and all(map(fnmatchcase, found, parts)):
            yield url
