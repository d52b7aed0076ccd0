"""Files of a workspace that `kart gc` does not delete, by the reason, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kart_runtime.history.cleanup.garbage import Garbage
from kart_runtime.history.cleanup.recorded import id_in
from kart_runtime.history.cleanup.retention import DAY
from kart_runtime.storage.workspace import LOG

REASONS = {
    "needed": "a retained run uses them",
    "young": "they were written in the last day",
    "no id": "their names have no id, so other tasks may use them",
    "kart's own": "records of runs, and log files that no record names",
    "unknown": "no record names them",
}
"""Kind of what stays to the reason."""


class Kept(NamedTuple):
    """Number and bytes of the files of one kind that stay."""

    files: int
    bytes: int


def kept_files(entries: Sequence[Garbage]) -> dict[str, Kept]:
    """Return what stays in workspaces, by kind; each workspace is listed once, and hidden files are left out."""
    found: dict[str, dict[str, int]] = {kind: {} for kind in REASONS}
    for garbage in entries:
        goes = garbage.sizes()
        log = f"{garbage.files.key.rstrip('/')}/{LOG}/"
        for stat in garbage.files.all():
            place = stat.key
            if place in goes:
                continue
            if place in garbage.in_use:
                kind = "needed"
            elif place not in garbage.named:
                kind = "kart's own" if place.startswith(log) else "unknown"
            elif id_in(place) is None:
                kind = "no id"
            else:
                kind = "young" if stat.modified >= garbage.now - DAY else "needed"
            found[kind][garbage.files.url(place)] = stat.size
    return {kind: Kept(len(sizes), sum(sizes.values())) for kind, sizes in found.items() if sizes}
