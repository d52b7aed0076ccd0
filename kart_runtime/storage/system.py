"""What operating systems have and others lack, asked for in one place."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def after_fork(callback: Callable[[], object]) -> None:
    """Have `callback` called in each process that this one forks, if the system can fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


def make_executable(path: Path) -> None:
    """Let those execute a file who may read it, and nobody else."""
    if os.name != "nt":
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | (mode & 0o444) >> 2)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what is in a folder into an existing one: links as links, files with their times, and nobody's permissions.

    What is copied is as readable as any new file, though the source may be open to everybody.
    """
    for here, folders, files in os.walk(source):
        into = target / os.path.relpath(here, source)
        for name in (*folders, *files):
            found = Path(here, name)
            if found.is_symlink():
                (into / name).symlink_to(found.readlink())
            elif found.is_dir():
                (into / name).mkdir(exist_ok=True)
            else:
                copy_file(found, into / name)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its times, and let those execute the copy who may read it, if the file can be executed."""
    shutil.copyfile(source, target)
    status = source.stat()
    if status.st_mode & 0o111:
        make_executable(target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
