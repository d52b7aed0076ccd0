"""Outputs that are folders: their targets, and the block in which `run()` fills one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kart_runtime.errors import EmptyDump, warn
from kart_runtime.storage.codecs.folder import SUFFIX
from kart_runtime.storage.codecs.folder_tables import is_dataset
from kart_runtime.storage.folder_target import FolderTarget
from kart_runtime.task.loading import output_target

logger = logging.getLogger(__name__)


def is_folder_type(declared: Any) -> bool:
    """Return whether a task that declares this type stores a folder unless it says otherwise."""
    return declared is Path or is_dataset(declared)


def as_folder_path(path: str) -> str:
    """Return the path of the list of files for the path of a folder."""
    path = path.rstrip("/")
    return path if path.endswith(SUFFIX) else f"{path}{SUFFIX}"


def partitioned(target: Any, columns: Sequence[str] | str) -> FolderTarget:
    """Return the target of a folder, with the columns by which a table is partitioned."""
    target.partition_by = (columns,) if isinstance(columns, str) else tuple(columns)
    return target  # type: ignore[no-any-return]


@contextmanager
def filled(task: Any, key: Any) -> Iterator[Path]:
    """Yield an empty folder, and store it as an output of a task when the block ends without an error."""
    target = output_target(task, key)
    if not isinstance(target, FolderTarget):
        name, url = type(task).__name__, getattr(target, "url", target)
        raise TypeError(
            f"{name}.folder() needs an output that is a folder, but the output is {url}. Declare the class as "
            f"{name}(TaskOnKart[Path]), or return self.make_folder_target(...) in output()."
        )
    with target.filling() as draft:
        yield draft.path
        if not any(draft.path.iterdir()):
            if task.fail_on_empty_dump:
                raise EmptyDump(str(task))
            warn(logger, "%s stored an empty folder: nothing was written to the path that folder() gave.", task)
        task.dump(draft, target)
