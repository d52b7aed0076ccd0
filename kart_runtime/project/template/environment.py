"""Environment of a project after an update: installs the new dependencies into `.venv`, and runs all checks.

The same commands as `make setup` and `make check`, for systems without make.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from kart_runtime.project.template.sources import vendored_wheels


def set_up(root: Path, say: Callable[[str], None]) -> list[str]:
    """Install the project and its development tools into `.venv`; return the command that failed, if one did."""
    return _run_all(root, setup_commands(root), say, stop=True)


def run_checks(root: Path, say: Callable[[str], None]) -> list[str]:
    """Run the checks of `make check`; return the commands that failed."""
    return _run_all(root, check_commands(root), say, stop=False)


def setup_commands(root: Path) -> list[list[str]]:
    """Return the commands that `make setup` stands for: of uv if it is installed, else of pip."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        return [[uv, "sync", "--reinstall-package", "kart-runtime", "--upgrade-package", "kart-runtime"]]
    python = str(python_of(root))
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    engine = [path.relative_to(root).as_posix() for path in vendored_wheels(root)]
    return [
        *([] if Path(python).exists() else [[sys.executable, "-m", "venv", ".venv"]]),
        [*pip, "--upgrade", "pip>=25.1"],
        [*pip, "--no-deps", "--ignore-requires-python", "luigi>=3.8.1"],  # its release does not admit Python 3.14
        [*pip, "--group", "dev", "--editable", ".", *engine],
        [*pip, "--force-reinstall", "--no-deps", "--no-index", *engine],
    ]


def check_commands(root: Path) -> list[list[str]]:
    """Return the commands that `make check` stands for."""
    python = str(python_of(root))
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    package = document["tool"]["kart"]["package"]
    lines = ("ruff check .", "ruff format --check .", "mypy", f"{package} check", "pytest --quiet")
    return [[python, "-m", *line.split()] for line in lines]


def python_of(root: Path) -> Path:
    """Return the Python of the project's `.venv`, whether it exists or not."""
    windows = root / ".venv" / "Scripts" / "python.exe"
    return windows if os.name == "nt" else root / ".venv" / "bin" / "python"


def _run_all(root: Path, commands: list[list[str]], say: Callable[[str], None], *, stop: bool) -> list[str]:
    failed = []
    for command in commands:
        shown = " ".join([_shown(root, command[0]), *command[1:]])
        say(f"$ {shown}")
        if subprocess.run(command, cwd=root, check=False).returncode:  # noqa: S603
            failed.append(shown)
            if stop:
                break
    return failed


def _shown(root: Path, program: str) -> str:
    path = Path(program)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
