"""Owner of a project: the code of another user is not imported without being allowed, as git does not run its hooks."""

from __future__ import annotations

import os
from pathlib import Path

from kart_runtime.errors import ConfigError

VARIABLE = "KART_SAFE_DIRECTORY"
"""Variable of the environment with the folders of projects that may belong to others, or `*` for all."""


def check_owner(root: Path, *paths: Path) -> None:
    """Raise `ConfigError` if a project, or one of its parts, belongs to another user and is not allowed.

    Root may own it: whatever belongs to root can change this program as well. With sudo, the caller may own it.
    """
    if not hasattr(os, "geteuid"):  # Windows
        return
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        trusted.add(int(os.environ["SUDO_UID"]))
    for path in (root, *paths):
        try:
            owner = path.stat().st_uid
        except OSError:  # missing: that is told by those who need it
            continue
        if owner not in trusted and not _is_allowed(root):
            raise ConfigError(
                f"the project belongs to another user ({path} to user {_name(owner)}, and this is user "
                f"{_name(os.geteuid())}), whose code it would run. If you trust it, allow it: "
                f"export {VARIABLE}={root}",
                file=str(root),
            )


def _is_allowed(root: Path) -> bool:
    entries = os.environ.get(VARIABLE, "").split(os.pathsep)
    return any(entry == "*" or (entry and Path(entry).expanduser().resolve() == root.resolve()) for entry in entries)


def _name(user: int) -> str:
    try:
        import pwd

        return f"{user} ({pwd.getpwuid(user).pw_name})"
    except (ImportError, KeyError):
        return str(user)
