"""Sample of a generated project, as `.kart-sample.json` records it: its files, and the lines about it in others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE = ".kart-sample.json"


@dataclass(frozen=True)
class SampleEdit:
    """Lines about the sample in a file, and what takes their place; `unless` the project imports a module."""

    file: str
    old: str
    new: str
    unless: str | None = None

    def applied(self, text: str) -> str | None:
        """Return the text without these lines; None if it has them not, or not as they were generated."""
        windows = "\r\n" in text
        old, new = (part.replace("\n", "\r\n") if windows else part for part in (self.old, self.new))
        return text.replace(old, new) if text.count(old) == 1 else None


@dataclass(frozen=True)
class Sample:
    """Files of the sample with their checksums, and the edits of others."""

    files: dict[str, str]
    edits: tuple[SampleEdit, ...]

    def is_unchanged(self, name: str, content: bytes) -> bool:
        """Return whether a file is as it was generated, line ends aside."""
        return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == self.files[name]

    def to_json(self) -> bytes:
        """Return the content of the record."""
        edits = [{key: value for key, value in vars(edit).items() if value is not None} for edit in self.edits]
        return (json.dumps({"files": self.files, "edits": edits}, indent=1) + "\n").encode("ascii")


def read_sample(folder: Path) -> Sample | None:
    """Return the sample of a project or render; None if it has none."""
    path = folder / SAMPLE
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Sample(dict(document["files"]), tuple(SampleEdit(**edit) for edit in document["edits"]))


def follow_sample(project: Path, renders: list[Path], is_kept: Callable[[str], bool]) -> bytes | None:
    """Make renders of the template fit a project that has removed the sample; return the record of one that has it.

    What the project keeps for itself stays as it was generated, so its checksums stay, too.
    """
    new = read_sample(renders[-1])
    if new is None:
        return None
    own = read_sample(project)
    if own is None and not any((project / name).exists() for name in new.files):
        for render in renders:
            _strip(render)
        return None
    if own is None:
        return new.to_json()
    files = {name: own.files.get(name, digest) if is_kept(name) else digest for name, digest in new.files.items()}
    files |= {name: digest for name, digest in own.files.items() if is_kept(name)}
    edits = [edit for edit in new.edits if not is_kept(edit.file)] + [edit for edit in own.edits if is_kept(edit.file)]
    return Sample(files, tuple(edits)).to_json()


def _strip(render: Path) -> None:
    """Take the sample out of a render."""
    sample = read_sample(render)
    if sample is None:
        return
    for name in (*sample.files, SAMPLE):
        (render / name).unlink(missing_ok=True)
        init = (render / name).with_name("__init__.py")
        if init.is_file() and not init.read_bytes() and [*init.parent.iterdir()] == [init]:
            init.unlink()
    for edit in sample.edits:
        path = render / edit.file
        text = edit.applied(path.read_bytes().decode("utf-8"))
        if text is not None:
            path.write_bytes(text.encode("utf-8"))
