"""Wheel of the engine for generated projects, until kart is on a package index, built from this repository.

Used by the post_gen hook, which writes it to the project's `vendor/`, and by the templates, for the requirement. All
metadata comes from the repository's pyproject.toml. The bytes depend on the sources only (sorted members, one date, no
compression, whose output differs between zlib versions): `cruft` patches this file, and a binary patch applies only to
identical bytes. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)
PACKAGE = "kart_runtime"
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
    members = dict(_sources(repository / PACKAGE))
    members |= {f"{stem}.dist-info/{name}": text.encode() for name, text in _information(repository, project).items()}
    record = f"{stem}.dist-info/RECORD"
    members[record] = "".join(_record_lines(members, record)).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{TAG}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in [*sorted(members.keys() - {record}), record]:
            archive.writestr(_member(name), members[name])
    return path


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


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package.parent).parts
        hidden = any(part == "__pycache__" or part.startswith(".") for part in parts)
        if path.is_file() and not hidden and path.suffix not in {".pyc", ".pyo"}:
            yield "/".join(parts), path.read_bytes()


def _information(repository: Path, project: dict[str, Any]) -> dict[str, str]:
    information = {
        "METADATA": "".join(f"{line}\n" for line in _metadata(repository, project)) + _description(repository, project),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: kart template\nRoot-Is-Purelib: true\nTag: {TAG}\n",
    }
    if project.get("scripts"):
        commands = "".join(f"{name} = {target}\n" for name, target in sorted(project["scripts"].items()))
        information["entry_points.txt"] = f"[console_scripts]\n{commands}"
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


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, EPOCH)
    member.create_system = 3
    member.external_attr = 0o100644 << 16
    return member
