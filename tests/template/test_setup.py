"""`make setup` makes an environment in which the project works, with uv and with pip alone.

The only tests of the template that need a package index.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.slow

CLEAN = {"PYTHONPATH": "", "VIRTUAL_ENV": ""}


def change_engine(project: Path) -> None:
    """Put a file more into the engine in vendor/, under the same version."""
    (path,) = (project / "vendor").iterdir()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("kart_runtime/changed.py", "")


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_setup(default_project: Path, tmp_path: Path, command: Command, tool: str) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    choice = ["UV="] if tool == "pip" else []
    command(project, "make", "setup", *choice, UV_PYTHON=sys.executable, **CLEAN)
    assert "15 tasks: 13 ran" in command(project, "make", "run", **CLEAN).stdout
    assert "0 ran" in command(project, "make", "run", **CLEAN).stdout
    kart = command(
        project, ".venv/bin/python", "-c", "import kart_runtime; print(kart_runtime.__file__)", **CLEAN
    ).stdout
    assert Path(kart).is_relative_to(project / ".venv")
    assert command(project, ".venv/bin/kart", "list", **CLEAN).stdout.endswith("modules\n")
    change_engine(project)
    command(project, "make", "setup", *choice, UV_PYTHON=sys.executable, **CLEAN)
    command(project, ".venv/bin/python", "-c", "import kart_runtime.changed", **CLEAN)
    if tool == "uv":
        assert "vendor" in (project / "uv.lock").read_text()
        command(project, "make", "lock", UV_PYTHON=sys.executable, **CLEAN)
        command(project, "make", "upgrade", UV_PYTHON=sys.executable, **CLEAN)
        command(project, "make", "test", **CLEAN)
