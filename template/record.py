"""Record of the template and the answers in a generated project, `.kart-template.json`, for `kart update`.

Used by the post_gen hook. Reads the state of the template's git repository, if it is in one; no network, and nothing
that depends on the day. Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = ".kart-template.json"
FILES = ("kart_runtime", "pyproject.toml", "README.md", "LICENSE")
"""What a project is made of, beside the template."""


def write_record(project: Path, context: Mapping[str, Any], template: Path) -> None:
    """Write the record.

    Parameters
    ----------
    project
        Folder of the new project.
    context
        The answers, and cookiecutter's own entries, such as `_template`.
    template
        Folder of cookiecutter.json.
    """
    repository = _repository(template) or template.parent
    directory = template.relative_to(repository).as_posix()
    document = {
        "source": _source(str(context.get("_template", "")), repository, directory),
        "directory": directory,
        **_commit(template, repository),
        "version": runpy.run_path(str(template / "wheel.py"))["read_project"](template.parent)["version"],
        "answers": {name: answer for name, answer in context.items() if not name.startswith("_")},
    }
    (project / RECORD).write_text(json.dumps(document, indent=2) + "\n", encoding="ascii", newline="\n")


def _repository(template: Path) -> Path | None:
    """Return the root of the git repository that tracks the template."""
    if _git(template, "ls-files", "--error-unmatch", "cookiecutter.json") is None:
        return None
    root = Path(_git(template, "rev-parse", "--show-toplevel") or template).resolve()
    return root if template.is_relative_to(root) else None


def _source(given: str, repository: Path, directory: str) -> str:
    """Return the template's path or URL, without a password; a relative path would mean nothing later."""
    if re.match(r"[\w+.-]{2,}:|[\w.-]+@[\w.-]+:", given) or given.endswith(".zip"):
        return re.sub(r"^(https?://)[^/@]*@", r"\1", given)
    same = Path(given).is_absolute() and (Path(given) / directory).resolve() == repository / directory
    return given if same else str(repository)


def _commit(template: Path, repository: Path) -> dict[str, Any]:
    """Return the commit, or that the repository has changes which are in none."""
    commit = _git(repository, "rev-parse", "HEAD")
    if commit is None or _repository(template) is None:
        return {"commit": None}
    paths = [str(template), *(str(template.parent / name) for name in FILES)]
    changes = _git(repository, "--no-optional-locks", "status", "--porcelain", "--", *paths)
    return {"commit": None, "dirty": True} if changes else {"commit": commit}


def _git(folder: Path, *words: str) -> str | None:
    """Return what git prints; None if it fails or is not installed."""
    own = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    try:
        done = subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode("utf-8", errors="surrogateescape").strip()
