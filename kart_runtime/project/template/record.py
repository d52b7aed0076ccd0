"""Record of the template that a project was generated from, and of an update whose conflicts are not solved yet.

The template's post_gen hook writes `.kart-template.json`; `kart update` replaces it, and reads cruft's `.cruft.json`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kart_runtime.errors import KartError

RECORD = ".kart-template.json"
CRUFT = ".cruft.json"
PLAN = ".kart-update"
"""Folder of an update whose files are being written; `apply` owns it."""

INSTALLED = "kart-runtime"
"""Source of a project whose template came inside a wheel of the engine."""

_MARKER = re.compile(rb"^(?:<{7}|>{7}) ", re.MULTILINE)


class TemplateError(KartError):
    """The template could not be found, rendered or merged; the project is unchanged."""


@dataclass(frozen=True)
class Record:
    """Template and answers of a project.

    Attributes
    ----------
    source
        Path or URL of the template's repository, or `INSTALLED`.
    directory
        Folder of the template in the repository.
    commit
        Commit of the repository; None if it is not a git repository, or had uncommitted changes (`dirty`).
    version
        Version of kart; None if unknown.
    answers
        Answers to the prompts, by name.
    dirty
        Whether the template had uncommitted changes.
    conflicts
        Files of an unfinished update that have conflicts.
    target
        Record of the project when the unfinished update is finished; None if there is none.
    """

    source: str
    directory: str
    commit: str | None
    version: str | None
    answers: dict[str, Any]
    dirty: bool = False
    conflicts: tuple[str, ...] = ()
    target: Record | None = None

    def to_json(self) -> bytes:
        """Return the content of `.kart-template.json`: ASCII, in a fixed order."""
        document = _document(self)
        if self.target is not None:
            document["unfinished"] = {"files": list(self.conflicts), **_document(self.target)}
        return (json.dumps(document, indent=2) + "\n").encode("ascii")

    def described(self) -> str:
        """Return version and commit, for messages."""
        parts = [self.version or "", f"({self.commit[:9]})" if self.commit else "", "(uncommitted)" * self.dirty]
        return " ".join(part for part in parts if part) or "an unknown version"

    def unfinished(self, target: Record, conflicts: tuple[str, ...]) -> Record:
        """Return this record with an update that waits for conflicts to be solved."""
        return replace(self, target=target, conflicts=conflicts)


def find_root(start: Path) -> Path:
    """Return the project's folder, at `start` or above it, also while pyproject.toml has conflict markers."""
    if not start.exists():
        raise TemplateError(f"no such folder: {start}")
    folders = [start, *start.parents]
    for folder in folders:
        pyproject = folder / "pyproject.toml"
        known = (folder / RECORD).is_file() or (folder / CRUFT).is_file()
        if known or (pyproject.is_file() and b"[tool.kart]" in pyproject.read_bytes()):
            return folder
    raise TemplateError(f"not inside a kart project: neither {start} nor a folder above it has a {RECORD}.")


def read_record(root: Path) -> Record:
    """Return the record of a project, or that of cruft; raise `TemplateError` if there is none that is valid."""
    for name, parse in ((RECORD, _parse), (CRUFT, _parse_cruft)):
        path = root / name
        if path.is_file():
            try:
                return parse(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise TemplateError(f"{name} is not a valid record ({reason}). Restore it with git.") from error
    raise TemplateError(
        f"this project has no {RECORD}, so its template is not known. Generate a project with the same answers from "
        f"the same version of the template, and copy its {RECORD} here."
    )


def unfinished_update(root: Path) -> list[str]:
    """Return a line for each conflict of a template update that is not solved, or for an update to finish.

    Parameters
    ----------
    root
        Folder of the project.

    Returns
    -------
    list of str
        Problems, the file first; empty if no update is unfinished or the project has no record.
    """
    if (root / PLAN / "plan.json").is_file():
        return [f"{PLAN}: an update from the template was interrupted. Run `kart update` to finish it."]
    if not (root / RECORD).is_file():
        return []
    try:
        record = read_record(root)
    except TemplateError as error:
        return [str(error)]
    if record.target is None:
        return []
    lines = conflict_lines(root, record.conflicts)
    return lines or [f"{RECORD}: all conflicts of the update are solved. Run `kart update` to finish it."]


def conflict_lines(root: Path, files: tuple[str, ...]) -> list[str]:
    """Return a line for each of some files whose conflict is not solved."""
    lines = []
    for name in files:
        path = root / name
        side = path.with_name(side_name(path.name))
        line = first_marker(path.read_bytes()) if path.is_file() else None
        if line is not None:
            lines.append(f"{name}:{line}: conflict of the template update. Merge the lines, and delete the markers.")
        elif side.is_file():
            other = side.relative_to(root).as_posix()
            lines.append(f"{name}: conflict of the template update. Merge what you need from {other}, and delete it.")
    return lines


def first_marker(content: bytes) -> int | None:
    """Return the number of the first line with a conflict marker; None without one."""
    match = _MARKER.search(content)
    return content.count(b"\n", 0, match.start()) + 1 if match else None


def side_name(name: str) -> str:
    """Return the name of the template's version beside a file that cannot hold markers."""
    return f"{name}.template"


def _document(record: Record) -> dict[str, Any]:
    document = {"source": record.source, "directory": record.directory, "commit": record.commit}
    dirty = {"dirty": True} if record.dirty else {}
    return {**document, **dirty, "version": record.version, "answers": record.answers}


def _parse(document: dict[str, Any]) -> Record:
    record = _parse_one(document)
    unfinished = document.get("unfinished")
    if unfinished is None:
        return record
    return record.unfinished(_parse_one(unfinished), tuple(map(str, unfinished["files"])))


def _parse_one(document: dict[str, Any]) -> Record:
    commit, version = document["commit"], document["version"]
    return Record(
        str(document["source"]),
        str(document["directory"]),
        None if commit is None else str(commit),
        None if version is None else str(version),
        dict(document["answers"]),
        bool(document.get("dirty", False)),
    )


def _parse_cruft(document: dict[str, Any]) -> Record:
    context: dict[str, Any] = document["context"]["cookiecutter"]
    answers = {name: value for name, value in context.items() if not name.startswith("_")}
    return Record(
        str(document["template"]), document.get("directory") or "template", str(document["commit"]), None, answers
    )
