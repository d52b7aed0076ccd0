"""Wheel of the engine for generated projects, until kart is on a package index, built from this repository.

Used by the post_gen hook, which writes it to the project's `vendor/`, by the templates, for the requirement, and by the
build of the repository's own wheel, for the archive of the template. All metadata comes from the repository's
pyproject.toml. The bytes depend on the sources only (sorted members, one date, no compression, whose output differs
between zlib versions), so that an update changes this file only if the engine has changed. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)
PACKAGE = "kart_runtime"
TEMPLATE = "template"
ARCHIVE = f"{PACKAGE}/_template.zip"
"""Member of the wheel with the template, for `kart new`, and as the base of an update whose commit is lost."""

TAG = "py3-none-any"
LICENSES = ("LICEN[CS]E*", "COPYING*", "NOTICE*", "AUTHORS*")  # the defaults of build backends


def build_wheel(repository: Path, folder: Path) -> Path:
    """Write the engine's wheel into `folder` and return its path.

    Parameters
    ----------
    repository
        Folder of pyproject.toml and kart_runtime.
    folder
        Output folder, created if missing.
    """
    project = read_project(repository)
    stem = f"{re.sub('[-_.]+', '_', project['name'])}-{project['version']}"
    members = {**dict(_sources(repository / PACKAGE)), ARCHIVE: template_archive(repository)}
    members |= {f"{stem}.dist-info/{name}": text.encode() for name, text in _information(repository, project).items()}
    record = f"{stem}.dist-info/RECORD"
    members[record] = "".join(_record_lines(members, record)).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{TAG}.whl"
    path.write_bytes(_zipped(members, [*sorted(members.keys() - {record}), record]))
    return path


def template_archive(repository: Path) -> bytes:
    """Return a zip file with the template and the files that it reads of the repository, except for the package."""
    readme = read_project(repository).get("readme")
    paths = [repository / "pyproject.toml", *_licenses(repository), *([repository / readme] if readme else [])]
    members = dict(_sources(repository / TEMPLATE, hidden=True))
    members |= {path.name: path.read_bytes() for path in paths}
    return _zipped(members, sorted(members))


def wheel_name(repository: Path) -> str:
    """Return the name of the file that `build_wheel` writes."""
    project = read_project(repository)
    return f"{re.sub('[-_.]+', '_', project['name'])}-{project['version']}-{TAG}.whl"


def runtime_requirement(repository: Path, storage: str) -> str:
    """Return the requirement for a project: this version or a later compatible one, with extras.

    Parameters
    ----------
    repository
        Folder of pyproject.toml.
    storage
        The project's answer; `s3` and `gcs` name an extra if the engine has it.
    """
    project = read_project(repository)
    extras = {"cli", "pandas", "pandera", storage} & project["optional-dependencies"].keys()
    major, minor = (int(part) for part in project["version"].split(".")[:2])
    limit = f"{major + 1}" if major else f"0.{minor + 1}"
    return f"{project['name']}[{','.join(sorted(extras))}]>={project['version']},<{limit}"


def read_project(repository: Path) -> dict[str, Any]:
    """Return the `[project]` table of the repository's pyproject.toml."""
    table = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"optional-dependencies": {}, "dependencies": [], **table}


def _sources(folder: Path, *, hidden: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield the files below a folder, without caches; with `hidden`, also those whose name starts with a dot."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder.parent).parts
        skipped = any(part in {"__pycache__", ".DS_Store"} or (part[0] == "." and not hidden) for part in parts)
        if path.is_file() and not skipped and path.suffix not in {".pyc", ".pyo"}:
            yield "/".join(parts), path.read_bytes()


def _information(repository: Path, project: dict[str, Any]) -> dict[str, str]:
    information = {
        "METADATA": "".join(f"{line}\n" for line in _metadata(repository, project)) + _description(repository, project),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: kart template\nRoot-Is-Purelib: true\nTag: {TAG}\n",
    }
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    sections = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in sorted(points.items()))
        for group, points in groups.items()
        if points
    ]
    if sections:
        information["entry_points.txt"] = "\n".join(sections)
    return information | {f"licenses/{path.name}": path.read_text(encoding="utf-8") for path in _licenses(repository)}


def _licenses(repository: Path) -> list[Path]:
    return sorted(path for pattern in LICENSES for path in repository.glob(pattern))


def _metadata(repository: Path, project: dict[str, Any]) -> Iterator[str]:
    yield "Metadata-Version: 2.4"
    yield f"Name: {project['name']}"
    yield f"Version: {project['version']}"
    yield f"Summary: {project['description']}"
    if "license" in project:
        yield f"License-Expression: {project['license']}"
    yield from (f"License-File: {path.name}" for path in _licenses(repository))
    if "keywords" in project:
        yield f"Keywords: {','.join(sorted(project['keywords']))}"
    yield from (f"Classifier: {classifier}" for classifier in project.get("classifiers", []))
    yield from (f"Project-URL: {label}, {url}" for label, url in project.get("urls", {}).items())
    yield f"Requires-Python: {project['requires-python']}"
    yield from (f"Requires-Dist: {requirement}" for requirement in project["dependencies"])
    for extra, requirements in sorted(project["optional-dependencies"].items()):
        yield f"Provides-Extra: {extra}"
        yield from (f"Requires-Dist: {_only_for(extra, line)}" for line in _expanded(project, requirements))


def _expanded(project: dict[str, Any], requirements: list[str]) -> Iterator[str]:
    """Yield the requirements, with the project's own extras replaced by their requirements."""
    for requirement in requirements:
        own = re.fullmatch(rf"{re.escape(project['name'])}\[(.*)\]", requirement)
        if own:
            for extra in own[1].split(","):
                yield from _expanded(project, project["optional-dependencies"][extra.strip()])
        else:
            yield requirement


def _only_for(extra: str, requirement: str) -> str:
    name, _, marker = requirement.partition(";")
    condition = f"extra == '{extra}'"
    return f"{name.strip()}; " + (f"({marker.strip()}) and {condition}" if marker else condition)


def _description(repository: Path, project: dict[str, Any]) -> str:
    text = (repository / project["readme"]).read_text(encoding="utf-8") if "readme" in project else ""
    return f"Description-Content-Type: text/markdown\n\n{text}" if text else ""


def _record_lines(members: dict[str, bytes], record: str) -> Iterator[str]:
    for name, content in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        yield f"{name},sha256={digest},{len(content)}\n"
    yield f"{record},,\n"


def _zipped(members: dict[str, bytes], names: list[str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(_member(name), members[name])
    return content.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, EPOCH)
    member.create_system = 3
    member.external_attr = 0o100644 << 16
    return member
