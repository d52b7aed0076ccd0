"""Three-way merge of a project with the old and the new render of its template.

Nothing that the user wrote is lost: a file that only the template changed is replaced, one that both changed is merged,
with conflict markers where needed, and a file that the user deleted or that cannot be merged is left to the user.
"""

from __future__ import annotations

import enum
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from kart_runtime.project.template.git import git
from kart_runtime.project.template.record import CRUFT, RECORD, side_name
from kart_runtime.project.template.sample import SAMPLE
from kart_runtime.project.template.sources import vendored_wheels

_LABELS = ("-L", "yours", "-L", "template before", "-L", "template")
_BINARY = 8000
"""Bytes in which a NUL makes a file binary, as in git."""


class Action(enum.Enum):
    """What to do with one file."""

    NOTHING = "nothing"
    TAKE = "take"
    """Write, or delete, what the template has."""
    MERGE = "merge"
    STAYS_DELETED = "stays deleted"
    """Deleted by the user, changed by the template."""
    STAYS = "stays"
    """Changed by the user, deleted by the template."""


@dataclass(frozen=True)
class Change:
    """File to write or to delete.

    Attributes
    ----------
    path
        Path below the project's root, with forward slashes.
    before
        Content that the project has; None: no such file.
    after
        Content to write; None: delete the file.
    """

    path: str
    before: bytes | None
    after: bytes | None


@dataclass
class Merge:
    """Result of a merge; nothing has been written.

    Attributes
    ----------
    changes
        Files to write and to delete.
    conflicts
        Files that the user has to merge.
    notes
        Lines for the user: decisions that the template would have made differently.
    own
        Files that belong to the user and that the template has changed.
    """

    changes: list[Change] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)


def decide(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> Action:
    """Return what to do with a file of these contents: old template, project, new template (None: absent)."""
    if theirs in (base, ours):
        return Action.NOTHING
    if ours == base:
        return Action.TAKE
    if ours is None:
        return Action.STAYS_DELETED
    return Action.STAYS if theirs is None else Action.MERGE


def merge(base: Path | None, project: Path, new: Path) -> Merge:
    """Merge the renders of the old and the new template into a project, without writing anything.

    Parameters
    ----------
    base
        Render of the old template; None if it is lost: then every difference is a conflict.
    project
        Root of the project.
    new
        Render of the new template.
    """
    old_files, new_files = _files(base), _files(new)
    keep = _kept(base, project, new)
    result = Merge()
    renames = _renames(base, project, new, keep) if base is not None else {}
    for path in sorted(old_files.keys() | new_files.keys()):
        if path in renames.values() or _is_engine(path):
            continue
        if _is_kept(path, keep):
            if base is not None and old_files.get(path) != new_files.get(path):
                result.own.append(path)
            continue
        target = renames.get(path, path)
        _merge_file(result, project, path, target, base=old_files.get(path), theirs=new_files.get(target))
    if not _is_kept("vendor", keep):
        _replace_engine(result, project, old_files, new_files)
    result.changes = [change for change in result.changes if change.before != change.after]
    return result


def merge_text(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Return the merged text, and whether it has conflict markers, as `git merge-file` makes them."""
    if b"\r\n" in ours and b"\r\n" not in theirs:  # the project is checked out with Windows' line ends
        base, theirs = (text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for text in (base, theirs))
    with tempfile.TemporaryDirectory(prefix="kart-") as name:
        folder = Path(name)
        for file, content in (("ours", ours), ("base", base), ("theirs", theirs)):
            (folder / file).write_bytes(content)
        done = git("merge-file", "-p", *_LABELS, "ours", "base", "theirs", folder=folder, check=False)
    # the exit code is the number of conflicts; 255 is an error
    if done.returncode >= 128:
        return ours, True
    return done.stdout, done.returncode > 0


def _merge_file(
    result: Merge, project: Path, path: str, target: str, *, base: bytes | None, theirs: bytes | None
) -> None:
    """Add what happens to one file; `target` is its path in the new template."""
    blocked = _blocked(project, target) or _blocked(project, path)
    if blocked:
        if base != theirs:
            result.notes.append(f"{target} was not written: {blocked} here")
        return
    if not (project / path).exists() and (project / target).exists():  # the user has renamed it, too
        path = target
    ours = _read(project / path)
    action = decide(base, ours, theirs)
    moved = target != path
    before = None if moved else ours
    if action is Action.TAKE:
        result.changes.append(Change(target, before, theirs))
    elif action is Action.MERGE and ours is not None and theirs is not None:
        _merge_contents(result, project, target, before, (base or b"", ours, theirs))
    elif action is Action.STAYS_DELETED:
        result.notes.append(f"{target} stays deleted; the template has changed it")
    elif action is Action.STAYS:
        result.notes.append(f"{path} stays: the template has deleted it, and you have changed it")
    elif moved:
        result.changes.append(Change(target, None, ours))
    if moved:
        result.changes.append(Change(path, ours, None))


def _merge_contents(
    result: Merge, project: Path, target: str, before: bytes | None, versions: tuple[bytes, bytes, bytes]
) -> None:
    base, ours, theirs = versions
    if any(b"\0" in version[:_BINARY] for version in versions):
        side = str(PurePosixPath(target).with_name(side_name(PurePosixPath(target).name)))
        result.conflicts.append(target)
        result.changes += [Change(target, before, ours), Change(side, _read(project / side), theirs)]
    else:
        merged, conflict = merge_text(base, ours, theirs)
        result.conflicts += [target] if conflict else []
        result.changes.append(Change(target, before, merged))


def _replace_engine(
    result: Merge, project: Path, old_files: Mapping[str, bytes], new_files: Mapping[str, bytes]
) -> None:
    """Replace every wheel of the engine in the project by that of the new template."""
    new = {path: content for path, content in new_files.items() if _is_engine(path)}
    own = {f"vendor/{path.name}": path.read_bytes() for path in vendored_wheels(project)}
    result.changes += [
        Change(path, own.get(path), content) for path, content in new.items() if own.get(path) != content
    ]
    stale = own.keys() - new.keys() if new else own.keys() & old_files.keys()
    result.changes += [Change(path, own[path], None) for path in sorted(stale)]


def _is_engine(path: str) -> bool:
    """Return whether a file is a wheel of the engine, which is replaced and never merged."""
    return fnmatchcase(path, "vendor/kart_runtime-*.whl")


def _files(folder: Path | None) -> dict[str, bytes]:
    """Return the files of a render, without the records, which the update writes itself."""
    if folder is None:
        return {}
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if name not in (RECORD, CRUFT, SAMPLE)}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _blocked(project: Path, path: str) -> str | None:
    """Return why a file cannot be written here: a link or a folder in its place, a file in place of its folder."""
    if (project / path).is_symlink():
        return "it is a link"
    if (project / path).is_dir():
        return "it is a folder"
    for folder in list(PurePosixPath(path).parents)[:-1]:
        if (project / folder).is_symlink() or (project / folder).is_file():
            return f"{folder} is a {'link' if (project / folder).is_symlink() else 'file'}"
    return None


def kept_by(base: Path | None, project: Path, new: Path) -> Callable[[str], bool]:
    """Return what says of a file whether it belongs to the user."""
    keep = _kept(base, project, new)
    return lambda path: _is_kept(path, keep)


def _kept(base: Path | None, project: Path, new: Path) -> list[str]:
    """Return what belongs to the user: the project's own list, and what the template has added to its list."""
    own, added = _keep_list(project), _keep_list(new) or []
    if own is None:
        return added
    before = (_keep_list(base) if base is not None else None) or own
    return [*own, *(pattern for pattern in added if pattern not in before)]


def _keep_list(folder: Path | None) -> list[str] | None:
    """Return `keep` of [tool.kart.template], or `skip` of [tool.cruft]; None if pyproject.toml has neither."""
    try:
        tool = tomllib.loads(((folder or Path()) / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return None
    found = tool.get("kart", {}).get("template", {}).get("keep", tool.get("cruft", {}).get("skip"))
    return [str(pattern).rstrip("/") for pattern in found] if isinstance(found, list) else None


def _is_kept(path: str, keep: Iterable[str]) -> bool:
    """Return whether a pattern matches a file, or a folder above it."""
    names = [path, *(str(parent) for parent in PurePosixPath(path).parents)]
    return any(fnmatchcase(name, pattern) for pattern in keep for name in names)


def _renames(base: Path, project: Path, new: Path, keep: Iterable[str]) -> Mapping[str, str]:
    """Return the files that the template has renamed, old to new, except where the project has both."""
    words = ["diff", "--no-index", "--no-ext-diff", "--diff-filter=R", "--find-renames", "--name-status", "-z"]
    common = Path(os.path.commonpath([base.resolve(), new.resolve()]))
    before, after = (folder.resolve().relative_to(common).as_posix() for folder in (base, new))
    done = git(*words, "--", before, after, folder=common, check=False)
    entries = done.stdout.decode(errors="surrogateescape").split("\0")
    pairs = [(entries[index + 1], entries[index + 2]) for index in range(0, len(entries) - 2, 3)]
    renames = {old.removeprefix(f"{before}/"): target.removeprefix(f"{after}/") for old, target in pairs}
    return {
        old: target
        for old, target in renames.items()
        if not _is_engine(old)
        and not _is_kept(old, keep)
        and not _is_kept(target, keep)
        and not ((project / old).exists() and (project / target).exists())
    }
