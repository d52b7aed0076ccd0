"""Calls of git: clones of the template, merges of files, and the state of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from kart_runtime.project.template.record import TemplateError

_OPTIONS = ("-c", "core.autocrlf=false", "-c", "core.longpaths=true", "-c", "advice.detachedHead=false")


def git(*words: str, folder: Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; with `check`, raise `TemplateError` with its message if it fails."""
    command = [_program(), *_OPTIONS, *words]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, check=False)  # noqa: S603
    if check and done.returncode:
        raise TemplateError(f"`git {' '.join(words)}` failed: {message(done)}")
    return done


def message(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return why a call of git has failed, in one line."""
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
    line = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    return line.partition(": ")[2] or line


def in_repository(folder: Path) -> bool:
    """Return whether a folder is in the work tree of a git repository."""
    return git("rev-parse", "--is-inside-work-tree", folder=folder, check=False).stdout.strip() == b"true"


def uncommitted(root: Path, *paths: str) -> list[str]:
    """Return the files below `root` (or those of `paths`) that differ from the last commit, relative to `root`."""
    words = ["--no-optional-locks", "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"]
    prefix = git("rev-parse", "--show-prefix", folder=root).stdout.decode().strip()
    selected = [f":(literal){path}" for path in paths] or ["."]
    entries = git(*words, *selected, folder=root).stdout.decode(errors="surrogateescape").split("\0")
    return sorted(entry[3:].removeprefix(prefix) for entry in entries if entry)


def _program() -> str:
    program = shutil.which("git")
    if program is None:
        raise TemplateError("git is not installed. Install it: https://git-scm.com/downloads")
    return program


def _environment() -> dict[str, str]:
    """Return the environment without what a hook of git sets, and without prompts where nobody could answer."""
    own = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    if not sys.stdin.isatty():
        environment["GIT_TERMINAL_PROMPT"] = "0"
    return environment
