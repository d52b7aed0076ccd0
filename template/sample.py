"""Record of the sample in a generated project, `.kart-sample.json`, by which `kart remove-sample` takes it out again.

Used by the post_gen hook. The sample is what the folders of the user's own work hold at first; other files mark the
lines that speak of it, and what takes their place without it:

    @@ sample
    lines of a project with the sample
    @@ otherwise
    lines of one without it, if any
    @@ end

`@@ sample unless MODULE` keeps the lines while the project imports that module. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

RECORD = ".kart-sample.json"
_MARK = re.compile(r"^@@ (sample|otherwise|end)(?: unless (\w+))?$")


def write_sample(project: Path, package: str) -> None:
    """Take the marks out of the files of a new project, and write the record."""
    edits = []
    marked = set()
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project).as_posix()
        if not path.is_file() or name.startswith("vendor/"):
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        if "@@ sample" in text:
            marked.add(name)
            edits += [{"file": name, **edit} for edit in _unmark(path, text)]
    files = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(_sample_files(project, package))
        if name not in marked
    }
    document = json.dumps({"files": files, "edits": edits}, indent=1)
    (project / RECORD).write_text(document + "\n", encoding="ascii", newline="\n")


def _sample_files(project: Path, package: str) -> Iterator[tuple[str, Path]]:
    folders = [f"src/{package}/lib", f"src/{package}/tasks", "tests/lib", "tests/tasks", "data", "notebooks"]
    folders += [path.relative_to(project).as_posix() for path in project.glob("conf/*/tasks")]
    for folder in folders:
        for path in (project / folder).rglob("*"):
            if path.is_file() and path.name != "__init__.py":
                yield path.relative_to(project).as_posix(), path


def _unmark(path: Path, text: str) -> list[dict[str, str]]:
    """Write a file with its sample and without marks; return the lines to replace, each unique in the file."""
    kept: list[str] = []
    pieces: list[tuple[int, int, list[str], str | None]] = []
    start, other, module, part = 0, list[str](), None, ""
    for line in text.splitlines(keepends=True):
        mark = _MARK.match(line.rstrip("\n"))
        if mark is None:
            (other if part == "otherwise" else kept).append(line)
            continue
        part = mark[1]
        if part == "sample":
            start, other, module = len(kept), [], mark[2]
        elif part == "end":
            pieces.append((start, len(kept), other, module))
    path.write_text("".join(kept), encoding="utf-8", newline="\n")
    return [_edit(kept, *piece) for piece in pieces]


def _edit(lines: list[str], start: int, end: int, other: list[str], module: str | None) -> dict[str, str]:
    first, whole = start, "".join(lines)
    while whole.count("".join(lines[first:end])) != 1:
        first -= 1
    above = lines[first:start]
    edit = {"old": "".join(lines[first:end]), "new": "".join([*above, *other])}
    return edit if module is None else {**edit, "unless": module}
