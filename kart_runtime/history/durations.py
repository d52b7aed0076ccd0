"""Durations of task classes, estimated from the newest runs; builds with several workers weight the critical path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from pathlib import Path
from typing import Any

from kart_runtime.history.runs import records_in, runs_folder, text_of
from kart_runtime.storage.stores import Stat, Store
from kart_runtime.storage.stores.local import LocalStore

_LOOK_BACK = 1 << 20
"""Bytes of records to read, newest first."""

_LOOK_BACK_FILES = 3
"""Files to read on a remote store, where each costs a request."""

_LOOK_BACK_DAYS = 14
"""Days of runs to list when a remote store has more files than one page of a list."""


def estimate_durations(workspace: str) -> dict[tuple[str, str], float]:
    """Return mean seconds by module and class name, from the newest run of `workspace` that ran the class.

    Only the end of the history is read, so that a long one costs no more than a short one: on a remote store one or two
    list requests, and three files.
    """
    store, folder = runs_folder(workspace)
    means: dict[tuple[str, str], float] = {}
    for text in _local_ends(folder) if isinstance(store, LocalStore) else _newest(store, folder):
        times: dict[tuple[str, str], list[float]] = {}
        for record in records_in(text):
            if record.state == "done":
                times.setdefault((record.module, record.task), []).append(record.seconds)
        for cls, seconds in times.items():
            means.setdefault(cls, sum(seconds) / len(seconds))
    return means


def _local_ends(folder: str) -> Iterator[str]:
    left = _LOOK_BACK
    for path in sorted(Path(folder).glob("*.jsonl"), reverse=True):
        try:
            with path.open("rb") as file:
                file.seek(-min(left, path.stat().st_size), os.SEEK_END)
                text = file.read(left).decode(errors="replace")
        except OSError:  # removed, or not readable: an order of tasks is no reason to fail
            continue
        yield text
        left -= len(text)
        if left <= 0:
            return


def _newest(store: Any, folder: str) -> Iterable[str]:
    """Return the texts of the newest readable files of runs."""
    try:
        stats = _recent(store, folder) if hasattr(store, "page") else store.list(folder)
        keys = nlargest(_LOOK_BACK_FILES, (stat.key for stat in stats if stat.key.endswith(".jsonl")))
    except OSError:
        return []
    with ThreadPoolExecutor(_LOOK_BACK_FILES, "kart-runs") as threads:
        return list(threads.map(lambda key: _text_or_nothing(store, key), keys))


def _recent(store: Any, folder: str) -> Iterable[Stat]:
    """Return the files of runs on one page of a list; if there are more, also a page of those of the last days."""
    page = store.page(f"{folder}/")
    if page.token is None:
        return list(page.found)
    first = f"{datetime.now(UTC) - timedelta(days=_LOOK_BACK_DAYS):%Y%m%d}"
    return [*page.found, *store.page(f"{folder}/", after=f"{folder}/{first}").found]


def _text_or_nothing(store: Store, key: str) -> str:
    try:
        return text_of(store, key)
    except OSError:
        return ""
