"""Notes of what a process is storing in a service, so that whoever comes next on this machine can take it back.

Parts of an upload, and files of a folder, are in the store before the object or the list of files is. Nobody sees them,
but they cost money. A note of each lies in the system's folder for temporary files; its name holds the token of the
process. Writing and deleting one costs no request.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kart_runtime.storage.temporary import folder_prefix

NOTE_SUFFIX = ".note.json"
"""End of the name of a note."""

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # others may write to that folder, too

_numbers = itertools.count()


class Note:
    """A note of one thing that is being stored in a service: its kind, url and service, and other values."""

    def __init__(self, kind: str, store: Any, key: str, **values: Any) -> None:
        self.path = Path(tempfile.gettempdir(), f"{folder_prefix()}{next(_numbers)}{NOTE_SUFFIX}")
        self._values = {"kind": kind, "url": store.url(key), "service": store.service_id(), "began": time.time()}
        self._values |= values
        self._write(os.O_CREAT | os.O_EXCL)

    def add(self, **values: Any) -> None:
        """Add what has become known."""
        self._values |= values
        self._write(os.O_TRUNC | _NOFOLLOW)

    def _write(self, how: int) -> None:
        with suppress(OSError):  # a full disk, or none, is no reason to fail
            descriptor = os.open(self.path, os.O_WRONLY | how, 0o600)
            try:
                os.write(descriptor, json.dumps(self._values).encode())
            finally:
                os.close(descriptor)

    def delete(self) -> None:
        """Delete the note: everything is stored, or nothing."""
        delete(self.path)


def read(path: Path) -> dict[str, Any]:
    """Return what is noted in a file; empty if the process died while it wrote it."""
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(path.lstat().st_mode):  # a pipe of somebody else would keep us waiting
            return {}
        values = json.loads(path.read_bytes())
        return values if isinstance(values, dict) else {}
    return {}


def delete(path: Path) -> None:
    """Delete a note."""
    with suppress(OSError):
        path.unlink()


_uploads: dict[tuple[str, str], Note] = {}
"""Notes of the uploads that are going on, by service and key."""


@contextmanager
def noted_upload(store: Any, key: str) -> Iterator[None]:
    """Keep a note of an upload until the block ends."""
    note = Note("upload", store, key)
    _uploads[store.service_id(), key] = note
    try:
        yield
    finally:
        if _uploads.get((store.service_id(), key)) is note:
            del _uploads[store.service_id(), key]
        note.delete()


def note_upload_id(service: str, key: str, upload_id: str) -> None:
    """Add the id that a service has given to an upload."""
    note = _uploads.get((service, key))
    if note is not None:
        note.add(id=upload_id)
