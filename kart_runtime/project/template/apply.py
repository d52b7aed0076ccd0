"""Writing of a merge: interrupted at any moment, the project is as before, or the next call finishes.

All new contents are written to a folder first, which a rename publishes. From then on the update counts, and its files
are moved to their places one by one; each step can be repeated.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kart_runtime.project.template.merge import Change
from kart_runtime.project.template.record import PLAN, TemplateError

_NEW = f"{PLAN}.new"


class _Step(NamedTuple):
    """Change of a plan, with the checksums that the file has before and after; an empty one: no such file."""

    path: str
    before: str
    after: str


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Write the changes, the last ones last."""
    _stage(root, changes)
    finish(root)


def pending(root: Path) -> bool:
    """Return whether an update was interrupted while its files were written."""
    return (root / PLAN / "plan.json").is_file()


def finish(root: Path) -> None:
    """Write what an update has planned and not written yet; raise `TemplateError` if a file has changed meanwhile."""
    folder = root / PLAN
    steps = [_Step(*step) for step in json.loads((folder / "plan.json").read_text(encoding="utf-8"))]
    edited = [step.path for step in steps if _checksum(root / step.path) not in (step.before, step.after)]
    if edited:
        raise TemplateError(
            f"an interrupted update would overwrite what has changed since: {', '.join(edited)}. Restore these files "
            f"(git checkout -- FILE), or delete {PLAN} to give the update up."
        )
    for index, step in enumerate(steps):
        _take(root, folder / str(index), step)
    (folder / "plan.json").unlink()
    discard(root)


def discard(root: Path) -> None:
    """Delete what an update that was interrupted before it counted, or when it was done, has left behind."""
    for name in (_NEW, PLAN):
        if not (root / name / "plan.json").is_file() or name == _NEW:
            shutil.rmtree(root / name, ignore_errors=True)


def _stage(root: Path, changes: Sequence[Change]) -> None:
    discard(root)
    folder = root / _NEW
    folder.mkdir()
    steps = [_Step(change.path, _digest(change.before), _digest(change.after)) for change in changes]
    for index, change in enumerate(changes):
        if change.after is not None:
            (folder / str(index)).write_bytes(change.after)
            target = root / change.path
            if target.is_file():
                shutil.copymode(target, folder / str(index))
    (folder / "plan.json").write_text(json.dumps(steps), encoding="utf-8")
    folder.replace(root / PLAN)


def _take(root: Path, staged: Path, step: _Step) -> None:
    target = root / step.path
    if _checksum(target) == step.after:
        return
    if step.after:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
        return
    target.unlink()
    with suppress(OSError):  # not empty
        for folder in _parents(root, target):
            folder.rmdir()


def _parents(root: Path, path: Path) -> Iterator[Path]:
    yield from (folder for folder in path.parents if folder != root and folder.is_relative_to(root))


def _checksum(path: Path) -> str:
    return _digest(path.read_bytes() if path.is_file() else None)


def _digest(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()
