"""Publication: the record of one content under a fixed name, and the rules for such names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from kart_runtime.errors import PlanError
from kart_runtime.storage.checksum import ALGORITHM, FOLDER
from kart_runtime.storage.codecs import Codec
from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.registry import CODECS, inner_path, store_for
from kart_runtime.storage.registry import suffix_of as last_suffix
from kart_runtime.storage.temporary import TEMPORARY_PREFIX
from kart_runtime.storage.workspace import LOG, Workspace

SHORT = 8
"""Characters of an id that commands print, and that messages name."""


class PublishRefused(PlanError, ValueError):
    """An output cannot be published under a name, or a publication cannot be gone back to.

    Parameters
    ----------
    path
        The name, or what was given as one.
    why
        The reason, and what to do, as sentences.
    """

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"cannot publish as '{path}': {why}")


@dataclass(frozen=True)
class Publication:
    """Record of one content that was published under a name.

    Attributes
    ----------
    path
        The name below the workspace.
    id
        Checksum of the content: 32 hexadecimal digits.
    size
        Bytes.
    published
        When it was last published, ISO 8601 in UTC.
    task, module, unique_id, params
        The task whose output it is, with its significant parameters as text, secrets masked; empty for a file that
        kart found under the name and has not published.
    output
        Path of the output in the workspace.
    run_id, computed
        The run that computed it, and when; empty if no record says so.
    commit
        Commit of the code's git repository, with ``-dirty`` if files differed from it; empty if not known.
    metrics
        What the task, and those upstream of it, have put into their task log or dumped as JSON numbers: class name to
        name to value.
    withdrawn
        Whether somebody went back from it; then only the command publishes it again.
    also
        Earlier publications of the same content by other tasks.
    """

    path: str
    id: str
    size: int
    published: str
    task: str = ""
    module: str = ""
    unique_id: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    run_id: str = ""
    computed: str = ""
    commit: str = ""
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    withdrawn: bool = False
    also: Sequence[Mapping[str, str]] = ()

    @property
    def checksum(self) -> str:
        """Return the checksum of the content, with its algorithm."""
        return f"{FOLDER if is_folder_name(self.path) else ALGORITHM}:{self.id}"

    @property
    def source(self) -> str:
        """Return what it is made of, for people: the task with its id, or the id of the content."""
        return f"{self.task}[{self.unique_id[:SHORT]}]" if self.task else self.id[:SHORT]

    def followed_by(self, later: Publication) -> Publication:
        """Return a later publication of the same content, which names this one if another task has made it."""
        if self.unique_id in ("", later.unique_id):
            return replace(later, also=self.also)
        earlier = {"task": self.task, "unique_id": self.unique_id, "published": self.published}
        return replace(later, also=(*self.also, earlier))


def now() -> str:
    """Return the time, ISO 8601 in UTC, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def check_path(path: str, workspace: str) -> None:
    """Raise `PublishRefused` unless a path is a name below a workspace that is free for publications."""
    parts = path.split("/")
    if not path or not parts[-1]:
        raise PublishRefused(path, "it names no file. Write a path below the workspace, such as models/current.zip.")
    if "://" in path or PurePosixPath(path).is_absolute() or "\\" in path or re.match(r"[A-Za-z]:", path):
        raise PublishRefused(
            path, "it is not a path below the workspace. Write one with forward slashes, such as models/current.zip."
        )
    if not {"", ".", ".."}.isdisjoint(parts):
        raise PublishRefused(path, "it must not contain '.', '..' or '//'. Write a path that stays in the workspace.")
    if any(part.startswith(TEMPORARY_PREFIX) for part in parts) or "\0" in path:
        raise PublishRefused(path, f"names that begin with {TEMPORARY_PREFIX} are those of temporary files.")
    if path.lower().endswith(FOLDER_SUFFIX):
        bare = path[: -len(FOLDER_SUFFIX)]
        raise PublishRefused(path, f"a folder is published under a name without a suffix. Write '{bare}'.")
    if parts[0].casefold() == LOG:
        raise PublishRefused(path, f"the folder {LOG}/ of the workspace belongs to kart. Choose another folder.")
    _check_links(path, workspace)


def _check_links(path: str, workspace: str) -> None:
    """Raise `PublishRefused` if a link leads a path out of a workspace on this machine, or it is a folder."""
    if not Workspace(workspace).is_local:
        return
    key = store_for(Workspace(workspace).join(path))[1]
    root = Path(store_for(Workspace(workspace).base)[1]).resolve()
    if not Path(key).parent.resolve().is_relative_to(root):
        raise PublishRefused(path, f"a link in it leads out of the workspace {workspace}. Choose another path.")
    if Path(key).is_dir():
        raise PublishRefused(path, "there is a folder of this name, which is not a published one. Choose another name.")


def suffix_of(path: str) -> str:
    """Return the suffix that selects the format of a path: ``.zip``, or ``.csv.gz``."""
    inner = inner_path(path)
    return last_suffix(path) if inner is None else f"{last_suffix(inner)}{path[len(inner) :].lower()}"


def is_folder_name(path: str) -> bool:
    """Return whether a name is that of a published folder: it has no suffix."""
    return not suffix_of(path)


def codec_of(path: str) -> Codec | None:
    """Return the codec of a published file that its suffix does not select; a model's archive loads itself."""
    return Archive(None, None) if suffix_of(path) == ".zip" and ".zip" not in CODECS else None
