"""Places of recorded outputs now: urls are relative to the folder of the run that wrote them, and workspaces move."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from kart_runtime.history.index import Index
from kart_runtime.history.runs import RunRecord, text_of
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.workspace import KEPT_FILES, Workspace, as_folder


class StoredOutput(NamedTuple):
    """Url of a recorded output now, and whether it exists."""

    url: str
    exists: bool


def stored_output(index: Index, record: RunRecord, url: str) -> StoredOutput:
    """Return where an output lies now: in the workspace, wherever that is now, else where the record says."""
    header = index.run_row(record.run_id).header
    candidates = places(index.workspace, url, str(header.get("workspace") or ""), str(header.get("folder") or ""))
    for candidate in candidates:
        store, key = store_for(candidate)
        if store.stat(key) is not None:
            return StoredOutput(candidate, True)
    return StoredOutput(candidates[0], False)


def places(workspace: str, url: str, recorded: str, folder: str) -> list[str]:
    """Return where an output may lie: `recorded` and `folder` are the workspace and the folder of its run."""
    bases = (as_folder(recorded), as_folder(recorded).removeprefix("./"), as_folder(workspace))
    found = [f"{as_folder(workspace)}{url.removeprefix(base)}" for base in bases if base and url.startswith(base)]
    if "://" not in url and not os.path.isabs(url) and folder:  # noqa: PTH117 - a url is not a path
        found.append(os.path.join(folder, url))  # noqa: PTH118
    return list(dict.fromkeys([*found, url]))


def log_text(workspace: str, record: RunRecord) -> str | None:
    """Return the log records of the last attempt at a task; None if there are none."""
    return _kept(workspace, record, "lines")


def series_text(workspace: str, record: RunRecord) -> str | None:
    """Return the metrics that the last attempt at a task logged step by step, as JSON lines; None if there are none."""
    return _kept(workspace, record, "series")


def _kept(workspace: str, record: RunRecord, kind: str) -> str | None:
    store, key = store_for(f"{Workspace(workspace).log}{kind}/{record.task}_{record.unique_id}{KEPT_FILES[kind]}")
    try:
        return text_of(store, key)
    except OSError:
        return None


def output_keys(urls: Sequence[str], unique_id: str) -> dict[str, str]:
    """Return the names of a task's outputs, and their urls: of a file without id and suffix, with more if it has to."""
    forms = {url: _forms(url, unique_id) for url in urls}
    return {
        next((form for form in forms[url] if sum(form in each for each in forms.values()) == 1), url): url
        for url in urls
    }


def _forms(url: str, unique_id: str) -> tuple[str, ...]:
    """Return the names that an output may have, shortest first."""
    folders, _, name = url.rstrip("/").rpartition("/")
    folder = folders.rpartition("/")[2]
    stem, found, suffix = name.partition(f"_{unique_id}")
    if not found:
        stem, dot, rest = name.partition(".")
        stem, suffix = (stem, f"{dot}{rest}") if stem else (name, "")
    return stem, f"{folder}/{stem}", f"{stem}{suffix}", f"{folder}/{stem}{suffix}"
