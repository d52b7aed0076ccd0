"""Names of what a process keeps while it works: temporary files beside outputs, and folders for models.

Each holds the token of its process, so no other process makes the same one, and whoever finds it later knows whether
its process has died. The names of earlier versions hold only a host and a process id.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from kart_runtime.storage.processes import FORM, host_name, is_alive, is_running, this_process
from kart_runtime.storage.system import after_fork

TEMPORARY_PREFIX = ".kart-"
"""Prefix of the names of temporary files, which are no objects."""

FOLDER_PREFIX = TEMPORARY_PREFIX[1:]
"""Prefix of the names in the system's folder for temporary files, where they need not be hidden."""

DAY = 86_400.0
"""Seconds after which what nobody touches counts as left behind, if nothing is known of its process.

Containers may share a folder and a host name and not see each other's processes; none of them writes one file for a day
without touching it.
"""

_WITH_TOKEN = re.compile(rf"\.?kart-(?P<token>{FORM})-.+")
_EARLIER = re.compile(r"\.kart-(?P<host>.*)-(?P<pid>\d+)-\d+(\.writing)?|\.kart-dask-[0-9a-f]+")

_SHORTEST_HOST = 50
"""Characters of a host's name that the names of all versions have."""

_counter = itertools.count()


class _Prefix:
    """Prefix of this process's names, made when the first one is needed."""

    text: ClassVar[str] = ""

    @classmethod
    def made(cls) -> str:
        cls.text = f"{TEMPORARY_PREFIX}{this_process()}-"
        return cls.text

    @classmethod
    def forget(cls) -> None:
        cls.text = ""


after_fork(_Prefix.forget)


def temporary_name() -> str:
    """Return a name for a temporary file that no other process, and no other call, ever returns."""
    return f"{_Prefix.text or _Prefix.made()}{next(_counter)}"


def is_own(path: str) -> bool:
    """Return whether a temporary file is one of this process, and not of the one that it was forked from."""
    return bool(_Prefix.text) and _Prefix.text in path


def folder_prefix() -> str:
    """Return the prefix for a name in a folder for temporary files, for the functions of `tempfile`."""
    return f"{FOLDER_PREFIX}{this_process()}-"


@contextmanager
def temporary_folder(parent: str | None = None) -> Iterator[Path]:
    """Yield a new folder in another one, by default in the system's for temporary files, and delete it at the end."""
    if parent is not None:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=folder_prefix(), dir=parent)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


parents: set[str] = set()
"""Folders, besides the system's, in which this process makes temporary folders, or will."""


lasting: set[str] = set()
"""Files of this process whose time says to other machines that it goes on."""


def touch_lasting() -> None:
    """Give the `lasting` files the time of now, as a build does once a minute."""
    for path in tuple(lasting):
        with suppress(OSError):
            os.utime(path)


after_fork(lasting.clear)


def token_in(name: str) -> str:
    """Return the token in the name of a temporary file or folder; "" if it has none."""
    match = _WITH_TOKEN.fullmatch(name) if name.startswith((TEMPORARY_PREFIX, FOLDER_PREFIX)) else None
    return match["token"] if match else ""


def is_left(name: str, modified: float, now: float | None = None) -> bool:
    """Return whether a temporary file or folder, changed at a time, was left behind by a process that has ended.

    Of a process that this one cannot see, because it ran on another machine or in another container, only what nobody
    has touched for a day counts.
    """
    token = token_in(name)
    if token:
        alive = is_alive(token)
        return not alive if alive is not None else modified < (now or time.time()) - DAY
    match = _EARLIER.fullmatch(name)
    return match is not None and _is_left_of_earlier(match, (now or time.time()) - modified)


def _is_left_of_earlier(match: re.Match[str], age: float) -> bool:
    """Return whether a file of an earlier version, of some age, was left behind; it names a host and a process id."""
    if match["pid"] is None or match["host"][:_SHORTEST_HOST] != host_name()[:_SHORTEST_HOST]:
        return age > 2 * DAY
    pid = int(match["pid"])
    if pid == os.getpid():  # this process makes no such names: another one had its id, as in a container
        return age > 2 * DAY
    return age > DAY and not is_running(pid)
