"""Scratch folders that tasks have left, and their deletion, for `kart gc` and `kart clean`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from kart_runtime.history.cleanup.files import RemovalResult, files_of
from kart_runtime.storage.scratch import delete_scratch, scratch_folders, scratch_root

_NAME = re.compile(r"(.+)_[0-9a-f]{32}(?:\.\d+)?")


def abandoned_scratch(
    workspaces: Iterable[str], root: Path, before: float = float("inf"), classes: Collection[str] = ()
) -> dict[str, dict[Path, int]]:
    """Return the scratch folders that nothing has written to since a time: class name to folder to bytes.

    `classes` are the class names that count, all if empty.
    """
    found: dict[str, dict[Path, int]] = {}
    for workspace in workspaces:
        for path, size, changed in scratch_folders(scratch_root(files_of(workspace, root).workspace)):
            match = _NAME.fullmatch(path.name)
            if match and changed < before and (not classes or match[1] in classes):
                found.setdefault(match[1], {})[path] = size
    return found


def delete_abandoned(folders: dict[str, dict[Path, int]], result: RemovalResult) -> None:
    """Delete scratch folders and add them to the result; one that a process uses stays."""
    for sizes in folders.values():
        for path, size in sizes.items():
            if delete_scratch(path):
                result.deleted[str(path)] = size
            else:
                result.failed[str(path)] = "a process uses it, or its files cannot be deleted"
